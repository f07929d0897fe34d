"""Embeddings and their labels from files that anything may have written; nothing in them can run code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DISTRACTORS = ("-1", "distractor")
"""Labels of rows that stand in galleries and have no mate."""

_ROWS = ("embeddings", "embedding", "features", "x")
_LABELS = ("labels", "label", "ids", "y")
_BLOCK = 65536
_LONGEST = 1000  # characters of a label
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE | re.ASCII)
_LARGEST = 1e150  # squares of it and of its inverse are numbers yet


@dataclass(frozen=True)
class Embeddings:
    """rows: (n, d) float16, 32 or 64, perhaps memory-mapped. labels: (n,) int64, an index of ``names`` or -1.

    labels: (0,) where only lists tell what the rows show. digests: (n,) int64, equal for rows of equal bytes,
    0 for zero rows: they have no direction, and their cosine with everything is 0.
    """

    rows: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    digests: np.ndarray

    def facts(self) -> dict[str, int]:
        """Counts that a reader should know before the numbers.

        repeated: rows equal to an earlier row of their label (or of all). shared: rows equal to
        a row of another label.
        """
        directed = self.digests != 0
        digests = self.digests[directed]
        labels = self.labels[directed] if len(self.labels) else np.zeros_like(digests)
        # Once each digest with each of its labels.
        places, owners = np.unique(np.stack([digests, labels]), axis=1, return_counts=True)
        kinds, labels_each = np.unique(places[0], return_counts=True)
        facts = {
            "rows": len(self.rows),
            "dim": self.rows.shape[1],
            "zero_rows": len(self.rows) - len(digests),
            "repeated": len(digests) - len(owners),
            "shared": int(owners[np.isin(places[0], kinds[labels_each > 1])].sum()),
        }
        if not len(self.labels):
            return facts
        images = np.bincount(self.labels[self.labels >= 0], minlength=len(self.names))
        return facts | {
            "identities": len(self.names),
            "without_mate": int((images == 1).sum()),
            "distractors": int((self.labels < 0).sum()),
        }


def read(path: Path, labels: Path | None = None) -> Embeddings:
    """Rows from .npy, .npz or .safetensors, and labels from a .txt (one a line), .npy, or the same archive.

    Raises ValueError, in one line with the path, for what cannot be read, shapes that do not belong together,
    empty labels, and rows that hold NaN or infinity.
    """
    arrays = _arrays(path)
    rows = _rows(path, arrays)
    source = labels or path
    words = _words(labels) if labels else _text(path, _one(path, arrays, _LABELS))
    if words.ndim != 1 or len(words) != len(rows):
        raise ValueError(f"{source}: labels of shape {words.shape} for {len(rows)} rows of {path}")
    names, index = np.unique(words, return_inverse=True)
    known = ~np.isin(names, DISTRACTORS)
    place = np.where(known, known.cumsum() - 1, -1)
    return Embeddings(rows, place[index], tuple(names[known].tolist()), _digests(path, rows))


def read_rows(path: Path) -> Embeddings:
    """Rows alone, as ``read`` does."""
    rows = _rows(path, _arrays(path))
    return Embeddings(rows, np.empty(0, dtype=np.int64), (), _digests(path, rows))


def _rows(path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    rows = _one(path, arrays, _ROWS)
    if rows.ndim != 2 or rows.dtype.kind != "f" or rows.dtype.itemsize > 8 or not rows.size:
        raise ValueError(f"{path}: holds {rows.dtype} {rows.shape}; give floats of shape (n, d)")
    return rows if rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("="))


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    try:
        if path.suffix == ".npy":
            # Copied on write: the file stays as it is, and torch takes no read-only array without a warning.
            array = np.load(path, mmap_mode="c", allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("it is an archive; name it .npz")
            return {_ROWS[0]: array}
        if path.suffix == ".npz":
            # numpy leaves a torn file open when it is handed the name.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return dict(archive)
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except Exception as error:
        told = " ".join(str(error).split())
        if "pickle" in told:  # numpy would tell how to run what is in it
            told = "it holds Python objects, or is something else"
        raise ValueError(f"{path}: cannot be read as {path.suffix} ({told})") from error
    raise ValueError(f"{path}: give embeddings as .npy, .npz or .safetensors")


def _one(path: Path, arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """The array under one of the names, or rows where there is only one array."""
    for name in names:
        if name in arrays:
            return arrays[name]
    if names is _ROWS and len(arrays) == 1:
        return arrays[next(iter(arrays))]
    what = "embeddings" if names is _ROWS else "labels: give them as a second file, or"
    held = ", ".join(arrays) or "nothing"
    raise ValueError(f"{path}: no {what} under one of {', '.join(names)}; it holds {held}")


def _words(path: Path) -> np.ndarray:
    """Labels (n,) as text."""
    if path.suffix in (".npy", ".npz", ".safetensors"):
        arrays = _arrays(path)
        return _text(path, next(iter(arrays.values())) if len(arrays) == 1 else _one(path, arrays, _LABELS))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as one label a line ({error})") from error
    lines = [line.strip() for line in text.removesuffix("\n").split("\n")]
    for number, line in enumerate(lines, start=1):
        fault = "empty" if not line else "too long" if len(line) > _LONGEST else "NUL" if "\0" in line else ""
        if fault:
            raise ValueError(f"{path}:{number}: {fault}; give one label a line")
    _check_numbers(path, lines)
    return np.array(lines, dtype=str)


def _check_numbers(path: Path, lines: Sequence[str]) -> None:
    """Refuse -1.0, -3, nan and what else a distractor may have become: as a name it would be one person."""
    numbers = [_NUMBER.fullmatch(line) is not None for line in lines]
    only = all(number or line in DISTRACTORS for line, number in zip(lines, numbers, strict=True))
    for place, (line, number) in enumerate(zip(lines, numbers, strict=True), start=1):
        if number and line != "-1" and (line.startswith("-") or (only and not line.isdigit())):
            raise ValueError(
                f"{path}:{place}: label {line}: give whole numbers from 0 on, -1 for distractors"
            )


def _text(path: Path, labels: np.ndarray) -> np.ndarray:
    kind = labels.dtype.kind
    if kind == "S":
        try:
            labels, kind = np.char.decode(labels, "utf-8"), "U"
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: labels are bytes that are no UTF-8 ({error})") from error
    if kind == "U":
        _check_numbers(path, labels.tolist())
    if kind == "U" and (labels == "").any():
        raise ValueError(f"{path}: label {(labels == '').argmax()} is empty; every row needs an identity")
    if kind not in "iuU":
        raise ValueError(
            f"{path}: labels are {labels.dtype}; give integers or text (float32 merges identities)"
        )
    if kind == "i" and labels.size and labels.min() < -1:
        raise ValueError(f"{path}: label {labels.min()}: identities count from 0, -1 is a distractor")
    return labels.astype(str)


def _digests(path: Path, rows: np.ndarray) -> np.ndarray:
    """Digest of each row, 0 for zero rows; refuses NaN, infinity and norms that float64 cannot square.

    Reads the file once, in blocks.
    """
    digests = np.empty(len(rows), dtype=np.int64)
    largest = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        part = slice(start, start + len(block))
        largest[part] = np.abs(block).max(1)
        # Python's hash of bytes is keyed: nobody can make two rows meet.
        digests[part] = np.fromiter((hash(row.tobytes()) for row in block), np.int64, len(block))
    zero = largest == 0
    far = (largest > _LARGEST) | ((largest < 1 / _LARGEST) & ~zero)
    for bad, fault in ((~np.isfinite(largest), "hold NaN or infinity"), (far, "are out of scale")):
        if bad.any():
            where = f"{int(bad.sum())} of {len(rows)} rows {fault}, the first is row {int(bad.argmax())}"
            raise ValueError(f"{path}: {where}")
    digests[zero] = 0
    return digests
