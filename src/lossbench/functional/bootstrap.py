"""Bootstrap over identities: how far would a rate move with other people? (Bolle, Ratha & Pankanti 2004).

A replicate draws as many identities as there are, with replacement; identity a then weighs m_a, the times it
was drawn. Its own genuine pairs weigh m_a, an impostor pair of a and b weighs m_a * m_b, so copies of one
identity never meet as impostors. Thresholds are found again in every replicate. Replicates of two systems on
the same identities with the same weights are paired: subtract them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.pair_tail import PairTail
from lossbench.functional.threads import in_threads, own_threads
from lossbench.functional.weighted_rate import Steps, WeightedRates
from lossbench.functional.weighted_sums import Ranked
from lossbench.validate import check_range

# By the entries of a chunk, little enough for the caches.
_REPLICATES = 500
_HEAVIEST = {torch.int8: 11, torch.int16: 181}  # its square is the largest that the type holds


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


def share_replicates(found: Tensor, trials: Tensor, weights: Tensor) -> Tensor:
    """Return (k, r) float64, in each replicate the share of trials that succeed: rank-k rate, accuracy.

    found: (c, k) successes of each identity, of k kinds. trials: (c,) of each identity. weights: (r, c). NaN
    where a replicate draws no identity with a trial.

    >>> weights = torch.tensor([[2, 0], [1, 1]])
    >>> share_replicates(torch.tensor([[1], [0]]), torch.tensor([1, 1]), weights).tolist()
    [[1.0, 0.5]]
    """
    shares = found.new_empty(found.shape[1], len(weights), dtype=torch.float64)
    for start in range(0, len(weights), _REPLICATES):  # as float64, four times the room: a few at a time
        some = weights[start : start + _REPLICATES].to(found.device).double()
        shares[:, start : start + len(some)] = (some @ found.double()).T / (some @ trials.double())
    return shares


class PairReplicates(NamedTuple):
    """Rates in each replicate: tar and macro (fars, r), eer and auc (r,)."""

    tar: Tensor
    macro: Tensor
    eer: Tensor
    auc: Tensor


def pair_replicates(
    tail: PairTail, weights: Tensor, fars: Sequence[float], *, eer: bool = True, auc: bool = True
) -> PairReplicates:
    """Return in each replicate the largest TAR over thresholds with FAR <= far, and the rates without a far.

    tail: with impostor scores to spare, see ``pair_tail``. weights: (r, c), a column per identity of tail.
    macro: mean over drawn identities of the share of their own pairs accepted at the same threshold.
    eer, auc: False leaves them NaN. The equal error rate takes impostor scores of a FAR of up to four times
    itself, the area all of them: the time is in proportion.
    NaN where a replicate has no genuine or impostor pair, or needs an impostor score that the tail lacks.
    """
    check_fars(fars)
    genuine = Ranked(tail.genuine, tail.genuine_identity.unsqueeze(1))
    impostor = Ranked(tail.impostor, tail.impostor_identity)
    steps = Steps(genuine, impostor, complete=tail.complete, exact=tail.exact)
    shares, areas = (_undefined(tail.genuine, 2, *shape, len(weights)) for shape in ((len(fars),), ()))
    found = PairReplicates(*shares, *areas)

    def work(blocks: Iterator[tuple[slice, Tensor]]) -> None:
        for columns, some in blocks:
            images = some.double() * tail.images
            impostors = (images.sum(1).square() - images.square().sum(1)) / 2
            totals = total_weight(tail.genuine_identity, some), impostors
            rates = WeightedRates(steps, totals, some.T.contiguous())
            for far, tar, macro in zip(fars, found.tar, found.macro, strict=True):
                accepted = rates.accepted(far)
                tar[columns], macro[columns] = rates.share(accepted), rates.macro(accepted)
            if eer:
                found.eer[columns] = rates.equal_error()
            if auc:
                found.auc[columns] = rates.area()

    with own_threads():
        in_threads(work, list(replicate_blocks(weights, tail.genuine.device)), tail.genuine.device)
    return found


def check_fars(fars: Sequence[float]) -> None:
    for far in fars:
        check_range("far", far, low=0, high=1, open_low=True)


def _undefined(like: Tensor, *shape: int) -> Tensor:
    return like.new_full(shape, math.nan, dtype=torch.float64)


def replicate_blocks(weights: Tensor, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """Yield some replicates at a time, and their weights (r, c) in the smallest type that is exact."""
    heaviest = int(weights.max()) if weights.numel() else 0
    smallest = next((dtype for dtype, most in _HEAVIEST.items() if heaviest <= most), None)
    if smallest is None:
        most = max(_HEAVIEST.values())
        raise ValueError(f"weights go up to {heaviest}: whole numbers of at most {most} are added exactly")
    weights = weights.to(device, smallest)
    for start in range(0, len(weights), _REPLICATES):
        yield slice(start, start + _REPLICATES), weights[start : start + _REPLICATES]


def total_weight(identity: Tensor, weights: Tensor) -> Tensor:
    """Return (r,) float64, the weight of all entries (n,)."""
    count = identity.bincount(minlength=weights.shape[1])
    return weights.double() @ count.double()
