"""All genuine scores of a labelled set, with the identity each belongs to."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows
from lossbench.functional.hardest import Hardest
from lossbench.functional.pairs import PairGrid

# Genuine pairs lie near the diagonal once rows are sorted by label: small tiles score few others.
_BLOCK = 128


class GenuinePairs:
    """score: (g,) float32 in no particular order. identity: (g,) which identity, counted by label."""

    def __init__(self, unit: UnitRows, label: Tensor, hardest: int) -> None:
        grid = PairGrid(label, _BLOCK)
        owner = grid.label.unique_consecutive(return_inverse=True)[1]
        owners = owner.split(grid.block)
        worst = Hardest(hardest, len(label), label.device, largest=False)
        scores, identities = [unit.grain.new_zeros(0, dtype=torch.float32)], [owner[:0]]
        for i, j, tile in grid.mixed(unit):
            wanted = grid.wanted(i, j, genuine=True)
            scores.append(tile[wanted])
            identities.append(owners[i][wanted.nonzero()[:, 0]])
            worst.add(tile, grid.rows[i], grid.rows[j], wanted)
        self.score, self.identity = torch.cat(scores), torch.cat(identities)
        self.hardest = worst.pairs()
        images = grid.label.unique_consecutive(return_counts=True)[1]
        self.impostors = (len(label) ** 2 - int(images.square().sum())) // 2

    def macro(self, threshold: float) -> float:
        """Return the mean over identities of the share of their own genuine pairs scoring >= threshold."""
        pairs = self.identity.bincount()
        accepted = self.identity[self.score.double() >= threshold].bincount(minlength=len(pairs))
        several = pairs > 0
        shares = (accepted[several].double() / pairs[several]).tolist()
        # An exactly rounded sum does not depend on the order of the identities.
        return math.fsum(shares) / len(shares) if shares else math.nan
