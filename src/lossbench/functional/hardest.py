"""The hardest pairs: impostors that score highest, genuine pairs that score lowest."""

from __future__ import annotations

import math
import sys
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

_SPARE = 4096


class HardPairs(NamedTuple):
    """Pairs of rows, hardest first: score (k,) float32, and first and second (k,) int64, first < second."""

    score: Tensor
    first: Tensor
    second: Tensor


class Extreme:
    """The ``count`` highest (or lowest) scores seen, in whatever order they come, each with a whole number.

    Of equal scores those with the lower numbers are kept. worst: a score that ``count`` of those seen reach;
    one that only equals it does not go in with a number above ``last``.
    """

    def __init__(self, count: int, device: torch.device, *, largest: bool = True) -> None:
        self.count, self.largest = count, largest
        never = math.inf if largest else -math.inf
        self.worst, self.last = -never if count else never, sys.maxsize
        self._lock = Lock()
        self._score = [torch.zeros(0, dtype=torch.float32, device=device)]
        self._number = [torch.zeros(0, dtype=torch.int64, device=device)]

    def add(self, score: Tensor, number: Tensor) -> None:
        """See scores (b,) float32 with their numbers (b,) int64, from any thread."""
        with self._lock:
            self._score.append(score)
            self._number.append(number)
            if sum(map(len, self._score)) > 2 * self.count + _SPARE:
                self._shrink()

    def result(self) -> tuple[Tensor, Tensor]:
        """Return scores and numbers (k,), the most extreme first, equal scores by number."""
        self._shrink()
        (score,), (number,) = self._score, self._number
        order = number.argsort()
        order = order[score[order].argsort(descending=self.largest, stable=True)]
        return score[order], number[order]

    def _shrink(self) -> None:
        score, number = torch.cat(self._score), torch.cat(self._number)
        if len(score) >= self.count > 0:
            edge = score.topk(self.count, largest=self.largest).values[-1]
            inside = (score > edge if self.largest else score < edge).nonzero().flatten()
            tied = (score == edge).nonzero().flatten()
            lowest = number[tied].topk(self.count - len(inside), largest=False).indices
            kept = torch.cat([inside, tied[lowest]])
            self.last = int(number[tied[lowest]].max())
            score, number, self.worst = score[kept], number[kept], float(edge)
        elif not self.count:
            score, number = score[:0], number[:0]
        self._score, self._number = [score], [number]


class Hardest:
    """The ``count`` hardest pairs of a set's rows; of equal scores those with the first rows."""

    def __init__(self, count: int, rows: int, device: torch.device, *, largest: bool) -> None:
        self._rows, self._found = max(rows, 1), Extreme(count, device, largest=largest)

    def add(self, tile: Tensor, rows: Tensor, columns: Tensor, wanted: Tensor | None) -> None:
        """See the scores (a, b) of rows (a,) with columns (b,), only those ``wanted`` (a, b) if given."""
        seen = (tile >= self._found.worst) if self._found.largest else (tile <= self._found.worst)
        row, column = (seen if wanted is None else seen & wanted).nonzero().unbind(1)
        self.add_pairs(tile[row, column], rows[row], columns[column])

    @property
    def worst(self) -> float:
        """A score that ``count`` of the pairs seen reach."""
        return self._found.worst

    def add_pairs(self, score: Tensor, first: Tensor, second: Tensor) -> None:
        """See pairs one by one, (b,) each."""
        self._found.add(score, torch.minimum(first, second) * self._rows + torch.maximum(first, second))

    def pairs(self) -> HardPairs:
        """Return the hardest pairs seen."""
        score, number = self._found.result()
        first = number.div(self._rows, rounding_mode="floor")
        return HardPairs(score, first, number - first * self._rows)
