"""Rows and who they show, before anybody has a role."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Collection:
    """What a reader of files returns and a division into roles starts from.

    data: images (n, h, w, c) uint8, often memory-mapped, or vectors (n, d) float32.
    labels: (n,) int64; row i shows identity ``names[labels[i]]``. Rows of an identity need not be neighbours.
    names: one name per identity.
    origin: (n,) str, where each row came from: a file, relative to what was read, or a number.
    given: (n,) str, the role the set itself prescribes: 'train', 'val' or 'test', '' for none; None where it
    prescribes nothing.
    sha256: digest of the data, the labels and the names.
    pixels: (n,) digests of 16 bytes, equal where rows are; None: worked out when they are needed.
    """

    data: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    origin: np.ndarray
    sha256: str
    given: np.ndarray | None = None
    pixels: np.ndarray | None = None

    def __post_init__(self) -> None:
        rows = {"labels": self.labels, "origin": self.origin, "given": self.given, "pixels": self.pixels}
        for name, column in rows.items():
            if column is not None and len(column) != len(self.data):
                raise ValueError(f"{len(self.data)} rows but {len(column)} entries in {name}")

    def __len__(self) -> int:
        return len(self.data)
