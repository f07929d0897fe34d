"""Rows that need not fit into memory: a tensor, or an array such as a memory-mapped file, read in blocks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows, check_matrix, on_float64_device


class RowSource:
    """Rows (m, d) of floats on ``device``, a block at a time.

    rows: a tensor on any device, or anything with ``shape`` and numpy's indexing by slices and by arrays of
    row numbers. Raises ValueError for other shapes.
    """

    def __init__(self, name: str, rows: Any, device: torch.device) -> None:
        self.name, self._device = name, device
        self._tensor = on_float64_device(rows) if isinstance(rows, Tensor) else None
        self._array = rows
        if self._tensor is not None:
            check_matrix(name, self._tensor)
        elif len(getattr(rows, "shape", ())) != 2:
            shape = tuple(getattr(rows, "shape", ()))
            raise ValueError(f"{name} has shape {shape}: expected (n, d), one row per image")
        self.columns: int = rows.shape[1]

    def __len__(self) -> int:
        return int(self._array.shape[0])

    def read(self, start: int, stop: int) -> Tensor:
        """Return rows start .. stop - 1."""
        if self._tensor is not None:
            return self._tensor[start:stop].to(self._device)
        # A copy: torch warns of memory that it must not write to.
        return torch.from_numpy(self._array[start:stop].copy()).to(self._device)

    def unit(self, start: int, stop: int) -> UnitRows:
        """Return rows start .. stop - 1 as unit vectors; ValueError where they are not finite."""
        rows = self.read(start, stop)
        try:
            return UnitRows(rows)
        except ValueError as error:
            raise ValueError(f"{self.name}, rows {start} to {stop - 1}: {error}") from None
