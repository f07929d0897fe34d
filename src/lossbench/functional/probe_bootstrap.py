"""Bootstrap over the identities of probes, whose gallery or distractors stay as they are.

A replicate draws identities as in ``bootstrap``; a probe weighs what its identity does, and so do its scores
with enrolled images or distractors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.bootstrap import check_fars, replicate_blocks, total_weight
from lossbench.functional.open_set import OpenSetCurve
from lossbench.functional.weighted_rate import Steps, WeightedRates
from lossbench.functional.weighted_sums import Ranked


class Scored(NamedTuple):
    """Scores (k,), the column of weights (k,) that each belongs to, and the columns of all that there are."""

    scores: Tensor
    owner: Tensor
    every: Tensor
    """(n,) columns of every score, those not kept included, or of every row that has ``times`` scores."""
    times: int = 1


def probe_replicates(
    genuine: Scored, impostor: Scored, weights: Tensor, fars: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return (len(fars), r) float64 twice: in each replicate the largest TAR with FAR <= far, and macro TAR.

    genuine: scores that may be accepted, the rate is a share of ``every``. impostor: all scores or the
    highest. weights: (r, c). macro: mean over drawn identities with a kept genuine score of the share
    of these accepted at the same threshold. NaN where a replicate has no genuine or no impostor score, or
    needs an impostor score that is not kept.
    """
    check_fars(fars)
    complete = len(impostor.scores) == impostor.times * len(impostor.every)
    ranked = (Ranked(part.scores, part.owner.unsqueeze(1)) for part in (genuine, impostor))
    steps = Steps(*ranked, complete=complete)
    found = genuine.scores.new_full((2, len(fars), len(weights)), math.nan, dtype=torch.float64)
    for columns, some in replicate_blocks(weights, genuine.scores.device):
        totals = [part.times * total_weight(part.every, some) for part in (genuine, impostor)]
        rates = WeightedRates(steps, (totals[0], totals[1]), some.T.contiguous())
        for far, tar, macro in zip(fars, *found, strict=True):
            accepted = rates.accepted(far)
            tar[columns], macro[columns] = rates.share(accepted), rates.macro(accepted)
    return found[0], found[1]


def dir_replicates(
    curve: OpenSetCurve, identity: Tensor, weights: Tensor, fars: Sequence[float], *, rank: int | None = 1
) -> Tensor:
    """Return (len(fars), r) float64: in each replicate the DIR of ``dir_at_far``, of the same gallery.

    identity: (n,) columns of weights (r, c) that the probes belong to. A probe weighs what its identity does;
    the gallery stays as it is. NaN where a replicate has no mated or no non-mated probe.
    """
    mated, non_mated = identity[curve.mated], identity[curve.non_mated]
    found = slice(None) if rank is None else curve.rank <= rank
    genuine = Scored(curve.mate[found], mated[found], mated)
    return probe_replicates(genuine, Scored(curve.impostor, non_mated, non_mated), weights, fars)[0]
