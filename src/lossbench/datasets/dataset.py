"""What every data set is to the rest of lossbench: splits of rows with identity labels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple, Protocol

import numpy as np

CLOSED = ("train", "val", "test")
OPEN = ("val_open", "test_open", "distractors")

# Of vectors looked at together: a memory-mapped set never lies in memory as a whole.
_BLOCK_BYTES = 1 << 26


@dataclass(frozen=True)
class Split:
    """Rows of one role.

    data: images (n, h, w, c) uint8, or vectors (n, d) float32 or float16; often memory-mapped.
    labels: (n,) int64; row i shows identity ``names[labels[i]]``.
    names: one name per identity.
    rows: (n,) int64 places in data, which splits may share: row i is ``data[rows[i]]``. None: ``data[i]``.
    """

    data: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        rows = self.data if self.rows is None else self.rows
        if len(rows) != len(self.labels):
            raise ValueError(f"{len(rows)} rows but {len(self.labels)} labels: give one label per row")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.names):
            raise ValueError(f"labels lie outside 0..{len(self.names) - 1}: they index names")
        if self.rows is not None and len(rows) and not 0 <= rows.min() <= rows.max() < len(self.data):
            raise ValueError(f"rows lie outside 0..{len(self.data) - 1}: they are places in data")
        if self.data.dtype.kind == "f":
            self._check_finite()

    def _check_finite(self) -> None:
        block = max(1, _BLOCK_BYTES // max(1, self.row_bytes))
        within_row = tuple(range(1, self.data.ndim))
        whole = np.ones(len(self), dtype=bool)
        for start in range(0, len(self), block):
            part = slice(start, start + block)
            whole[part] = np.isfinite(self.read(part)).all(within_row)
        if not whole.all():
            raise ValueError(f"{(~whole).sum()} rows hold NaN or infinity, the first is row {whole.argmin()}")

    def read(self, index: slice | np.ndarray) -> np.ndarray:
        """Rows of the split, (k, ...): a copy, or a view where a slice of ``data`` is one."""
        return self.data[index if self.rows is None else self.rows[index]]

    @property
    def row_bytes(self) -> int:
        return math.prod(self.data.shape[1:]) * self.data.itemsize

    def __len__(self) -> int:
        return len(self.labels)

    def describe(self) -> dict[str, Any]:
        """Rows and identities for a record: the names, or their digest where they are over 10,000."""
        known: dict[str, Any] = {"rows": len(self), "identities": len(self.names)}
        if len(self.names) <= 10_000:
            return known | {"names": list(self.names)}
        return known | {"names_sha256": hashlib.sha256("\n".join(self.names).encode()).hexdigest()}


class ListedPairs(NamedTuple):
    """pairs: (p, 2) int64 rows of a split. same: (p,) bool. fold: (p,) int64."""

    pairs: np.ndarray
    same: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Splits by role, and the facts a result must record.

    ``train``, ``val`` and ``test`` share the classes 0..classes-1 (closed set). An open-set data set also
    has ``val_open``, ``test_open`` and optionally ``distractors``: identities nobody trains on. A closed
    set is verified on the images of its own classes.

    sha256: digest of the rows and their roles, before any caution (lossbench.datasets.cautions).
    leaked: identities of test_open that are trained on, on purpose and on other images.
    facts: what else a record must tell, for JSON: copies left out, labels changed.
    pairs: those of test_open rows that the set comes with, in folds.
    """

    name: str
    splits: Mapping[str, Split]
    open_set: bool
    sha256: str
    leaked: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    pairs: ListedPairs | None = None

    def __post_init__(self) -> None:
        unknown = set(self.splits) - {*CLOSED, *OPEN}
        if unknown or "train" not in self.splits:
            raise ValueError(f"splits {sorted(self.splits)}: expected train and any of {CLOSED[1:] + OPEN}")
        if self.open_set:
            self._check_identities()
        self._check_rows()

    def _check_identities(self) -> None:
        present = [(role, set(self.splits[role].names)) for role in ("train", *OPEN) if role in self.splits]
        for (one, a), (other, b) in combinations(present, 2):
            allowed = self.leaked if (one, other) == ("train", "test_open") else ()
            if both := (a & b).difference(allowed):
                raise ValueError(f"{len(both)} identities are in both {one} and {other}, e.g. {min(both)}")

    def _check_rows(self) -> None:
        shared: dict[int, list[np.ndarray]] = {}
        for split in self.splits.values():
            if split.rows is not None:
                shared.setdefault(id(split.data), []).append(split.rows)
        for rows in map(np.concatenate, shared.values()):
            if twice := int((np.bincount(rows) > 1).sum()):
                raise ValueError(f"{twice} rows are used twice: a row has one place in one split")

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
