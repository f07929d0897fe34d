"""Exact counts of impostors at chosen thresholds, from one screening pass and the scores it leaves open."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows
from lossbench.functional.hardest import Hardest, HardPairs
from lossbench.functional.pair_screening import CELLS, Screened, UnsettledError, edges, place, span
from lossbench.functional.screening import rescored

Refused = Callable[[int, int, int], bool]
"""(point, impostors accepted, impostors above) -> bool; once true it stays so as any of them grows."""


class ScreenedCounts:
    """What a pass saw of the impostor pairs, asked for counts of the scores that ``cosine`` defines.

    Raises UnsettledError where the pass has not kept the pairs that an answer needs.
    """

    def __init__(self, seen: Screened, unit: UnitRows, order: Tensor, error: float) -> None:
        """``order``: (n,) the row of the embedding at each place. ``error``: bound of a tile's score."""
        self.seen, self.unit, self.order, self.error = seen, unit, order, error
        self.from_cell = [*seen.cells.flip(0).cumsum(0).flip(0).tolist(), 0]
        self.unkept = [0, *torch.where(seen.watched, 0, seen.cells).cumsum(0).tolist()]
        self.impostors = self.from_cell[0]

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
        found = low
        if low < high:
            band = Band(self, at[high - 1], at[low])
            found = bisect_left(points, True, low, high, key=lambda p: band.refused(p, at[p], refused))
        if found == 0:
            return -1, 0, 0
        if found == low:
            band = Band(self, at[low - 1], at[low - 1])
        return found - 1, *band.count(at[found - 1])

    def hardest(self, count: int) -> HardPairs:
        """Return the ``count`` impostor pairs of the highest scores."""
        last = bisect_left(range(CELLS - 1), True, key=lambda cell: self.from_cell[cell + 1] < count)
        # The tile score that ranks last lies in that cell: with the bound twice, its rivals do not lie lower.
        low = float(edges(torch.tensor(last))[0]) - 2 * self.error
        band = Band(self, low, 1.0)
        found = Hardest(count, len(self.order), self.order.device, largest=True)
        found.add_pairs(*band.rows(band.near(low, math.inf)))
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
    """The pairs that are open at some thresholds: their tile scores do not tell on which side they are."""

    def __init__(self, counts: ScreenedCounts, low: float, high: float) -> None:
        """``low``, ``high``: the range of thresholds."""
        first, last = span(low - counts.error, high + counts.error)
        if counts.unkept[last + 1] > counts.unkept[first]:
            raise UnsettledError
        cell = counts.seen.cell
        self._counts, self._above = counts, counts.from_cell[last + 1]
        self._kept = ((cell >= first) & (cell <= last)).nonzero().flatten()
        self._tile = counts.seen.score[self._kept].double()
        self._score = torch.full_like(self._tile, math.nan)

    def refused(self, point: int, threshold: float, refused: Refused) -> bool:
        """Whether a point of the range is refused, by bounds of its counts where they tell."""
        error = self._counts.error
        least = self._above + int((self._tile > threshold + error).sum())
        most = self._above + int((self._tile >= threshold - error).sum())
        if refused(point, least, least) == (answer := refused(point, most, most)):
            return answer
        return refused(point, *self.count(threshold))

    def count(self, threshold: float) -> tuple[int, int]:
        """Return the numbers of impostors scoring >= and > a threshold of the range."""
        error = self._counts.error
        sure = self._above + int((self._tile > threshold + error).sum())
        score = self.rows(self.near(threshold - error, threshold + error))[0].double()
        return sure + int((score >= threshold).sum()), sure + int((score > threshold).sum())

    def near(self, low: float, high: float) -> Tensor:
        """Return which pairs have a tile score from low to high."""
        return ((self._tile >= low) & (self._tile <= high)).nonzero().flatten()

    def rows(self, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores of some pairs by the definition, and their rows in the embedding."""
        kept, counts = self._kept[pairs], self._counts
        first, second = (counts.order[place[kept]] for place in (counts.seen.row, counts.seen.column))
        open_ = self._score[pairs].isnan().nonzero().flatten()
        new = rescored(counts.unit, first[open_], counts.unit, second[open_])
        self._score[pairs[open_]] = new.double()
        return self._score[pairs].float(), first, second
