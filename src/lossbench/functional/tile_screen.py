"""Which entries of a tile may score above a bound, by a product in the fastest type whose error is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows
from lossbench.functional.screening import (
    bf16_error,
    bf16_products_hold,
    float32_products_hold,
    scaled,
    scaling_error,
    screening_error,
)

_GROUP = 32
# Scoring a pair costs about as much as 256 entries of a float64 tile.
_FEW = 256


class TileScreen:
    """Products of fixed rows, in parts, with other rows: bfloat16 where the CPU multiplies it, or float32."""

    def __init__(self, unit: UnitRows, parts: Sequence[Tensor]) -> None:
        """``parts``: rows of ``unit`` by tile."""
        device, columns = unit.grain.device, unit.embedding.shape[1]
        self._device = device
        self._half = bf16_products_hold(device)
        error = bf16_error(columns) if self._half else screening_error(columns)
        self._error = error + scaling_error(columns)
        self.holds = math.isfinite(self._error) and (self._half or float32_products_hold(device))
        self._type = torch.bfloat16 if self._half else torch.float32
        self._left = [unit.take(part).to(self._type) for part in parts] if self.holds else []

    def buffer(self, size: int) -> Tensor:
        """Return room for the entries of one tile."""
        return torch.empty(size if self.holds else 0, dtype=self._type, device=self._device)

    def right(self, unit: UnitRows) -> Tensor:
        """Return the other rows as ``open_entries`` takes them."""
        return scaled(unit).to(self._type)

    def open_entries(
        self, part: int, right: Tensor, bound: Tensor, buffer: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """Return row and column (k,) of all entries that may score above ``bound`` (b,) of their row.

        part: number of the tile's rows. None where there are so many that the tile had better be scored.
        """
        tile, limit = self._product(self._left[part], right, buffer), self._limit(bound)
        if limit is None:
            return None
        # Whole numbers order as positive bfloat16 do, and are compared faster.
        values = tile.view(torch.int16) if self._half else tile
        if values.shape[1] % _GROUP:
            row, column = (values > limit).nonzero().unbind(1)
        else:
            # Most groups of entries hold nothing that matters, and their maximum says so.
            groups = values.view(len(values), _GROUP, -1)
            row, group = (groups.amax(1) > limit).nonzero().unbind(1)
            if len(row) * _FEW > tile.numel():
                return None
            entry, member = (groups[row, :, group] > limit[row]).nonzero().unbind(1)
            row, column = row[entry], member * groups.shape[2] + group[entry]
        return None if len(row) * _FEW > tile.numel() else (row, column)

    def _product(self, left: Tensor, right: Tensor, buffer: Tensor) -> Tensor:
        tile = buffer[: len(left) * len(right)].view(len(left), len(right))
        return torch.mm(left, right.T, out=tile)

    def _limit(self, bound: Tensor) -> Tensor | None:
        """Return (b, 1) what an entry must exceed; None where a bfloat16 bound is not positive."""
        low = bound.double() - self._error
        if self._half:
            # Rounding keeps order: a sum above the bound is at least the bound rounded alike.
            limit = low.bfloat16().view(torch.int16) - 1
            return limit.unsqueeze(1) if bool((limit > 0).all()) else None
        rounded = low.float()
        return torch.nextafter(rounded, torch.full_like(rounded, -math.inf)).unsqueeze(1)
