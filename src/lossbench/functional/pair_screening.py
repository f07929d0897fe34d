"""One pass of float32 tiles over all impostor pairs: counts by cell of score, and the pairs of some cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows
from lossbench.functional.screening import scaled
from lossbench.functional.threads import in_threads

CELLS = 2**16
_SCALE, _OFFSET = 32000.0, 32768.0
# Tiles find a score's place in float32, up to 2**-7 of a cell beside the true one.
_SLACK = 2.0**-6
# Entries that are no impostor pair get a score below every cosine, and so a cell of their own.
_EXCLUDED, _LOWEST = -1.02, 400
_SAMPLE = 64
_TAKEN = 4096
_DIAGONAL = 256
_WORD = 8


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
    """The float32 unit rows (n, d) of a labelled set, sorted by label."""

    def __init__(self, unit: UnitRows, label: Tensor, block: int) -> None:
        """``block``: rows and columns of one tile."""
        self.label, self.order = label.sort(stable=True)
        self.block = min(block, max(len(label), 1))
        self.rows = torch.empty(unit.embedding.shape, dtype=torch.float32, device=label.device)

        def work(starts: Iterator[int]) -> None:
            for start in starts:
                part = slice(start, start + _TAKEN)
                self.rows[part] = scaled(unit, self.order[part])

        in_threads(work, range(0, len(self.rows), _TAKEN), self.rows.device)

    def sample(self) -> Tensor:
        """Return (CELLS,) int64: about 64 n impostor pairs by cell, in which every row has the same part."""
        size = max(min(_SAMPLE, len(self.rows)), 1)
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(0))
        blocks = order[: len(order) // size * size].view(-1, size).to(self.rows.device)

        def work(pieces: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
            tile = _Tile(_SAMPLE * size * size, self.rows.device)
            for rows, columns in pieces:
                impostor = self.label[rows].unsqueeze(2) != self.label[columns].unsqueeze(1)
                tile.count(self.rows[rows], self.rows[columns], impostor)
            return tile.cells

        # Each block meets the next: what differs between rows is no noise, only who meets whom is drawn.
        pieces = list(zip(blocks.split(_SAMPLE), blocks.roll(1, 0).split(_SAMPLE), strict=True))
        return torch.stack(in_threads(work, pieces, self.rows.device)).sum(0)

    def scan(self, watched: Tensor) -> Screened:
        """Count every impostor pair, and keep those in the cells ``watched`` (CELLS,) bool."""

        def work(pieces: Iterator[tuple[slice, slice, bool]]) -> tuple[Tensor, list[Tensor]]:
            tile, kept = _Tile(self.block**2, self.rows.device), []
            for rows, columns, mixed in pieces:
                impostor = self._impostors(rows, columns) if mixed else None
                score, cell = tile.count(self.rows[rows], self.rows[columns], impostor)
                found = tile.find(watched, cell)
                row = found.div(columns.stop - columns.start, rounding_mode="floor")
                column = found - row * (columns.stop - columns.start) + columns.start
                kept.append((score[found], cell[found], row + rows.start, column))
            empty = torch.zeros(0, dtype=torch.int64, device=watched.device)
            kept.append((tile.score[:0], tile.cell[:0], empty, empty))
            return tile.cells, [torch.cat(parts) for parts in zip(*kept, strict=True)]

        found = in_threads(work, list(self._tiles()), watched.device)
        kept = [torch.cat(parts) for parts in zip(*(kept for _, kept in found), strict=True)]
        return Screened(torch.stack([cells for cells, _ in found]).sum(0), watched, *kept)

    def _tiles(self) -> Iterator[tuple[slice, slice, bool]]:
        """Yield rows and columns that cover the upper triangle, and whether not all are impostor pairs."""
        whole, label = _blocks(0, len(self.rows), self.block), self.label.tolist()
        blocks = [_blocks(part.start, part.stop, _DIAGONAL) for part in whole]
        for i, own in enumerate(blocks):
            # Half of a tile on the diagonal is not wanted: small ones leave less of it.
            for j, rows in enumerate(own):
                yield from ((rows, columns, True) for columns in own[j:])
            for columns in whole[i + 1 :]:
                # Sorted by label: genuine are pairs of the last row's identity, if it reaches the columns.
                yield whole[i], columns, label[whole[i].stop - 1] == label[columns.start]

    def _impostors(self, rows: slice, columns: slice) -> Tensor:
        impostor = self.label[rows].unsqueeze(1) != self.label[columns]
        return impostor.triu_(1) if rows == columns else impostor


def _blocks(start: int, stop: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]


class _Tile:
    """Buffers of one tile, and the impostor pairs counted in it so far."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.cells = torch.zeros(CELLS, dtype=torch.int64, device=device)
        self.score = torch.empty(size, dtype=torch.float32, device=device)
        self.cell = torch.empty(size, dtype=torch.int32, device=device)
        self._kept = torch.zeros(-(-size // _WORD) * _WORD, dtype=torch.bool, device=device)
        self._place = torch.empty(size, dtype=torch.float32, device=device)
        self._offset = torch.tensor(_OFFSET, device=device)

    def count(self, left: Tensor, right: Tensor, impostor: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return score and cell of each pair (a * b,) of rows (a, d) and (b, d), until the next call.

        Or of m such sets, (m, a, d) and (m, b, d). impostor: (a, b) or (m, a, b) bool, None for all.
        """
        score = self._multiply(left, right)
        size = score.numel()
        cell = self.cell[:size]
        if impostor is not None:
            score.masked_fill_(impostor.logical_not(), _EXCLUDED)
        torch.add(self._offset, score.view(size), alpha=_SCALE, out=self._place[:size])
        cell.copy_(self._place[:size])
        self.cells += torch.bincount(cell, minlength=CELLS)
        self.cells[:_LOWEST] = 0
        return score.view(size), cell

    def find(self, watched: Tensor, cell: Tensor) -> Tensor:
        """Return the places in ``cell`` (k,) of the cells ``watched``."""
        kept = self._kept[: -(-len(cell) // _WORD) * _WORD]
        torch.index_select(watched, 0, cell, out=kept[: len(cell)])
        kept[len(cell) :] = False
        # Few are: eight at a time are passed over as one number.
        words = kept.view(torch.int64).nonzero().flatten()
        word, byte = kept.view(-1, _WORD).index_select(0, words).nonzero().unbind(1)
        return words.index_select(0, word).mul_(_WORD).add_(byte)

    def _multiply(self, left: Tensor, right: Tensor) -> Tensor:
        shape = *left.shape[:-1], right.shape[-2]
        score = self.score[: math.prod(shape)].view(shape)
        return (torch.bmm if left.ndim == 3 else torch.mm)(left, right.mT, out=score)
