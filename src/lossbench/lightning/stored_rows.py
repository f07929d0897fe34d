"""Rows of a split on a device: in one tensor where they fit, else read from where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from lossbench.augment import Augment
from lossbench.datasets import Split
from lossbench.datasets.streaming import EncodedImages, read_ahead

# Of one split: what is larger stays where it lies and is read batch by batch.
HELD_BYTES = 1 << 30
_BLOCK = 4096


class StoredRows:
    """Rows of a split, brought to the device when they are asked for.

    augment: distorts all rows once, in their order, from a seed; ``split`` and ``held`` give them so.
    """

    def __init__(
        self, split: Split, device: torch.device, augment: Augment | None = None, *, seed: int = 0
    ) -> None:
        self.device = device
        self._split = split
        self._augment = augment
        self._seed = seed

    def __len__(self) -> int:
        return len(self._split)

    def gathered(self, indexes: Iterable[slice | np.ndarray]) -> Iterator[Tensor]:
        """Rows of each index in turn, before any distortion; encoded images are decoded ahead."""
        images = self._split.data
        if not isinstance(images, EncodedImages):
            return map(self._on_device, map(self._split.read, indexes))
        rows = np.arange(len(images)) if self._split.rows is None else self._split.rows
        return map(self._on_device, read_ahead(images, (rows[index] for index in indexes), _workers()))

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows in order, so many at a time; of distorted rows ``size`` must divide 4096."""
        if self._augment is None:
            yield from self.gathered(_slices(len(self), size))
            return
        if len(self) > _BLOCK and _BLOCK % size:
            raise ValueError(f"size={size}: must divide {_BLOCK}")
        generator = torch.Generator(self.device).manual_seed(self._seed)
        for clean in self.gathered(_slices(len(self), _BLOCK)):
            block = self._augment(to_float(clean), generator).mul(255).round_().byte()
            yield from block.contiguous(memory_format=torch.channels_last).split(size)

    def held(self) -> Tensor:
        """All rows in one tensor on the device."""
        if self._augment is not None:
            return torch.cat(list(self.split(_BLOCK))).contiguous(memory_format=torch.channels_last)
        if _is_in_memory(self._split) and self._split.data.flags.writeable:
            return self._on_device(self._split.data)
        first = self._on_device(self._split.read(slice(0, 1)))
        layout = torch.channels_last if first.ndim == 4 else torch.contiguous_format
        rows = torch.empty(
            (len(self), *first.shape[1:]), dtype=first.dtype, device=self.device, memory_format=layout
        )
        start = 0
        for block in self.split(_BLOCK // 4):
            rows[start : start + len(block)] = block
            start += len(block)
        return rows

    def _on_device(self, read: np.ndarray) -> Tensor:
        """Images as (k, channels, height, width) in channels_last."""
        # torch warns of arrays it may not write to, though nobody here does.
        rows = torch.from_numpy(np.asarray(read) if read.flags.writeable else np.array(read))
        if rows.ndim == 4:
            rows = rows.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        return rows.to(self.device)


Rows = Tensor | StoredRows


def fitting(split: Split, device: torch.device, augment: Augment | None, *, seed: int) -> Rows:
    """All rows in one tensor if they fit, else read when they are asked for. Arguments: see StoredRows."""
    rows = StoredRows(split, device, augment, seed=seed)
    return rows.held() if _fits(split, device) else rows


def gathered(rows: Rows, indexes: Iterable[Tensor]) -> Iterator[Tensor]:
    """Rows of each index in turn."""
    if isinstance(rows, StoredRows):
        return rows.gathered(index.cpu().numpy() for index in indexes)
    return (rows[index] for index in indexes)


def to_float(rows: Tensor) -> Tensor:
    """uint8 0..255 to float32 0..1; vectors pass, as float32."""
    return rows.float().div_(255) if rows.dtype == torch.uint8 else rows.float()


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def _is_in_memory(split: Split) -> bool:
    """Whether the rows of the split are an array of its own."""
    return split.rows is None and isinstance(split.data, np.ndarray) and not isinstance(split.data, np.memmap)


def _fits(split: Split, device: torch.device) -> bool:
    if _is_in_memory(split):
        return True
    most = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else HELD_BYTES
    return len(split) * split.row_bytes <= most


def _workers() -> int:
    """One core is left to training."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores - 1)
