"""Exact counts of impostors at chosen thresholds, from one screening pass and the scores it leaves open."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows
from lossbench.functional.hardest import Hardest, HardPairs
from lossbench.functional.pair_screening import (
    CELLS,
    PairScreen,
    Screened,
    UnsettledError,
    edges,
    place,
    span,
)
from lossbench.functional.screening import rescored, scaling_error, screening_error
from lossbench.functional.threads import in_threads

_PAIRS = 1024

Refused = Callable[[int, int, int], bool]
"""(point, impostors accepted, impostors above) -> bool; once true it stays so as any of them grows."""


class ScreenedCounts:
    """What a pass saw of the impostor pairs, asked for counts of the scores that ``cosine`` defines.

    Raises UnsettledError where the pass has not kept the pairs that an answer needs.
    """

    def __init__(self, unit: UnitRows, screen: PairScreen, seen: Screened, error: float) -> None:
        """``error``: bound of a tile's score."""
        self.seen, self.unit, self.order, self.error = seen, unit, screen.order, error
        self.rows = screen.rows
        self.from_cell = [*seen.cells.flip(0).cumsum(0).flip(0).tolist(), 0]
        self.impostors = self.from_cell[0]
        kept = torch.where(seen.watched, seen.cells, 0)
        self._unkept, self._before = ([0, *n.cumsum(0).tolist()] for n in (seen.cells - kept, kept))
        # Sixteen bits are sorted in a third of the time of thirty-two.
        self._by_cell = (seen.cell - CELLS // 2).short().sort(stable=True).indices

    def kept(self, first: int, last: int) -> Tensor:
        """Return the places of the pairs in cells ``first`` to ``last``."""
        if self._unkept[last + 1] > self._unkept[first]:
            raise UnsettledError
        return self._by_cell[self._before[first] : self._before[last + 1]]

    def last_point(self, at: Sequence[float], refused: Refused) -> tuple[int, int, int]:
        """Return the last point not refused and the impostors scoring >= and > its threshold.

        at: thresholds, descending. (-1, 0, 0) where every point is refused.
        """
        points = range(len(at))

        def bounded(point: int, end: int) -> bool:
            count = self.from_cell[span(at[point] - self.error, at[point] + self.error)[end] + end]
            return refused(point, count, count)

        low = bisect_left(points, True, key=lambda point: bounded(point, 0))
        high = bisect_left(points, True, low, key=lambda point: bounded(point, 1))
        # The answer is the point before ``low``, or one of those from there on.
        first = low - 1 if 0 < low < high and at[low - 1] - at[low] < 2 * self.error else low
        if low < high:
            band = Band(self, at[high - 1], at[first])
            low = band.first_refused(at, low, high, refused)
        if low == 0:
            return -1, 0, 0
        if low <= first:
            band = Band(self, at[low - 1], at[low - 1])
        return low - 1, *band.settled(at[low - 1])

    def hardest(self, count: int) -> HardPairs:
        """Return the ``count`` impostor pairs of the highest scores."""
        last = bisect_left(range(CELLS - 1), True, key=lambda cell: self.from_cell[cell + 1] < count)
        # The tile score that ranks last lies in that cell: with the bound twice, its rivals do not lie lower.
        low = float(edges(torch.tensor(last))[0]) - 2 * self.error
        found = Hardest(count, len(self.order), self.order.device, largest=True)
        found.add_pairs(*Band(self, low, 1.0).score(low))
        return found.pairs()

    def far_at(self, thresholds: Tensor) -> Tensor:
        """Return (k,) float64 the false accept rates of tile scores by cell, near enough for a figure."""
        accepted = torch.tensor(self.from_cell, dtype=torch.float64, device=thresholds.device)
        return accepted[place(thresholds).round().long()] / self.impostors

    def area(self, genuine: Tensor) -> tuple[float, float]:
        """Return bounds of the area under the ROC with genuine scores (g,) ascending."""
        cells = self.seen.cells.nonzero().flatten()
        lowest, highest = edges(cells)
        least = torch.searchsorted(genuine.double(), lowest - self.error)
        most = torch.searchsorted(genuine.double(), highest + self.error, right=True)
        pairs = len(genuine) * self.impostors
        low, high = ((pairs - int((self.seen.cells[cells] * lost).sum())) / pairs for lost in (most, least))
        return low, high


class Band:
    """The pairs that are open at some thresholds: their tile scores do not tell on which side they are.

    Each has a value, and a radius within which its score lies: that of the tile, that of a product of its two
    rows alone, and zero once it is scored by the definition.
    """

    def __init__(self, counts: ScreenedCounts, low: float, high: float) -> None:
        """``low``, ``high``: the range of thresholds."""
        first, last = span(low - counts.error, high + counts.error)
        self._counts, self._higher = counts, counts.from_cell[last + 1]
        self._kept = counts.kept(first, last)
        self._value = counts.seen.score[self._kept].double()
        self._radius = torch.full_like(self._value, counts.error)

    @property
    def _steps(self) -> tuple[Callable[[Tensor], None], ...]:
        """Ways to look at pairs ever more closely. Not kept: a band would hold itself in memory."""
        return self._multiply, self._score

    def first_refused(self, at: Sequence[float], low: int, high: int, refused: Refused) -> int:
        """Return the first point of low .. high - 1 that is refused, or ``high``."""
        # Tile scores tell where to look: few pairs are open at the two thresholds next to the answer.
        found = bisect_left(range(high), True, low, key=lambda p: refused(p, *self.count(at[p])))
        while found < high and not self._refused(found, at[found], refused):
            found += 1
        while found > low and self._refused(found - 1, at[found - 1], refused):
            found -= 1
        return found

    def _refused(self, point: int, threshold: float, refused: Refused) -> bool:
        """Whether a point is refused; no pair is looked at more closely than that takes."""
        for settle in self._steps:
            least = self._higher + int((self._value > threshold + self._radius).sum())
            most = self._higher + int((self._value >= threshold - self._radius).sum())
            if refused(point, least, least) == (answer := refused(point, most, most)):
                return answer
            settle(self._near(threshold))
        return refused(point, *self.count(threshold))

    def count(self, threshold: float) -> tuple[int, int]:
        """Return the numbers of impostors with a value >= and > a threshold of the range."""
        at_least, above = (self._value >= threshold).sum(), (self._value > threshold).sum()
        return self._higher + int(at_least), self._higher + int(above)

    def settled(self, threshold: float) -> tuple[int, int]:
        """Return the numbers of impostors scoring >= and > a threshold of the range."""
        for settle in self._steps:
            settle(self._near(threshold))
        return self.count(threshold)

    def score(self, low: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores and rows of all pairs of the range whose tile score is at least ``low``."""
        pairs = (self._value >= low).nonzero().flatten()
        self._score(pairs)
        return self._value[pairs].float(), *self._rows(pairs)

    def _near(self, threshold: float) -> Tensor:
        """Return the pairs that are open at a threshold."""
        low, high = threshold - self._radius, threshold + self._radius
        return ((self._value >= low) & (self._value <= high) & (self._radius > 0)).nonzero().flatten()

    def _multiply(self, pairs: Tensor) -> None:
        rows, seen = self._counts.rows, self._counts.seen
        kept, columns = self._kept[pairs], rows.shape[1]
        width = next(w for w in range(math.isqrt(max(columns, 1)), 0, -1) if columns % w == 0)
        # Sums of sums: a term is rounded as often as both are long, not as often as a row is.
        radius = screening_error(width + columns // width) + 2 * scaling_error(columns)
        value = self._value.new_empty(len(pairs))

        def work(starts: Iterator[int]) -> None:
            left, right = rows.new_empty(2, _PAIRS, columns)
            for start in starts:
                part = kept[start : start + _PAIRS]
                torch.index_select(rows, 0, seen.row[part], out=left[: len(part)])
                torch.index_select(rows, 0, seen.column[part], out=right[: len(part)])
                product = left[: len(part)].mul_(right[: len(part)])
                sums = product.view(len(part), width, columns // width).sum(2)
                value[start : start + _PAIRS] = sums.sum(1)

        in_threads(work, range(0, len(pairs), _PAIRS), value.device)
        self._value[pairs], self._radius[pairs] = value, radius

    def _score(self, pairs: Tensor) -> None:
        unit = self._counts.unit
        first, second = self._rows(pairs)
        self._value[pairs] = rescored(unit, first, unit, second).double()
        self._radius[pairs] = 0

    def _rows(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        order, seen, kept = self._counts.order, self._counts.seen, self._kept[pairs]
        return order[seen.row[kept]], order[seen.column[kept]]
