"""Verification and identification of one labelled set of embeddings, with intervals over identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lossbench.functional import FARS, far_name
from lossbench.functional.bootstrap import identity_weights, percentile_interval, tar_replicates
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
    known = label >= 0
    rows, names = (embedding, label) if bool(known.all()) else (embedding[known], label[known])
    if "verification" in protocols:
        parts["verification"] = verification(rows, names, fars=fars)
        if replicates:
            intervals = _intervals(rows, names, parts["verification"], fars, replicates, seed)
    if "identification" in protocols:
        parts["identification"] = identification(embedding, label, seed=seed)
    return Labelled(joined("test", parts), intervals)


def _intervals(
    rows: Tensor, label: Tensor, found: Evaluation, fars: Sequence[float], replicates: int, seed: int
) -> dict[str, dict[str, float]]:
    impostors = found.details["impostor_pairs"]
    wanted = {f"tar_far_{far_name(far)}": far for far in fars if far * impostors * SPARE <= LONGEST_TAIL}
    wanted = {name: far for name, far in wanted.items() if found.metrics[name] is not None}
    if not wanted:
        return {}
    tail = pair_tail(rows, label, far=max(wanted.values()), spare=SPARE)
    weights = identity_weights(len(tail.identities), replicates=replicates, seed=seed)
    drawn = tar_replicates(tail, weights, list(wanted.values()))
    told = {name: percentile_interval(values) for name, values in zip(wanted, drawn, strict=True)}
    kept = {name: interval for name, interval in told.items() if interval.reason is None}
    return {f"test/{name}": _bounds(interval._asdict()) for name, interval in kept.items()}


def _bounds(interval: Mapping[str, Any]) -> dict[str, float]:
    return {name: interval[name] for name in ("low", "high", "level", "replicates")}
