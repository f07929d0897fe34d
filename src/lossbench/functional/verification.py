"""Verification numbers of all pairs of a labelled set, exact, at about the cost of one float32 product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows
from lossbench.functional.genuine import GenuinePairs
from lossbench.functional.hardest import HardPairs
from lossbench.functional.pair_numbers import PairNumbers, PairTask, scored, screened
from lossbench.functional.pair_screening import UnsettledError
from lossbench.functional.pairs import check_pairs
from lossbench.functional.roc import undefined
from lossbench.functional.roc_summary import FARS, RocPoints, TarAtFar
from lossbench.functional.threads import own_threads
from lossbench.functional.thresholds import accepted_shares
from lossbench.validate import check_range

_EXACT_ROWS = 3000


class VerificationPoint(NamedTuple):
    """One operating point; ``reason`` says why its rates are NaN, and is None otherwise.

    tar: share of genuine pairs with score >= threshold. tar_macro: mean over identities with a genuine pair
    of the share of their own pairs. genuine_accepted, impostors_accepted: pairs with score >= threshold.
    """

    far: float
    tar: float
    tar_macro: float
    achieved_far: float
    threshold: float
    genuine_accepted: int
    impostors_accepted: int
    reason: str | None


@dataclass(frozen=True)
class PairVerification:
    """Verification of all pairs of a set.

    points: by false accept rate, as asked. eer: equal error rate. auc: area under the ROC, rounded to as many
    digits as are certain; auc_error: half a unit of the last one, or 0 where it is not rounded.
    line: points for a figure, their FAR to about 1 part in 1,000 where ``auc_error`` is not 0.
    genuine, impostors: number of pairs of each kind. hardest_impostors, hardest_genuine: pairs with rows.
    reason: why rates are NaN, or None.
    """

    points: tuple[VerificationPoint, ...]
    eer: float
    auc: float
    auc_error: float
    line: RocPoints
    genuine: int
    impostors: int
    hardest_impostors: HardPairs
    hardest_genuine: HardPairs
    reason: str | None


def pair_verification(
    embedding: Tensor,
    label: Tensor,
    *,
    fars: Sequence[float] = FARS,
    hardest: int = 100,
    points: int = 400,
    block: int = 768,
) -> PairVerification:
    """Return the operating points at ``fars``, the areas and the hardest of all n(n-1)/2 pairs of rows.

    embedding: (n, d), any length and float type, on any device. label: (n,) integers >= 0; equal labels make
    a genuine pair. Scores are the cosines of ``pair_roc``, and all rates its rates, by the rules of
    ``tar_at_far`` and ``equal_error_rate``.
    fars: false accept rates in (0, 1]. hardest: pairs of either kind to return. points: of ``line``.
    block: rows and columns of one tile; changes memory and time, never a number.

    Above 3,000 rows impostor scores are screened: one pass of float32 tiles counts them by cells of 3e-5 and
    keeps those near the operating points, which a sample predicts; the few that lie within the error of a
    float32 product of a threshold are scored by the definition. Only the area is left with an error from
    that, and rounded accordingly. A pass that kept too little is followed by one that scores all pairs by the
    definition, ten times slower. Memory: a float32 copy of the rows, and at most 500 MB.
    Raises ValueError for wrong shapes, rows with NaN or infinity, negative labels, or numbers out of range.

    >>> found = pair_verification(torch.eye(3)[[0, 0, 1]], torch.tensor([5, 5, 8]), fars=[0.5])
    >>> found.points[0].tar, found.eer, found.auc, found.impostors, found.hardest_impostors.second.tolist()
    (1.0, 0.0, 1.0, 2, [2, 2])
    """
    for name, value, low in (("hardest", hardest, 0), ("points", points, 3), ("block", block, 1)):
        check_range(name, value, low=low, integer=True)
    embedding, label = check_pairs(embedding, label)
    with torch.autocast(embedding.device.type, enabled=False), own_threads():
        unit = UnitRows(embedding)
        genuine = GenuinePairs(unit, label, hardest)
        task = PairTask(unit, label, block, genuine.score, genuine.impostors, fars, hardest, points)
        found = _numbers(task)
        told = [_point(far, rate, genuine) for far, rate in zip(fars, found.rates, strict=True)]
    return PairVerification(
        tuple(told),
        *found[1:-1],
        len(genuine.score),
        genuine.impostors,
        found.hardest,
        genuine.hardest,
        undefined(len(genuine.score), genuine.impostors),
    )


def _numbers(task: PairTask) -> PairNumbers:
    if len(task.label) > _EXACT_ROWS:
        try:
            return screened(task)
        except UnsettledError:
            pass
    return scored(task)


def _point(far: float, rate: TarAtFar, genuine: GenuinePairs) -> VerificationPoint:
    defined = rate.reason is None
    # Shares of whole numbers: multiplied out, they round back to the counts.
    accepted = (rate.tar * len(genuine.score), rate.achieved_far * rate.impostors) if defined else (0, 0)
    macro = accepted_shares(genuine.score, genuine.identity, rate.threshold)[1] if defined else math.nan
    counts = (round(accepted[0]), round(accepted[1]))
    return VerificationPoint(far, rate.tar, macro, rate.achieved_far, rate.threshold, *counts, rate.reason)
