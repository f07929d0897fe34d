"""Pairs in folds in the manner of LFW's View 2, drawn from any set of identities."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.validate import check_range


class PairFolds(NamedTuple):
    """pairs: (p, 2) row numbers. same: (p,) bool. fold: (p,) int64."""

    pairs: Tensor
    same: Tensor
    fold: Tensor


def draw_pairs(label: Tensor, *, folds: int = 10, each: int = 300, seed: int = 0) -> PairFolds:
    """Draw ``each`` genuine and as many impostor pairs for every fold; no identity is in two folds.

    label: (n,) integers >= 0. A genuine pair is two images of an identity drawn from those of the fold with
    two or more, an impostor pair one image each of two identities; all draws are with replacement, from one
    CPU generator. Raises ValueError where a fold would have no genuine or no impostor pair.

    >>> drawn = draw_pairs(torch.arange(12) // 3, folds=2, each=4)
    >>> drawn.pairs.shape, drawn.same.sum().item(), drawn.fold.bincount().tolist()
    (torch.Size([16, 2]), 8, [8, 8])
    """
    check_range("folds", folds, low=2, integer=True)
    check_range("each", each, low=1, integer=True)
    generator = torch.Generator().manual_seed(seed)
    label = label.cpu()
    images = label.unique(return_counts=True)[1]
    starts, by_identity = images.cumsum(0) - images, label.argsort(stable=True)
    several, single = ((images >= 2).nonzero()[:, 0], (images == 1).nonzero()[:, 0])
    if len(several) < folds or len(images) < 2 * folds:
        raise ValueError(
            f"folds={folds}: needs an identity with two images and another in each, there are "
            f"{len(several)} with two images of {len(images)}"
        )
    pairs = []
    # Both kinds are dealt out in turn, so that every fold has its share of people with mates.
    dealt = [kind[torch.randperm(len(kind), generator=generator)] for kind in (several, single)]
    for fold in range(folds):
        mated = dealt[0][fold::folds]
        own = mated[torch.randint(len(mated), (each,), generator=generator)]
        first, second = _two(images[own], generator)
        pairs.append(torch.stack([starts[own] + first, starts[own] + second], dim=1))
        # Those with mates come first in either list, so the fold's mated are among them.
        people = torch.cat(dealt)[fold::folds]
        sides = [people[side] for side in _two(torch.full((each,), len(people)), generator)]
        pairs.append(torch.stack([_any(starts[who], images[who], generator) for who in sides], dim=1))
    same = torch.tensor([True, False]).repeat_interleave(each).repeat(folds)
    return PairFolds(by_identity[torch.cat(pairs)], same, torch.arange(folds).repeat_interleave(2 * each))


def _any(start: Tensor, count: Tensor, generator: torch.Generator) -> Tensor:
    """One of the ``count`` (k,) whole numbers from ``start`` (k,) on."""
    share = torch.rand(len(count), generator=generator, dtype=torch.float64)
    return start + torch.minimum((share * count).long(), count - 1)


def _two(count: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two different whole numbers below each of ``count`` (k,), every ordered pair as likely."""
    share = torch.rand(2, len(count), generator=generator, dtype=torch.float64)
    first = torch.minimum((share[0] * count).long(), count - 1)
    step = 1 + torch.minimum((share[1] * (count - 1)).long(), count - 2)
    return first, (first + step) % count
