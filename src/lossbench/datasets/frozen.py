"""Frozen features: vectors that a network made once, to train heads on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossbench.datasets.cache import digest
from lossbench.datasets.collection import Collection
from lossbench.datasets.dataset import CLOSED, Dataset
from lossbench.datasets.folders import content_key
from lossbench.datasets.options import divided_fingerprint
from lossbench.embeddings import read
from lossbench.readers.list_files import text_lines

# Raise it whenever the same files would give other rows, labels or names.
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Rows of a .npy (memory-mapped), .npz or .safetensors file, which is what ``lossbench.embed`` writes.

    labels: .txt (one a line) or .npy; None: they are in the archive. split: .txt with train, val, test or
    nothing in each line, the roles that the set prescribes; None: it prescribes none. division: a dataclass
    that gives the rows their roles. float16 and float32 stay as they are, float64 becomes float32.
    """

    path: str
    labels: str | None
    split: str | None
    division: Callable[[Collection, str], Dataset]

    def fingerprint(self) -> str:
        """Follows names, sizes and times of the files."""
        files = [_file(path) for path in (self.path, self.labels, self.split) if path is not None]
        return divided_fingerprint(
            self.division,
            source="Embeddings",
            format=FORMAT,
            content=[content_key(file.parent, [file.name]) for file in files],
            given=(self.labels is not None, self.split is not None),
        )

    def load(self) -> Dataset:
        return self.division(self.collect(), _file(self.path).stem)

    def collect(self) -> Collection:
        """All rows and who they show.

        Raises:
            ValueError: in one line, for what ``lossbench.embeddings.read`` refuses, rows labelled as
            distractors, and roles that are unknown or not as many as the rows.
        """
        path = _file(self.path)
        found = read(path, None if self.labels is None else _file(self.labels))
        if (unknown := found.labels < 0).any():
            raise ValueError(
                f"{self.labels or path}: {unknown.sum()} rows are labelled as distractors (-1), the first is "
                f"row {unknown.argmax()}: leave them out, a head learns identities"
            )
        rows = _single(path, found.rows)
        labels = found.labels.astype(np.int64)
        sha256 = digest({"rows": rows, "labels": labels, "names": np.array(found.names)})
        origin = np.char.zfill(np.arange(len(rows)).astype(np.str_), len(str(len(rows) - 1)))
        return Collection(rows, labels, found.names, origin, sha256, self._given(len(rows)))

    def _given(self, rows: int) -> np.ndarray | None:
        if self.split is None:
            return None
        file = _file(self.split)
        roles = [role.strip() for _, role in text_lines(file)]
        for number, role in enumerate(roles, start=1):
            if role not in ("", *CLOSED):
                raise ValueError(f"{file}:{number}: {role[:40]}: expected train, val, test or nothing")
        if len(roles) != rows:
            raise ValueError(f"{file}: {len(roles)} roles for {rows} rows of {self.path}: give one a line")
        return np.array(roles)


def _file(path: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"{path}: no such file")
    return file


def _single(path: Path, rows: np.ndarray) -> np.ndarray:
    """Rows of at most 32 bits a number."""
    if rows.dtype.itemsize <= 4:
        return rows
    with np.errstate(over="ignore"):
        single = rows.astype(np.float32)
    if not np.isfinite(single).all():
        raise ValueError(f"{path}: holds numbers beyond float32: scale them")
    return single
