"""All genuine scores of a labelled set, with the identity each belongs to."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows
from lossbench.functional.hardest import Hardest
from lossbench.functional.threads import in_threads

# Small tiles score few other pairs.
_BLOCK = 128


class GenuinePairs:
    """score: (g,) float32 in no particular order. identity: (g,) which identity, counted by label."""

    def __init__(self, unit: UnitRows, label: Tensor, hardest: int) -> None:
        label, order = label.sort(stable=True)
        owner, images = label.unique_consecutive(return_inverse=True, return_counts=True)[1:]
        mates = (images > 1)[owner]
        owner, order = owner[mates], order[mates]
        worst = Hardest(hardest, len(label), label.device, largest=False)

        def work(pieces: Iterator[tuple[slice, slice]]) -> tuple[Tensor, Tensor]:
            scores, identities = [unit.grain.new_zeros(0, dtype=torch.float32)], [owner[:0]]
            cosine = CosineBlock(_BLOCK, label.device)
            for rows, columns in pieces:
                left = unit.take(order[rows])
                tile = cosine(left, left if rows == columns else unit.take(order[columns]))
                same = owner[rows].unsqueeze(1) == owner[columns]
                row, column = (same.triu_(1) if rows == columns else same).nonzero().unbind(1)
                score = tile[row, column]
                scores.append(score)
                identities.append(owner[rows][row])
                hard = (score <= worst.worst).nonzero().flatten()
                worst.add_pairs(score[hard], order[rows][row[hard]], order[columns][column[hard]])
            return torch.cat(scores), torch.cat(identities)

        found = in_threads(work, _tiles(images[images > 1].cumsum(0).tolist()), label.device)
        self.score, self.identity = (torch.cat(parts) for parts in zip(*found, strict=True))
        self.hardest = worst.pairs()
        self.impostors = (len(label) ** 2 - int(images.square().sum())) // 2


def _tiles(ends: Sequence[int]) -> list[tuple[slice, slice]]:
    """Rows and columns of small tiles that hold all pairs of identities that end at ``ends``."""
    tiles, start = [], 0
    for end, following in pairwise([*ends, sys.maxsize]):
        # As many whole identities as a block takes, or one that takes several blocks.
        if following > start + _BLOCK:
            blocks = [slice(first, min(first + _BLOCK, end)) for first in range(start, end, _BLOCK)]
            tiles += [(rows, columns) for i, rows in enumerate(blocks) for columns in blocks[i:]]
            start = end
    return tiles
