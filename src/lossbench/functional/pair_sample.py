"""An even sample of impostor pairs: what rates that accept many of them are resampled from."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lossbench.functional.listed import listed_scores
from lossbench.functional.pair_tail import PairTail
from lossbench.validate import check_range


def with_impostor_sample(
    tail: PairTail, embedding: Tensor, label: Tensor, *, impostors: int, seed: int = 0
) -> PairTail:
    """Return ``tail`` with as many ``impostors`` instead of its own, each drawn evenly of all impostor pairs.

    embedding: (n, d), label: (n,), those that tail was made of. A pair may be drawn twice. Which pairs are
    drawn hangs on the labels alone, so that two systems on the same rows share them.
    Raises ValueError where there is no impostor pair.
    """
    check_range("impostors", impostors, low=1, integer=True)
    if not tail.impostors:
        raise ValueError("label: all rows are of one identity, there is no impostor pair to draw")
    pairs = _impostor_pairs(label.cpu(), impostors, seed).to(embedding.device)
    scores, order = listed_scores(embedding, pairs).sort(descending=True)
    identity = torch.searchsorted(tail.identities, label.to(tail.identities.device)[pairs[order]])
    return replace(tail, impostor=scores, impostor_identity=identity, impostors=impostors, sampled=True)


def _impostor_pairs(label: Tensor, count: int, seed: int) -> Tensor:
    """Return (count, 2) rows of unlike labels, drawn with replacement."""
    generator = torch.Generator().manual_seed(seed)
    found = label.new_empty(0, 2)
    while len(found) < count:
        drawn = torch.randint(len(label), (count, 2), generator=generator)
        found = torch.cat([found, drawn[label[drawn[:, 0]] != label[drawn[:, 1]]]])
    return found[:count]
