"""Verification and identification of one labelled set of embeddings, with intervals over identities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from lossbench.functional import FARS, far_name
from lossbench.functional.bootstrap import (
    Interval,
    identity_weights,
    percentile_interval,
    tar_replicates,
)
from lossbench.functional.pair_tail import pair_tail
from lossbench.protocols.evaluation import Evaluation, joined
from lossbench.protocols.identification import identification
from lossbench.protocols.verification import verification

SPARE = 5.0
HARDEST = 100
LONGEST_TAIL = 2**21
"""Impostor scores kept for the bootstrap: five times those the largest rate with an interval accepts."""


@dataclass(frozen=True)
class Labelled:
    """An evaluation named for the test split, and for its tar_far_* 95 % intervals over identities.

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
    galleries drawn and of replicates. The same seed draws the same identities for every system.
    """
    parts: dict[str, Evaluation] = {}
    drawn: dict[str, Tensor] = {}
    without: dict[str, str] = {}
    hardest: dict[str, list[list[float]]] = {}
    known = label >= 0
    rows, names = (embedding, label) if bool(known.all()) else (embedding[known], label[known])
    if "verification" in protocols:
        found = verification(rows, names, fars=fars, hardest=HARDEST)
        place = known.nonzero()[:, 0]
        hardest = {
            kind: [[score, int(place[int(a)]), int(place[int(b)])] for score, a, b in found.details.pop(key)]
            for kind, key in (("genuine", "hardest_genuine"), ("impostor", "hardest_impostors"))
        }
        parts["verification"] = found
        if replicates:
            drawn, without = _replicates(rows, names, parts["verification"], fars, replicates, seed)
    if "identification" in protocols:
        parts["identification"] = identification(embedding, label, distractors=distractors, seed=seed)
    intervals, more = _intervals(drawn)
    return Labelled(joined("test", parts), hardest, drawn, intervals, without | more)


def difference(one: Labelled, other: Labelled) -> dict[str, dict[str, float]]:
    """By how much the metrics of one system exceed those of another on the same rows, labels and seed.

    Each with low and high, its 95 % interval, where the same identities are drawn for both systems.
    """
    both = [name for name in one.replicates if name in other.replicates]
    intervals = {name: percentile_interval(one.replicates[name] - other.replicates[name]) for name in both}
    values = {name: (one.evaluation.metrics[name], other.evaluation.metrics[name]) for name in both}
    return {
        name: {"difference": values[name][0] - values[name][1], **_bounds(interval)}  # type: ignore[operator]
        for name, interval in intervals.items()
        if not interval.reason
    }


def _replicates(
    rows: Tensor, label: Tensor, found: Evaluation, fars: Sequence[float], replicates: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Replicates (r,) of each tar_far_* that can have an interval; why others have none."""
    impostors = found.details["impostor_pairs"]
    named = {f"tar_far_{far_name(far)}": far for far in fars}
    named = {f"test/{name}": far for name, far in named.items() if found.metrics[name] is not None}
    wanted = {name: far for name, far in named.items() if far * impostors * SPARE <= LONGEST_TAIL}
    without = {
        name: f"needs {far * impostors * SPARE:,.0f} impostor scores, {LONGEST_TAIL:,} are kept"
        for name, far in named.items()
        if name not in wanted
    }
    if not wanted:
        return {}, without
    tail = pair_tail(rows, label, far=max(wanted.values()), spare=SPARE)
    weights = identity_weights(len(tail.identities), replicates=replicates, seed=seed)
    drawn = tar_replicates(tail, weights, list(wanted.values()))
    return dict(zip(wanted, drawn, strict=True)), without


def _intervals(drawn: dict[str, Tensor]) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
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
