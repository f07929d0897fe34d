"""Bootstrap over identities: how far would a rate move with other people? (Bolle, Ratha & Pankanti 2004).

A replicate draws as many identities as there are, with replacement; identity a then weighs m_a, the times it
was drawn. Its own genuine pairs weigh m_a, an impostor pair of a and b weighs m_a * m_b, so copies of one
identity never meet as impostors. Thresholds are found again in every replicate. Replicates of two systems on
the same identities with the same weights are paired: subtract them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.open_set import OpenSetCurve
from lossbench.functional.pair_tail import PairTail
from lossbench.functional.weighted_rate import AcceptedShare, Ranked
from lossbench.validate import check_range

# By 128 entries, little enough for torch to stay on one thread: barriers cost more than threads gain.
_REPLICATES = 250
_HEAVIEST = 181  # its square is the largest that int16 holds


class Interval(NamedTuple):
    """Percentile interval; ``reason`` says why it is NaN, and is None otherwise."""

    low: float
    high: float
    level: float
    replicates: int
    undefined: int
    reason: str | None


def identity_weights(identities: int, *, replicates: int = 1000, seed: int = 0) -> Tensor:
    """Return (replicates, identities) int16: how often each replicate draws each identity.

    >>> weights = identity_weights(5, replicates=3)
    >>> weights.sum(dim=1).tolist()
    [5, 5, 5]
    """
    for name, value, low in (("identities", identities, 1), ("replicates", replicates, 1), ("seed", seed, 0)):
        check_range(name, value, low=low, integer=True)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.empty(replicates, identities, dtype=torch.int16)
    for row in weights:
        drawn = torch.randint(identities, (identities,), generator=generator)
        row.copy_(drawn.bincount(minlength=identities))
    return weights


def percentile_interval(values: Tensor, *, level: float = 0.95) -> Interval:
    """Return the interval that holds the middle ``level`` of replicates (r,), with linear interpolation.

    NaN with a reason where any replicate is NaN: what it would have been is unknown.

    >>> percentile_interval(torch.arange(101), level=0.5)[:2]
    (25.0, 75.0)
    """
    check_range("level", level, low=0, high=1, open_low=True, open_high=True)
    undefined = int(values.isnan().sum())
    if undefined or not len(values):
        reason = (
            f"{undefined} of {len(values)} replicates are undefined: too few identities or too short a tail"
        )
        return Interval(math.nan, math.nan, level, len(values), undefined, reason)
    limits = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = values.double().cpu().quantile(limits).tolist()
    return Interval(low, high, level, len(values), 0, None)


def share_replicates(success: Tensor, identity: Tensor, weights: Tensor) -> Tensor:
    """Return (r,) float64, in each replicate the share of trials that succeed: rank-1, accuracy, acceptance.

    success: (n,) bool or numbers. identity: (n,) columns of weights (r, c) that the trials belong to. NaN
    where a replicate draws no identity with a trial.

    >>> weights = torch.tensor([[2, 0], [1, 1]])
    >>> share_replicates(torch.tensor([True, False]), torch.tensor([0, 1]), weights).tolist()
    [1.0, 0.5]
    """
    trials = _total(identity, weights)
    sums = torch.zeros(weights.shape[1], dtype=torch.float64, device=weights.device)
    return weights.double() @ sums.index_add_(0, identity, success.double()) / trials


def tar_replicates(tail: PairTail, weights: Tensor, fars: Sequence[float]) -> Tensor:
    """Return (len(fars), r) float64: in each replicate the largest TAR over thresholds with FAR <= far.

    tail: with impostor scores to spare, see ``pair_tail``. weights: (r, c), a column per identity of tail.
    NaN where a replicate has no genuine or impostor pair, or needs an impostor score that the tail lacks.
    """
    _check(fars)
    genuine = Ranked(tail.genuine, tail.genuine_identity.unsqueeze(1))
    impostor = Ranked(tail.impostor, tail.impostor_identity)
    share = AcceptedShare(genuine, impostor, complete=len(tail.impostor) == tail.impostors)
    parts = []
    for some in _blocks(weights, tail.genuine.device):
        images = some.double() * tail.images
        totals = (_total(tail.genuine_identity, some), (images.sum(1).square() - images.square().sum(1)) / 2)
        parts.append(share(totals, some.T.contiguous(), fars))
    return torch.cat(parts, dim=1)


def dir_replicates(
    curve: OpenSetCurve, identity: Tensor, weights: Tensor, fars: Sequence[float], *, rank: int | None = 1
) -> Tensor:
    """Return (len(fars), r) float64: in each replicate the DIR of ``dir_at_far``, of the same gallery.

    identity: (n,) columns of weights (r, c) that the probes belong to. A probe weighs what its identity does;
    the gallery stays as it is. NaN where a replicate has no mated or no non-mated probe.
    """
    _check(fars)
    mated, non_mated = identity[curve.mated], identity[curve.non_mated]
    found = slice(None) if rank is None else curve.rank <= rank
    genuine = Ranked(curve.mate[found], mated[found].unsqueeze(1))
    share = AcceptedShare(genuine, Ranked(curve.impostor, non_mated.unsqueeze(1)), complete=True)
    parts = []
    for some in _blocks(weights, identity.device):
        totals = (_total(mated, some), _total(non_mated, some))
        parts.append(share(totals, some.T.contiguous(), fars))
    return torch.cat(parts, dim=1)


def _check(fars: Sequence[float]) -> None:
    for far in fars:
        check_range("far", far, low=0, high=1, open_low=True)


def _blocks(weights: Tensor, device: torch.device) -> tuple[Tensor, ...]:
    """Return weights (r, c) as int16, some replicates at a time."""
    heaviest = int(weights.max()) if weights.numel() else 0
    if heaviest > _HEAVIEST:
        raise ValueError(
            f"weights go up to {heaviest}: whole numbers of at most {_HEAVIEST} are added exactly"
        )
    return weights.to(device, torch.int16).split(_REPLICATES)


def _total(identity: Tensor, weights: Tensor) -> Tensor:
    """Return (r,) float64, the weight of all entries (n,)."""
    count = identity.bincount(minlength=weights.shape[1])
    return weights.double() @ count.double()
