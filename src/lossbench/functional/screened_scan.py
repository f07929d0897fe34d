"""The best scores of probes against a stream of rows: tiles are screened, what may matter is scored again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows
from lossbench.functional.hardest import Extreme
from lossbench.functional.screening import rescored
from lossbench.functional.threads import in_threads
from lossbench.functional.tile_screen import TileScreen

Read = Callable[[int, int], UnitRows]
"""(start, stop) -> the rows of those numbers."""


class ScreenedScan:
    """Exact best scores of each probe, and highest of all, with the rows seen so far.

    best: (n, depth) float32, descending, each probe's best scores; what stands below its ``least`` means
    nothing. highest: all probes' highest scores, numbered row * n + probe.
    """

    def __init__(self, unit: UnitRows, least: Tensor, *, depth: int, keep: int, block: int) -> None:
        """``least``: (n,) float32. ``block``: probes of one tile, and half its rows."""
        self._unit, self._device, self._width = unit, least.device, 2 * block
        self._least = torch.nextafter(least, torch.full_like(least, -math.inf))
        self.best = torch.full((len(least), depth), -math.inf, device=least.device)
        self.highest = Extreme(keep, least.device)
        self._lock = Lock()
        self._block = min(block, max(len(least), 1))
        self._parts = torch.arange(len(least), device=least.device).split(self._block)
        self._screen = TileScreen(unit, self._parts)

    def see(self, start: int, stop: int, read: Read) -> None:
        """See rows ``start`` to ``stop`` - 1."""
        starts = range(start, stop, self._width)
        in_threads(partial(self._work, stop, read), starts, self._device)

    def _work(self, stop: int, read: Read, starts: Iterator[int]) -> None:
        size = self._block * self._width
        tile, cosine = self._screen.buffer(size), CosineBlock(math.isqrt(size - 1) + 1, self._device)
        for start in starts:
            unit = read(start, min(start + self._width, stop))
            self._see(unit, start, tile, cosine)

    def _see(self, unit: UnitRows, start: int, buffer: Tensor, cosine: CosineBlock) -> None:
        every = torch.arange(len(unit.embedding), device=self._device)
        right, exact = self._screen.right(unit) if self._screen.holds else None, None
        # What other threads add meanwhile only raises it.
        bound = torch.maximum(self.best[:, -1], self._least).clamp(max=self.highest.worst)
        rows, columns = [every[:0]], [every[:0]]
        for i, part in enumerate(self._parts):
            entries = None if right is None else self._screen.open_entries(i, right, bound[part], buffer)
            if entries is None:
                exact = unit.take(every) if exact is None else exact
                self._add_tile(part, cosine(self._unit.take(part), exact), start)
            else:
                rows.append(part[entries[0]])
                columns.append(entries[1])
        self._add_pairs(torch.cat(rows), torch.cat(columns), unit, start)

    def _add_tile(self, part: Tensor, tile: Tensor, start: int) -> None:
        better = (tile.amax(1) > self.best[part, -1]).nonzero().flatten()
        self._merge(part[better], tile[better])
        limit = self.highest.worst
        if limit == -math.inf and tile.numel() > self.highest.count:
            limit = float(tile.flatten().topk(self.highest.count).values[-1])
        # Later rows lose ties: where scores are all alike, that spares a tile of entries each time.
        tied = limit > self.highest.worst or start * len(self.best) <= self.highest.last
        row, column = ((tile >= limit) if tied else (tile > limit)).nonzero().unbind(1)
        self.highest.add(tile[row, column], self._number(part[row], column, start))

    def _add_pairs(self, row: Tensor, column: Tensor, unit: UnitRows, start: int) -> None:
        if not len(row):
            return
        score = rescored(self._unit, row, unit, column)
        self.highest.add(score, self._number(row, column, start))
        # One padded line for each probe met.
        rows, line, count = row.unique(return_inverse=True, return_counts=True)
        order = line.argsort(stable=True)
        place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[line[order]]
        new = torch.full((len(rows), int(count.max())), -math.inf, device=row.device)
        new[line[order], place] = score[order]
        self._merge(rows, new)

    def _merge(self, rows: Tensor, new: Tensor) -> None:
        """Put scores (b, k) among the best of ``rows`` (b,)."""
        with self._lock:
            both = torch.cat([self.best[rows], new], dim=1)
            self.best[rows] = both.topk(self.best.shape[1], dim=1).values

    def _number(self, probe: Tensor, column: Tensor, start: int) -> Tensor:
        return (column + start) * len(self.best) + probe
