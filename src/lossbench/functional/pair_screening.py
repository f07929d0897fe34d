"""One pass of float32 tiles over all impostor pairs: counts by cell of score, and the pairs of some cells."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows
from lossbench.functional.pairs import PairGrid

CELLS = 2**16
_SCALE, _OFFSET = 32000.0, 32768.0
# Tiles find a score's place in float32, up to 2**-7 of a cell beside the true one.
_SLACK = 2.0**-6
# Entries that are no impostor pair get a score below every cosine, and so a cell of their own.
_EXCLUDED, _LOWEST = -1.02, 400
_SAMPLE = 128
_TAKEN = 4096


class UnsettledError(Exception):
    """The pass did not keep the pairs that a number needs."""


class Screened(NamedTuple):
    """What is left of the tiles of all impostor pairs.

    cells: (CELLS,) int64, pairs by cell of their tile score. watched: (CELLS,) bool, cells whose pairs were
    kept. score: (k,) float32, their tile scores. cell: (k,) int32. row, column: (k,) int64, places in the
    order of labels.
    """

    cells: Tensor
    watched: Tensor
    score: Tensor
    cell: Tensor
    row: Tensor
    column: Tensor


def place(score: Tensor) -> Tensor:
    """Return float64 the place of scores on the axis of cells: cell c reaches from c to c + 1."""
    return score.double() * _SCALE + _OFFSET


def edges(cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest tile score that can have been counted in each cell."""
    low = (cell.double() - _OFFSET - _SLACK) / _SCALE
    return low, low + (1 + 2 * _SLACK) / _SCALE


def span(low: float, high: float) -> tuple[int, int]:
    """Return the first and the last cell in which tile scores from low to high can have been counted."""
    first, last = (
        math.floor(score * _SCALE + _OFFSET + side) for score, side in ((low, -_SLACK), (high, _SLACK))
    )
    return max(first, 0), min(last, CELLS - 1)


class PairScreen:
    """The float32 unit rows of a labelled set, sorted by label, and the buffers of one tile."""

    def __init__(self, unit: UnitRows, grid: PairGrid) -> None:
        self.grid, device = grid, grid.label.device
        self.rows = torch.empty(unit.embedding.shape, dtype=torch.float32, device=device)
        for part, order in zip(self.rows.split(_TAKEN), grid.order.split(_TAKEN), strict=True):
            part.copy_(unit.take(order))
        size = max(grid.block, min(_SAMPLE, len(self.rows))) ** 2
        self._score = torch.empty(size, dtype=torch.float32, device=device)
        self._place = torch.empty(size, dtype=torch.float32, device=device)
        self._cell = torch.empty(size, dtype=torch.int32, device=device)
        self._kept = torch.empty(size, dtype=torch.bool, device=device)
        self._offset = torch.tensor(_OFFSET, device=device)

    def sample(self) -> Tensor:
        """Return (CELLS,) int64: about 128 n impostor pairs by cell, in which every row has the same part."""
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(0))
        blocks = order.to(self.rows.device).split(_SAMPLE)
        cells = torch.zeros(CELLS, dtype=torch.int64, device=self.rows.device)
        # Each block meets the next: what differs between rows is no noise, only who meets whom is drawn.
        for rows, columns in zip(blocks, blocks[1:] + blocks[:1], strict=True):
            impostor = self.grid.label[rows].unsqueeze(1) != self.grid.label[columns]
            cells += self._count(self._tile(self.rows[rows], self.rows[columns], impostor))[1]
        return cells

    def scan(self, watched: Tensor) -> Screened:
        """Count every impostor pair, and keep those in the cells ``watched`` (CELLS,) bool."""
        block, blocks = self.grid.block, self.rows.split(self.grid.block)
        total = torch.zeros(CELLS, dtype=torch.int64, device=self.rows.device)
        kept = [(self._score[:0], self._cell[:0], total[:0], total[:0])]
        for i, j, mixed in self.grid.tiles():
            impostor = self.grid.wanted(i, j, genuine=False) if mixed else None
            tile = self._tile(blocks[i], blocks[j], impostor)
            cell, cells = self._count(tile)
            total += cells
            found = torch.index_select(watched, 0, cell, out=self._kept[: len(cell)]).nonzero().flatten()
            row = found.div(tile.shape[1], rounding_mode="floor")
            column = found - row * tile.shape[1]
            kept.append((tile.flatten()[found], cell[found], row + i * block, column + j * block))
        return Screened(total, watched, *(torch.cat(parts) for parts in zip(*kept, strict=True)))

    def _tile(self, left: Tensor, right: Tensor, impostor: Tensor | None) -> Tensor:
        tile = self._score[: len(left) * len(right)].view(len(left), len(right))
        torch.mm(left, right.T, out=tile)
        return tile if impostor is None else tile.masked_fill_(impostor.logical_not(), _EXCLUDED)

    def _count(self, tile: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cell of each entry, until the next call, and the impostor pairs by cell."""
        size = tile.numel()
        torch.add(self._offset, tile.flatten(), alpha=_SCALE, out=self._place[:size])
        cell = self._cell[:size].copy_(self._place[:size])
        cells = torch.bincount(cell, minlength=CELLS)
        cells[:_LOWEST] = 0
        return cell, cells
