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
LONGEST_TAIL = 2**21
"""Impostor scores kept for the bootstrap: five times those the largest rate with an interval accepts."""


@dataclass(frozen=True)
class Labelled:
    """An evaluation named for the test split, and for some of its metrics a 95 % interval."""

    evaluation: Evaluation
    intervals: dict[str, dict[str, float]] = field(default_factory=dict)


def labelled(
    embedding: Tensor,
    label: Tensor,
    *,
    protocols: Sequence[str] = ("verification", "identification"),
    fars: Sequence[float] = FARS,
    replicates: int = 1000,
    seed: int = 0,
) -> Labelled:
    """Evaluate embedding (n, d) with label (n,), negative for distractors, which only galleries hold.

    replicates: of the bootstrap over identities; 0 for none. seed: of galleries drawn and of replicates.
    Intervals are given for the tar_far_* whose impostors fit into ``LONGEST_TAIL``.
    """
    parts: dict[str, Evaluation] = {}
    intervals: dict[str, dict[str, float]] = {}
    rows, names = _identified(embedding, label)
    if "verification" in protocols:
        parts["verification"] = verification(rows, names, fars=fars)
        if replicates:
            drawn = _replicates(rows, names, parts["verification"], fars, replicates, seed)
            told = {name: percentile_interval(values) for name, values in drawn.items()}
            intervals = {name: _bounds(interval) for name, interval in told.items() if not interval.reason}
    if "identification" in protocols:
        parts["identification"] = identification(embedding, label, seed=seed)
    return Labelled(joined("test", parts), intervals)


def difference(
    embedding: Tensor,
    other: Tensor,
    label: Tensor,
    *,
    fars: Sequence[float] = FARS,
    replicates: int,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """By how much the tar_far_* of embedding exceed those of ``other`` (n, e) on the same rows and labels.

    Each with low and high, its 95 % interval, where the same identities are drawn for both systems.
    """
    found, drawn = [], []
    for system in (embedding, other):
        rows, names = _identified(system, label)
        found.append(verification(rows, names, fars=fars))
        drawn.append(_replicates(rows, names, found[-1], fars, replicates, seed))
    differences = {}
    for name in drawn[0]:
        one, two = (evaluation.metrics[name.removeprefix("test/")] for evaluation in found)
        interval = percentile_interval(drawn[0][name] - drawn[1][name])
        if one is not None and two is not None and not interval.reason:
            differences[name] = {"difference": one - two, **_bounds(interval)}
    return differences


def _identified(embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    known = label >= 0
    return (embedding, label) if bool(known.all()) else (embedding[known], label[known])


def _replicates(
    rows: Tensor, label: Tensor, found: Evaluation, fars: Sequence[float], replicates: int, seed: int
) -> dict[str, Tensor]:
    """Replicates (r,) of each tar_far_* that can have an interval, under its full name."""
    impostors = found.details["impostor_pairs"]
    wanted = {f"tar_far_{far_name(far)}": far for far in fars if far * impostors * SPARE <= LONGEST_TAIL}
    wanted = {f"test/{name}": far for name, far in wanted.items() if found.metrics[name] is not None}
    if not wanted:
        return {}
    tail = pair_tail(rows, label, far=max(wanted.values()), spare=SPARE)
    weights = identity_weights(len(tail.identities), replicates=replicates, seed=seed)
    return dict(zip(wanted, tar_replicates(tail, weights, list(wanted.values())), strict=True))


def _bounds(interval: Interval) -> dict[str, float]:
    return {name: interval._asdict()[name] for name in ("low", "high", "level", "replicates")}
