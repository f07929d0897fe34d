"""The hardest pairs: impostors that score highest, genuine pairs that score lowest."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class HardPairs(NamedTuple):
    """Pairs of rows, hardest first: score (k,) float32, and first and second (k,) int64, first < second."""

    score: Tensor
    first: Tensor
    second: Tensor


class Extreme:
    """The ``count`` highest (or lowest) scores seen, in whatever order they come, each with a number.

    score: (k,) float32, most extreme first. number: (k,) int64. Of equal scores the lower numbers go in.
    """

    def __init__(self, count: int, device: torch.device, *, largest: bool = True) -> None:
        self.count, self.largest = count, largest
        self.score = torch.zeros(0, dtype=torch.float32, device=device)
        self.number = torch.zeros(0, dtype=torch.int64, device=device)

    @property
    def worst(self) -> float:
        """The score that a further one must reach to go in."""
        never = math.inf if self.largest else -math.inf
        if self.count == 0:
            return never
        return float(self.score[-1]) if len(self.score) == self.count else -never

    def add(self, score: Tensor, number: Tensor) -> None:
        """See scores (b,) with their numbers (b,)."""
        score, number = torch.cat([self.score, score]), torch.cat([self.number, number])
        if len(score) > self.count:
            kept = self._pick(score, number)
            score, number = score[kept], number[kept]
        order = number.argsort()
        order = order[score[order].argsort(descending=self.largest, stable=True)]
        self.score, self.number = score[order], number[order]

    def _pick(self, score: Tensor, number: Tensor) -> Tensor:
        """Indices of ``count`` of them: sorting all would take minutes where millions score alike."""
        if self.count == 0:
            return torch.zeros(0, dtype=torch.int64, device=score.device)
        edge = score.topk(self.count, largest=self.largest).values[-1]
        inside = (score > edge if self.largest else score < edge).nonzero().flatten()
        tied = (score == edge).nonzero().flatten()
        room = self.count - len(inside)
        return torch.cat([inside, tied[number[tied].topk(room, largest=False).indices]])


class Hardest:
    """The ``count`` hardest pairs of a set's rows; of equal scores those with the first rows."""

    def __init__(self, count: int, rows: int, device: torch.device, *, largest: bool) -> None:
        self._rows, self._found = max(rows, 1), Extreme(count, device, largest=largest)

    def add(self, tile: Tensor, rows: Tensor, columns: Tensor, wanted: Tensor | None) -> None:
        """See the scores (a, b) of rows (a,) with columns (b,), only those ``wanted`` (a, b) if given."""
        seen = (tile >= self._found.worst) if self._found.largest else (tile <= self._found.worst)
        row, column = (seen if wanted is None else seen & wanted).nonzero().unbind(1)
        self.add_pairs(tile[row, column], rows[row], columns[column])

    def add_pairs(self, score: Tensor, first: Tensor, second: Tensor) -> None:
        """See pairs one by one, (b,) each."""
        self._found.add(score, torch.minimum(first, second) * self._rows + torch.maximum(first, second))

    def pairs(self) -> HardPairs:
        """Return the hardest pairs seen."""
        first = self._found.number.div(self._rows, rounding_mode="floor")
        return HardPairs(self._found.score, first, self._found.number - first * self._rows)
