"""The best scores of probes against a stream of rows: tiles are screened, what may matter is scored again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows
from lossbench.functional.hardest import Extreme
from lossbench.functional.screening import rescored
from lossbench.functional.tile_screen import TileScreen


class ScreenedScan:
    """Exact best scores of each probe, and highest of all, with the rows seen so far.

    best: (n, depth) float32, descending, each probe's best scores that are at least its ``least``; minus
    infinity where there are fewer. highest: all probes' highest scores, numbered row * n + probe.
    """

    def __init__(self, unit: UnitRows, least: Tensor, *, depth: int, keep: int, block: int) -> None:
        """``least``: (n,) float32. ``block``: probes of one tile, and half its rows."""
        self._unit, device = unit, least.device
        self._least = torch.nextafter(least, torch.full_like(least, -math.inf))
        self.best = torch.full((len(least), depth), -math.inf, device=device)
        self.highest = Extreme(keep, device)
        self._block = min(block, max(len(least), 1))
        self._parts = torch.arange(len(least), device=device).split(self._block)
        self.width = 2 * block
        self._cosine = CosineBlock(math.isqrt(self._block * self.width - 1) + 1, device)
        self._screen = TileScreen(unit, self._parts, self.width)
        self._reached = -math.inf

    def see(self, unit: UnitRows, start: int) -> None:
        """See rows (b, d), the first of which is number ``start``, b at most ``width``."""
        every = torch.arange(len(unit.embedding), device=self.best.device)
        right, exact = self._screen.right(unit) if self._screen.holds else None, None
        # Later rows lose ties: to reach the worst that earlier ones left is not enough.
        self._reached = self.highest.worst
        bound = torch.maximum(self.best[:, -1], self._least).clamp(max=self._reached)
        rows, columns = [every[:0]], [every[:0]]
        for i, part in enumerate(self._parts):
            entries = None if right is None else self._screen.open_entries(i, right, bound[part])
            if entries is None:
                exact = unit.take(every) if exact is None else exact
                self._add_tile(part, self._cosine(self._unit.take(part), exact), start)
            else:
                rows.append(part[entries[0]])
                columns.append(entries[1])
        self._add_pairs(torch.cat(rows), torch.cat(columns), unit, start)

    def _add_tile(self, part: Tensor, tile: Tensor, start: int) -> None:
        better = (tile.amax(1) > self.best[part, -1]).nonzero().flatten()
        rows = part[better]
        merged = torch.cat([self.best[rows], tile[better]], dim=1).topk(self.best.shape[1], dim=1).values
        self.best[rows] = merged
        limit = self.highest.worst
        if limit == -math.inf and tile.numel() > self.highest.count:
            limit = float(tile.flatten().topk(self.highest.count).values[-1])
        row, column = ((tile >= limit) & (tile > self._reached)).nonzero().unbind(1)
        self.highest.add(tile[row, column], self._number(part[row], column, start))

    def _add_pairs(self, row: Tensor, column: Tensor, unit: UnitRows, start: int) -> None:
        if not len(row):
            return
        score = rescored(self._unit, row, unit, column)
        self.highest.add(score, self._number(row, column, start))
        # One padded line for each probe met, beside its best.
        rows, line, count = row.unique(return_inverse=True, return_counts=True)
        order = line.argsort(stable=True)
        place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[line[order]]
        new = torch.full((len(rows), int(count.max())), -math.inf, device=row.device)
        new[line[order], place] = score[order]
        self.best[rows] = torch.cat([self.best[rows], new], dim=1).topk(self.best.shape[1], dim=1).values

    def _number(self, probe: Tensor, column: Tensor, start: int) -> Tensor:
        return (column + start) * len(self.best) + probe
