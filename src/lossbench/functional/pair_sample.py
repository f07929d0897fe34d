"""The highest impostor scores and a sample of the others: what rates at any threshold are resampled from."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lossbench.functional.listed import listed_scores
from lossbench.functional.pair_tail import PairTail
from lossbench.validate import check_range


def with_impostor_sample(
    tail: PairTail, embedding: Tensor, label: Tensor, *, highest: int, drawn: int, seed: int = 0
) -> PairTail:
    """Return ``tail`` with the ``highest`` of its impostor scores, and a sample in place of all lower ones.

    embedding: (n, d), label: (n,), those that tail was made of. drawn: impostor pairs drawn evenly of all,
    with replacement; those among the highest are dropped. Which are drawn hangs on the labels alone, so that
    two systems on the same rows share them. What ties with the last of the highest is left to the sample.
    Raises ValueError where there is no impostor pair.
    """
    check_range("highest", highest, low=0, integer=True)
    check_range("drawn", drawn, low=1, integer=True)
    if not tail.impostors:
        raise ValueError("label: all rows are of one identity, there is no impostor pair to draw")
    kept = min(highest, len(tail.impostor))
    bound = float(tail.impostor[kept - 1]) if kept else math.inf
    exact = int((tail.impostor > bound).sum())
    pairs = _impostor_pairs(label.cpu(), drawn, seed).to(tail.identities.device)
    scores, order = listed_scores(embedding, pairs).sort(descending=True)
    lower = scores <= bound
    identity = torch.searchsorted(tail.identities, label.to(pairs.device)[pairs[order[lower]]])
    return replace(
        tail,
        impostor=torch.cat([tail.impostor[:exact], scores[lower]]),
        impostor_identity=torch.cat([tail.impostor_identity[:exact], identity]),
        exact=exact,
    )


def _impostor_pairs(label: Tensor, count: int, seed: int) -> Tensor:
    """Return (count, 2) rows of unlike labels, drawn with replacement."""
    generator = torch.Generator().manual_seed(seed)
    found = label.new_empty(0, 2)
    while len(found) < count:
        drawn = torch.randint(len(label), (count, 2), generator=generator)
        found = torch.cat([found, drawn[label[drawn[:, 0]] != label[drawn[:, 1]]]])
    return found[:count]
