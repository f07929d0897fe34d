"""The best scores of probes against a stream of rows: tiles are screened, what may matter is scored again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows
from lossbench.functional.hardest import Extreme
from lossbench.functional.screening import (
    float32_products_hold,
    rescored,
    scaling_error,
    screening_error,
)

_GROUP = 32
# Scoring a pair costs about as much as 300 entries of a float64 tile.
_FEW = 256


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
        self._tile = torch.empty(self._block * self.width, device=device)
        columns = unit.embedding.shape[1]
        self._error = screening_error(columns) + scaling_error(columns)
        self._reached = -math.inf
        self._screens = math.isfinite(self._error) and float32_products_hold(device)
        self._left = [unit.take(part).float() for part in self._parts] if self._screens else []

    def see(self, unit: UnitRows, start: int) -> None:
        """See rows (b, d), the first of which is number ``start``, b at most ``width``."""
        every = torch.arange(len(unit.embedding), device=self.best.device)
        right, exact = scaled(unit) if self._screens else None, None
        # Later rows lose ties: to reach the worst that earlier ones left is not enough.
        self._reached = self.highest.worst
        bound = torch.maximum(self.best[:, -1], self._least).clamp(max=self._reached)
        for i, part in enumerate(self._parts):
            open_ = None if right is None else self._open(self._left[i], right, bound[part])
            if open_ is None:
                exact = unit.take(every) if exact is None else exact
                self._add_tile(part, self._cosine(self._unit.take(part), exact), start)
            else:
                self._add_pairs(part[open_[0]], open_[1], unit, start)

    def _open(self, left: Tensor, right: Tensor, bound: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return rows and columns of the entries that may score above their row's bound; None for many."""
        shape = (len(left), len(right))
        tile = self._tile[: shape[0] * shape[1]].view(shape)
        torch.mm(left, right.T, out=tile)
        low = (bound.double() - self._error).float()
        limit = torch.nextafter(low, torch.full_like(low, -math.inf)).unsqueeze(1)
        if shape[1] % _GROUP:
            row, column = (tile > limit).nonzero().unbind(1)
        else:
            # Most groups of entries hold nothing that matters, and their maximum says so.
            groups = tile.view(shape[0], _GROUP, -1)
            row, group = (groups.amax(1) > limit).nonzero().unbind(1)
            if len(row) * _FEW > tile.numel():
                return None
            entry, member = (groups[row, :, group] > limit[row]).nonzero().unbind(1)
            row, column = row[entry], member * groups.shape[2] + group[entry]
        return None if len(row) * _FEW > tile.numel() else (row, column)

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


def scaled(unit: UnitRows) -> Tensor:
    """Return the rows float32 at unit length, within ``scaling_error`` of their fixed-point vectors."""
    norm = unit.grain * 2.0**26
    if unit.embedding.dtype == torch.float64 or float(norm.max()) > 2.0**100 or float(norm.min()) < 2.0**-100:
        return (unit.embedding.double() / norm).float()
    return unit.embedding.float() * norm.reciprocal().float()
