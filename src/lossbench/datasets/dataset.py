"""What every data set is to the rest of lossbench: splits of rows with identity labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np

CLOSED = ("train", "val", "test")
OPEN = ("val_open", "test_open", "distractors")


@dataclass(frozen=True)
class Split:
    """Rows of one role.

    data: images (n, h, w, c) uint8, or vectors (n, d) float32.
    labels: (n,) int64; row i shows identity ``names[labels[i]]``.
    names: one name per identity.
    """

    data: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.data) != len(self.labels):
            raise ValueError(f"{len(self.data)} rows but {len(self.labels)} labels: give one label per row")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.names):
            raise ValueError(f"labels lie outside 0..{len(self.names) - 1}: they index names")
        if self.data.dtype.kind == "f" and not np.isfinite(self.data).all():
            broken = (~np.isfinite(self.data).all(tuple(range(1, self.data.ndim)))).nonzero()[0]
            raise ValueError(f"{len(broken)} rows hold NaN or infinity, the first is row {broken[0]}")

    def __len__(self) -> int:
        return len(self.labels)

    def describe(self) -> dict[str, Any]:
        """Rows and identities for a record: the names, or their digest where they are over 10,000."""
        known: dict[str, Any] = {"rows": len(self), "identities": len(self.names)}
        if len(self.names) <= 10_000:
            return known | {"names": list(self.names)}
        return known | {"names_sha256": hashlib.sha256("\n".join(self.names).encode()).hexdigest()}


@dataclass(frozen=True)
class Dataset:
    """Splits by role, and the facts a result must record.

    ``train``, ``val`` and ``test`` share the classes 0..classes-1 (closed set). An open-set data set also
    has ``val_open``, ``test_open`` and optionally ``distractors``: identities nobody trains on. A closed
    set is verified on the images of its own classes.
    """

    name: str
    splits: Mapping[str, Split]
    open_set: bool
    sha256: str

    def __post_init__(self) -> None:
        unknown = set(self.splits) - {*CLOSED, *OPEN}
        if unknown or "train" not in self.splits:
            raise ValueError(f"splits {sorted(self.splits)}: expected train and any of {CLOSED[1:] + OPEN}")
        roles = [("train", *OPEN)] if self.open_set else []
        for names in roles:
            present = [(role, set(self.splits[role].names)) for role in names if role in self.splits]
            for (one, a), (other, b) in combinations(present, 2):
                if a & b:
                    raise ValueError(
                        f"{len(a & b)} identities are in both {one} and {other}, e.g. {min(a & b)}"
                    )

    @property
    def classes(self) -> int:
        return len(self.splits["train"].names)

    def counts(self) -> list[int]:
        """Training rows of each class."""
        return np.bincount(self.splits["train"].labels, minlength=self.classes).tolist()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row as stored: (h, w, c) or (d,)."""
        return self.splits["train"].data.shape[1:]

    def verification_role(self, role: str) -> str:
        """Split that verification and identification read for ``role`` ('val' or 'test')."""
        return f"{role}_open" if self.open_set else role


class Source(Protocol):
    """A data set not read yet: cheap to make, cheap to identify, read on demand."""

    def fingerprint(self) -> str:
        """Digest that changes whenever ``load`` would return other rows."""

    def load(self) -> Dataset:
        """Read, draw or decode the rows."""
