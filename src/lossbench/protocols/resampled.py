"""What a protocol's numbers would be with other identities: replicates of the bootstrap, and intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lossbench.functional import CmcCurve, far_name
from lossbench.functional.bootstrap import (
    Interval,
    identity_weights,
    pair_replicates,
    percentile_interval,
    share_replicates,
)
from lossbench.functional.pair_sample import with_impostor_sample
from lossbench.functional.pair_tail import PairTail, pair_tail
from lossbench.protocols.evaluation import Evaluation
from lossbench.validate import check_range

FEWEST_REPLICATES = 200
"""Below which the ends of a 95 % interval are left to chance."""
LONGEST_TAIL = 2**21
"""Impostor scores kept for the bootstrap, if that is ``LEAST_SPARE`` times those a rate accepts."""
SPARE, LEAST_SPARE = 5.0, 2.0
MOST_WEIGHED = 2**19
"""Impostor scores of which all are weighed in every replicate, for the area."""
SAMPLE, FEWEST_ACCEPTED = 2**17, 1000
"""Impostor pairs drawn for rates that need more than the tail holds, and how many these must accept."""
HIGHEST = 2**15, 1 / 2500
"""How many of the highest impostor scores, or which share of all, a sample stands beside. Of up to 5e9 pairs,
what a genuine pair loses to impostors is then known to 7 % wherever it lies, however little that is."""


def resampled(drawn: Mapping[str, Tensor], without: Mapping[str, str] | None = None) -> Evaluation:
    """Replicates (r,) by metric, and why others have none, to be joined to the evaluation with ``|``."""
    details: dict[str, Any] = {"undefined": {}} | ({"without_interval": dict(without)} if without else {})
    replicates = {name: values.double().cpu().numpy() for name, values in drawn.items()}
    return Evaluation({}, details, {}, replicates)


def drawn_identities(label: Tensor, replicates: int, seed: int) -> Tensor | None:
    """Weights (r, c) of the c identities >= 0 in ``label`` (n,), ascending; None for no replicates."""
    check_range("replicates", replicates, low=0, integer=True)
    people = len(label[label >= 0].unique()) if replicates else 0
    return identity_weights(people, replicates=replicates, seed=seed) if people else None


def rates_drawn(fars: Sequence[float], tar: Tensor, macro: Tensor) -> dict[str, Tensor]:
    """Replicates (len(fars), r) of TAR and of macro TAR under the names of their metrics."""
    names = [f"tar_far_{far_name(far)}" for far in fars]
    drawn = dict(zip(names, tar, strict=True))
    return drawn | {f"macro/{name}": values for name, values in zip(names, macro, strict=True)}


def columns_of(identity: Tensor, label: Tensor) -> Tensor:
    """Return which column of weights (r, c) each identity has: those of ``label``, ascending."""
    return torch.searchsorted(label[label >= 0].unique().to(identity.device), identity)


def resampled_pairs(
    embedding: Tensor, label: Tensor, found: Evaluation, fars: Sequence[float], weights: Tensor
) -> Evaluation:
    """Replicates of what ``verification`` found, thresholds found again in each.

    weights: (r, c) of the identities, ascending by label. Rates that need more of the highest impostor scores
    than are kept are resampled from the highest and an even sample of all lower ones, and moved by what the
    sample is off; its chance is in their replicates too. details["interval_sample"] names them.
    """
    rates = _false_accept_rates(found, fars)
    if not rates:
        return resampled({})
    impostors = found.details["impostor_pairs"]
    exact = {name: far for name, far in rates.items() if _countable(name, far, impostors)}
    even = {name: far for name, far in rates.items() if name not in exact and far * SAMPLE >= FEWEST_ACCEPTED}
    highest = min(max(HIGHEST[0], math.ceil(HIGHEST[1] * impostors)), LONGEST_TAIL) if even else 1
    far, spare = 1.0, 1.0
    if impostors > LONGEST_TAIL:
        far = max(*exact.values(), highest / impostors)
        spare = max(min(SPARE, LONGEST_TAIL / (far * impostors)), 1.0)
    tail = pair_tail(embedding, label, far=far, spare=spare)
    drawn = _replicates(tail, weights, exact)
    if even:
        sample = with_impostor_sample(tail, embedding, label, highest=highest, drawn=SAMPLE)
        drawn |= _moved(sample, weights, even, found)
    without = {
        name: f"needs the {LEAST_SPARE * far * impostors:,.0f} highest impostor scores or more, "
        f"{LONGEST_TAIL:,} are kept"
        for name, far in rates.items()
        if name not in drawn
    }
    told = {"interval_sample": {"impostor_pairs": SAMPLE, "metrics": sorted(even)}} if even else {}
    return resampled(drawn, without) | Evaluation({}, told, {})


def _moved(
    sample: PairTail, weights: Tensor, rates: Mapping[str, float], found: Evaluation
) -> dict[str, Tensor]:
    """Replicates of a sample, less what the sample itself shows, plus what all pairs show."""
    once = torch.ones_like(weights[:1])
    drawn = _replicates(sample, torch.cat([once, weights]), rates)
    whole = {name: found.metrics[name] or 0.0 for name in rates}
    return {name: (drawn[name][1:] - drawn[name][0] + whole[name]).clamp(0, 1) for name in rates}


def _replicates(tail: PairTail, weights: Tensor, rates: Mapping[str, float]) -> dict[str, Tensor]:
    asked = [far for name, far in rates.items() if name.startswith("tar_far")]
    found = pair_replicates(tail, weights, asked, eer="eer" in rates, auc="auc" in rates)
    areas = {name: values for name, values in (("eer", found.eer), ("auc", found.auc)) if name in rates}
    return rates_drawn(asked, found.tar, found.macro) | areas


def resampled_ranks(curve: CmcCurve, ranks: Sequence[int], label: Tensor, weights: Tensor) -> Evaluation:
    """Replicates of cmc_*: identities of the probes are drawn, the galleries stay as they are."""
    if curve.reason is not None:
        return resampled({})
    own = weights[:, columns_of(curve.identities, label).cpu()]
    shares = share_replicates(curve.found[:, torch.tensor(ranks) - 1], curve.trials, own)
    return resampled({f"cmc_{rank}": values for rank, values in zip(ranks, shares, strict=True)})


def identity_intervals(found: Evaluation) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The 95 % percentile interval of each metric with replicates, and why others have none."""
    intervals, without = {}, dict(found.details.get("without_interval", {}))
    for name, values in found.replicates.items():
        interval = percentile_interval(torch.from_numpy(values))
        if interval.reason:
            without[name] = interval.reason
        elif interval.low == interval.high:
            # Nobody among those at hand can move it; that says nothing of other people.
            without[name] = "every replicate is equal: too few errors to resample"
        else:
            intervals[name] = bounds(interval)
    return intervals, without


def bounds(interval: Interval) -> dict[str, float]:
    """An interval as a record holds it."""
    return {name: interval._asdict()[name] for name in ("low", "high", "level", "replicates")}


def mean_over(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Mean replicates over trials that the same identities were drawn for."""
    names = parts[0].keys()
    return {name: torch.stack([part[name] for part in parts]).mean(0) for name in names}


def _false_accept_rates(found: Evaluation, fars: Sequence[float]) -> dict[str, float]:
    """Of each metric that is defined the share of impostor pairs that it accepts; the area looks at all."""
    rates = {f"tar_far_{far_name(far)}": far for far in fars}
    rates |= {f"macro/{name}": far for name, far in rates.items()}
    rates |= {"eer": found.metrics["eer"] or 0.0, "auc": 1.0}
    return {name: far for name, far in rates.items() if found.metrics[name] is not None}


def _countable(name: str, far: float, impostors: int) -> bool:
    """Whether every impostor score that a metric may need in a replicate can be kept, and weighed in time."""
    if name == "auc":
        return impostors <= MOST_WEIGHED
    return impostors <= LONGEST_TAIL or LEAST_SPARE * far * impostors <= LONGEST_TAIL
