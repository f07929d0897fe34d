"""Verification and identification of one labelled set of embeddings, with intervals over identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lossbench.functional import FARS, CmcCurve, cmc_curve, far_name
from lossbench.functional.bootstrap import (
    Interval,
    identity_weights,
    pair_replicates,
    percentile_interval,
    share_replicates,
)
from lossbench.functional.pair_tail import pair_tail
from lossbench.intervals import holm
from lossbench.protocols.evaluation import Evaluation, joined
from lossbench.protocols.identification import RANKS, identified
from lossbench.protocols.verification import verification
from lossbench.validate import check_range

HARDEST = 100
LONGEST_TAIL = 2**21
"""Impostor scores kept for the bootstrap, if that is ``LEAST_SPARE`` times those a rate accepts."""
SPARE, LEAST_SPARE = 5.0, 2.0
MOST_WEIGHED = 2**19
"""Impostor scores of which all are weighed in every replicate, for the area."""


@dataclass(frozen=True)
class Labelled:
    """An evaluation named for the test split, and 95 % intervals of its metrics over identities.

    hardest: kind (genuine, impostor) of pair -> [score, row, other row] of the HARDEST worst.
    replicates: (r,) of each metric that has them. intervals: low, high, level, replicates. without: why a
    metric has no interval.
    """

    evaluation: Evaluation
    hardest: dict[str, list[list[float]]] = field(default_factory=dict)
    replicates: dict[str, Tensor] = field(default_factory=dict)
    intervals: dict[str, dict[str, float]] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)


def labelled(
    embedding: Tensor,
    label: Tensor,
    *,
    protocols: Sequence[str] = ("verification", "identification"),
    distractors: Tensor | None = None,
    fars: Sequence[float] = FARS,
    replicates: int = 1000,
    seed: int = 0,
) -> Labelled:
    """Evaluate embedding (n, d) with label (n,), negative for distractors, which only galleries hold.

    distractors: (m, d) more of them. replicates: of the bootstrap over identities; 0 for none. seed: of
    galleries drawn and of replicates. The same seed draws the same identities for every system and metric.

    tar_far_*, macro/tar_far_*, eer, auc: thresholds are found again in every replicate (``pair_replicates``).
    cmc_*: identities of the probes are drawn; the galleries, with everybody in them, stay as they are.
    """
    check_range("replicates", replicates, low=0, integer=True)
    parts: dict[str, Evaluation] = {}
    drawn: dict[str, Tensor] = {}
    without: dict[str, str] = {}
    hardest: dict[str, list[list[float]]] = {}
    known = label >= 0
    rows, names = (embedding, label) if bool(known.all()) else (embedding[known], label[known])
    people = names.unique()
    weights = identity_weights(max(len(people), 1), replicates=max(replicates, 1), seed=seed)
    if "verification" in protocols:
        found = parts["verification"] = verification(rows, names, fars=fars, hardest=HARDEST)
        place = known.nonzero()[:, 0]
        hardest = {
            kind: [[score, int(place[int(a)]), int(place[int(b)])] for score, a, b in found.details.pop(key)]
            for kind, key in (("genuine", "hardest_genuine"), ("impostor", "hardest_impostors"))
        }
        if replicates:
            needed, without = _affordable(found, fars)
            impostors = found.details["impostor_pairs"]
            drawn |= _pair_replicates(rows, names, needed, impostors, weights)
    if "identification" in protocols:
        curve = cmc_curve(embedding, label, distractors=distractors, ranks=max(RANKS), seed=seed)
        parts["identification"] = identified(curve, RANKS, seed)
        if replicates and curve.reason is None:
            drawn |= _cmc_replicates(curve, weights[:, torch.searchsorted(people, curve.identities).cpu()])
    evaluation = joined("test", parts)
    drawn = {f"test/{name}": values for name, values in drawn.items()}
    intervals, more = _intervals(drawn)
    without = {f"test/{name}": why for name, why in without.items()} | more
    return Labelled(evaluation, hardest, drawn, intervals, without)


def difference(one: Labelled, other: Labelled) -> dict[str, dict[str, float]]:
    """By how much the metrics of one system exceed those of another on the same rows, labels and seed.

    Each with low and high, its 95 % interval, where the same identities are drawn for both systems, and p,
    twice the smaller share of replicates on either side of 0, at least 1 / (replicates + 1). p_holm: p
    adjusted for the family of all metrics returned (``holm``): below 0.05, the chance of any such verdict
    without a difference is at most 5 %. A metric with an undefined replicate is left out.
    """
    differences: dict[str, dict[str, float]] = {}
    for name in (name for name in one.replicates if name in other.replicates):
        interval = percentile_interval(values := one.replicates[name] - other.replicates[name])
        if not interval.reason:
            by = one.evaluation.metrics[name] - other.evaluation.metrics[name]  # type: ignore[operator]
            differences[name] = {"difference": by, **_bounds(interval), "p": _p_value(values)}
    adjusted = holm([found["p"] for found in differences.values()])
    return {
        name: {**found, "p_holm": p} for (name, found), p in zip(differences.items(), adjusted, strict=True)
    }


def _p_value(values: Tensor) -> float:
    sides = int((values <= 0).sum()), int((values >= 0).sum())
    return min(1.0, 2 * (min(sides) + 1) / (len(values) + 1))


def _affordable(found: Evaluation, fars: Sequence[float]) -> tuple[dict[str, float], dict[str, str]]:
    """The false accept rate of each metric that replicates can be made of; why others have none."""
    impostors, eer = found.details["impostor_pairs"], found.metrics["eer"]
    if eer is None:
        return {}, {}
    rates = {f"tar_far_{far_name(far)}": far for far in fars}
    rates |= {f"macro/{name}": far for name, far in rates.items()} | {"eer": eer}
    rates = {name: far for name, far in rates.items() if found.metrics[name] is not None}
    without = {}
    if impostors > LONGEST_TAIL:
        least = {name: LEAST_SPARE * far * impostors for name, far in rates.items()}
        without = {
            name: f"needs the {count:,.0f} highest impostor scores or more, {LONGEST_TAIL:,} are kept"
            for name, count in least.items()
            if count > LONGEST_TAIL
        }
    if impostors > MOST_WEIGHED:
        without["auc"] = f"needs all {impostors:,} impostor scores, {MOST_WEIGHED:,} are weighed at most"
    return {name: far for name, far in (rates | {"auc": 1.0}).items() if name not in without}, without


def _pair_replicates(
    rows: Tensor, label: Tensor, needed: Mapping[str, float], impostors: int, weights: Tensor
) -> dict[str, Tensor]:
    """Replicates (r,) of each metric, given the false accept rate it needs."""
    if not needed:
        return {}
    far, spare = 1.0, 1.0
    if impostors > LONGEST_TAIL:
        far = max(*needed.values(), 1 / impostors)
        spare = max(min(SPARE, LONGEST_TAIL / (far * impostors)), 1.0)
    tail = pair_tail(rows, label, far=far, spare=spare)
    fars = {name: far for name, far in needed.items() if name.startswith("tar_far")}
    found = pair_replicates(tail, weights, list(fars.values()), eer="eer" in needed, auc="auc" in needed)
    drawn = dict(zip(fars, found.tar, strict=True))
    drawn |= {f"macro/{name}": values for name, values in zip(fars, found.macro, strict=True)}
    areas = {"eer": found.eer, "auc": found.auc}
    return drawn | {name: values for name, values in areas.items() if name in needed}


def _cmc_replicates(curve: CmcCurve, weights: Tensor) -> dict[str, Tensor]:
    """Replicates (r,) of cmc_*, with weights (r, c) of the probes' identities."""
    shares = share_replicates(curve.found[:, torch.tensor(RANKS) - 1], curve.trials, weights)
    return {f"cmc_{rank}": values for rank, values in zip(RANKS, shares, strict=True)}


def _intervals(drawn: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    intervals, without = {}, {}
    for name, values in drawn.items():
        interval = percentile_interval(values)
        if interval.reason:
            without[name] = interval.reason
        elif interval.low == interval.high:
            # Nobody among those at hand can move it; that says nothing of other people.
            without[name] = "every replicate is equal: too few errors to resample"
        else:
            intervals[name] = _bounds(interval)
    return intervals, without


def _bounds(interval: Interval) -> dict[str, float]:
    return {name: interval._asdict()[name] for name in ("low", "high", "level", "replicates")}
