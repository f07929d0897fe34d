"""One datamodule for every set: a batch is one index operation plus whole-batch augmentation."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor

from lossbench.augment import Augment
from lossbench.datasets import Dataset
from lossbench.datasets.streaming import WINDOW, EncodedImages, block_order
from lossbench.lightning.stored_rows import Rows, fitting, gathered, to_float


class DeviceData:
    """The rows of a data set on a device, stored as they come (uint8 images stay uint8).

    Splits over a gigabyte (on a GPU, over a quarter of its free memory) that are memory-mapped, or views
    of shared rows, are ``StoredRows`` instead of tensors; their batches are the same, bit for bit.
    With ``augment_evaluation`` every split but train is distorted once, from a fixed seed. Nothing here
    depends on a run's seed, so the runs of a sweep share one.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        device: torch.device,
        augment: Augment | None = None,
        augment_evaluation: bool = False,
    ) -> None:
        self.dataset = dataset
        self.device = device
        self.augment = augment
        self.augment_evaluation = augment_evaluation
        self._rows: dict[str, tuple[Rows, Tensor]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row as the backbone sees it: (channels, height, width) or (d,)."""
        shape = self.dataset.shape
        return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape

    def rows(self, role: str) -> tuple[Rows, Tensor] | None:
        """Rows and labels of one split, or None if the data set has no such split."""
        if role not in self.dataset.splits:
            return None
        if role not in self._rows:
            self._rows[role] = self._load(role)
        return self._rows[role]

    def verification_rows(self, role: str) -> tuple[Rows, Tensor] | None:
        """Rows that verification and identification read for ``role`` ('val' or 'test')."""
        return self.rows(self.dataset.verification_role(role))

    def _load(self, role: str) -> tuple[Rows, Tensor]:
        split = self.dataset.splits[role]
        labels = torch.from_numpy(split.labels).to(self.device)
        augment = self.augment if role != "train" and self.augment_evaluation else None
        # Seeded by the role, so that no two splits share their distortions.
        return fitting(split, self.device, augment, seed=zlib.crc32(role.encode())), labels


class InMemory(pl.LightningDataModule):
    """Batches of a data set on the device.

    Batches and augmentation follow from (seed, epoch) alone, so every loss sees the same ones and a resumed
    run goes on exactly.
    """

    def __init__(
        self, data: DeviceData, *, batch_size: int, seed: int, samples_per_class: int | None = None
    ) -> None:
        super().__init__()
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.samples_per_class = samples_per_class

    def train_dataloader(self) -> Batches:
        rows = self.data.rows("train")
        assert rows is not None  # Dataset refuses to be made without a train split
        return Batches(
            *rows,
            self.batch_size,
            self.seed,
            self.data.augment,
            self._epoch,
            self.samples_per_class,
            blockwise=isinstance(self.data.dataset.splits["train"].data, EncodedImages),
        )

    def val_dataloader(self) -> list[Batches]:
        rows = self.data.verification_rows("val")
        return [] if rows is None else [Batches(*rows, batch_size=1024)]

    def _epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer else 0


class Batches:
    """Batches of one epoch. With a seed: shuffled, augmented, the last short batch left out.

    samples_per_class: fill batches with groups of so many rows of one class. A class's last group is filled
    up with its first rows, so every row is seen in an epoch and those of rare classes repeat.
    blockwise: shuffle many rows as ``block_order`` does, for images that lie encoded on a disk.
    """

    def __init__(
        self,
        rows: Rows,
        labels: Tensor,
        batch_size: int,
        seed: int | None = None,
        augment: Augment | None = None,
        epoch: Callable[[], int] = lambda: 0,
        samples_per_class: int | None = None,
        blockwise: bool = False,
    ) -> None:
        self.rows = rows
        self.labels = labels
        self.batch_size = min(batch_size, len(labels))
        self.seed = seed
        self.augment = augment
        self.epoch = epoch
        self.samples_per_class = samples_per_class
        self.blockwise = blockwise
        self._groups = _groups(labels, samples_per_class) if samples_per_class else None

    def __len__(self) -> int:
        rows = len(self.labels) if self._groups is None else self._groups.numel()
        full, rest = divmod(rows, self.batch_size)
        return full if self.seed is not None else full + bool(rest)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.seed is None:
            yield from self._in_order()
            return
        # Two streams, so that an augmentation more or fewer never changes the batches.
        seed = 2 * (1_000_003 * self.seed + self.epoch())
        order = self._order(torch.Generator().manual_seed(seed)).to(self.rows.device)
        generator = torch.Generator(self.rows.device).manual_seed(seed + 1)
        indexes = order.split(self.batch_size)[: len(self)]
        for index, rows in zip(indexes, gathered(self.rows, indexes), strict=True):
            images = to_float(rows)
            if self.augment is not None:
                images = self.augment(images, generator)
            yield centre(images), self.labels[index]

    def _order(self, generator: torch.Generator) -> Tensor:
        if self.blockwise and self._groups is None and len(self.labels) > WINDOW:
            return torch.from_numpy(block_order(len(self.labels), seed=generator.initial_seed()))
        order = torch.randperm(len(self.labels), generator=generator)
        if self._groups is None:
            return order
        by_class = order[self.labels.cpu()[order].argsort(stable=True)]
        groups = by_class[self._groups]
        return groups[torch.randperm(len(groups), generator=generator)].flatten()

    def _in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows, labels in zip(
            self.rows.split(self.batch_size), self.labels.split(self.batch_size), strict=True
        ):
            yield centre(to_float(rows)), labels


def _groups(labels: Tensor, size: int) -> Tensor:
    """(groups, size) places in the rows sorted by class, each group within one class."""
    counts = labels.cpu().bincount()
    starts = counts.cumsum(0) - counts
    per_class = (counts + size - 1) // size
    owner = torch.repeat_interleave(torch.arange(len(counts)), per_class)
    number = torch.arange(len(owner)) - (per_class.cumsum(0) - per_class)[owner]
    within = (number[:, None] * size + torch.arange(size)) % counts[owner][:, None]
    return starts[owner][:, None] + within


def centre(rows: Tensor) -> Tensor:
    """Images from [0, 1] to [-1, 1]; vectors pass."""
    return rows.mul(2).sub_(1) if rows.ndim == 4 else rows
