"""The hardest pairs: impostors that score highest, genuine pairs that score lowest."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class HardPairs(NamedTuple):
    """Pairs of rows, hardest first: score (k,) float32, and first and second (k,) int64, first < second."""

    score: Tensor
    first: Tensor
    second: Tensor


class Hardest:
    """The ``count`` highest (or lowest) scores among all pairs seen, in whatever order they come.

    Of pairs that score alike, those with the lower first row go in, then those with the lower second.
    """

    def __init__(self, count: int, rows: int, device: torch.device, *, largest: bool) -> None:
        """``rows``: of the embedding, so that a pair is one whole number."""
        self._count, self._rows, self._largest = count, rows, largest
        self._score = torch.zeros(0, dtype=torch.float32, device=device)
        self._code = torch.zeros(0, dtype=torch.int64, device=device)

    def add(self, tile: Tensor, rows: Tensor, columns: Tensor, wanted: Tensor | None) -> None:
        """See the scores (a, b) of rows (a,) with columns (b,), only those ``wanted`` (a, b) if given."""
        if self._count == 0:
            return
        seen = torch.ones_like(tile, dtype=torch.bool) if wanted is None else wanted
        if len(self._score) == self._count:
            worst = self._score[-1]
            seen = seen & ((tile >= worst) if self._largest else (tile <= worst))
        row, column = seen.nonzero().unbind(1)
        self.add_pairs(tile[row, column], rows[row], columns[column])

    def add_pairs(self, score: Tensor, first: Tensor, second: Tensor) -> None:
        """See pairs one by one, (b,) each."""
        if self._count == 0:
            return
        code = torch.minimum(first, second) * self._rows + torch.maximum(first, second)
        score, code = torch.cat([self._score, score]), torch.cat([self._code, code])
        if len(score) > self._count:
            kept = self._pick(score, code)
            score, code = score[kept], code[kept]
        order = code.argsort()
        order = order[score[order].argsort(descending=self._largest, stable=True)]
        self._score, self._code = score[order], code[order]

    def _pick(self, score: Tensor, code: Tensor) -> Tensor:
        """Indices of the ``count`` hardest: sorting all would take minutes where millions score alike."""
        edge = score.topk(self._count, largest=self._largest).values[-1]
        inside = (score > edge if self._largest else score < edge).nonzero().flatten()
        tied = (score == edge).nonzero().flatten()
        room = self._count - len(inside)
        return torch.cat([inside, tied[code[tied].topk(room, largest=False).indices]])

    def pairs(self) -> HardPairs:
        """Return the hardest pairs seen."""
        first = torch.div(self._code, max(self._rows, 1), rounding_mode="floor")
        return HardPairs(self._score, first, self._code - first * self._rows)
