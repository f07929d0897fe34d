"""A .rec file as keys, labels and images: mapped into memory, each record checked when it is read."""

from __future__ import annotations

import mmap
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lossbench.readers.images import image_fault
from lossbench.readers.list_files import Location, sha256_of
from lossbench.readers.recordio.framing import FIRST, LENGTH_BITS, LONGEST, MAGIC, read_record
from lossbench.readers.recordio.identities import identity_ranges
from lossbench.readers.recordio.index import Property, read_index, read_property
from lossbench.readers.recordio.payload import EXACT, HEAD, class_of, unpacked

_BLOCK = 1 << 18  # labels gathered at once


class RecordFile:
    """The images of ``train.rec`` with the ``train.idx`` beside it and, if there is one, the ``property``.

    images: (n,) int64, ascending: keys of the records that hold an image.
    declared: number of classes, height and width as ``property`` has them, None without that file.

    A set may begin with a header: at key 0, labels a and b, no image. Keys 1..a-1 are then images, and keys
    a..b-1 identity records: labels start and end, no image. Without a header every key is an image. The class
    of an image is its own label, the first one where it has several.

    Opening reads the index and a few records. Raises ValueError in one line, with the byte offset or the line
    number, for an index that does not fit the file and a header that does not fit the index; what is read
    later is checked when it is read. Pickling leaves the mapping behind: workers map the file again.
    """

    def __init__(self, path: Location) -> None:
        self.path = Path(path)
        size = self.path.stat().st_size
        if size == 0 or size % 4:
            raise ValueError(f"{self.path}: byte {size}: the file ends inside a record: truncated?")
        self._index = read_index(self.path.with_suffix(".idx"), size)
        beside = self.path.with_name("property")
        self.declared: Property | None = read_property(beside) if beside.exists() else None
        keys = self._index.keys
        header = self._header()
        self._first_identity = self._identities_from(*header) if header else int(keys[-1]) + 1
        self.images = keys[(keys >= (1 if header else 0)) & (keys < self._first_identity)]

    def image_bytes(self, key: int) -> bytes:
        """Return the encoded image, a JPEG or PNG (see ``decode_rgb``)."""
        image = self._record(key)[1]
        fault = image_fault(image)
        if fault:
            raise ValueError(f"{self._locate(key)}: key {key}: {fault}")
        return image

    def label(self, key: int) -> int:
        """Return the class of an image."""
        labels, image = self._record(key)
        if not image:
            raise ValueError(f"{self._locate(key)}: key {key}: a record without image has no class")
        classes = self.declared.classes if self.declared else None
        return class_of(float(labels[0]), classes, self._locate(key))

    @cached_property
    def labels(self) -> np.ndarray:
        """Classes (n,) int64 of ``images``; reads the head of every record once."""
        labels = np.empty(len(self.images), dtype=np.int64)
        for begin in range(0, len(labels), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            keys = self.images[block]
            values = self._plain_labels(keys)
            for i in np.flatnonzero(np.isnan(values)):
                values[i] = self.label(int(keys[i]))
            labels[block] = values
        return labels

    @cached_property
    def identities(self) -> np.ndarray:
        """(m, 3) int64: key of each identity record, start and end (exclusive) of the keys of its images.

        Empty for a set without identity records. Raises ValueError where they disagree with ``labels``.
        """
        keys = self._index.keys[self._index.keys >= self._first_identity]
        if not len(keys):
            return np.empty((0, 3), dtype=np.int64)
        claims = np.array([self._two_labels(int(key)) for key in keys])
        ranges = identity_ranges(keys, claims, self.images, self.labels, self._locate)
        return np.concatenate([keys[:, None], ranges], axis=1)

    @cached_property
    def sha256(self) -> dict[str, str]:
        """File name -> sha256 (hex) of the .rec, the .idx and the property; reads all of them."""
        files = [self.path, self.path.with_suffix(".idx")]
        files += [self.path.with_name("property")] if self.declared else []
        return {file.name: sha256_of(file) for file in files}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_map"}

    @cached_property
    def _map(self) -> mmap.mmap:
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _record(self, key: int) -> tuple[np.ndarray, bytes]:
        """Return labels and image of a record."""
        row = self._index.row(key)
        if row is None:
            raise ValueError(f"key={key}: {self.path} has no such record; .images lists those with an image")
        payload, end = read_record(self._map, int(self._index.offsets[row]), self.path)
        if end > self._index.limits[row]:
            raise ValueError(
                f"{self._locate(key)}: key {key}: record ends at {end}, inside the next one"
                f" ({self._index.limits[row]})"
            )
        return unpacked(payload, self._locate(key))

    def _locate(self, key: int) -> str:
        row = self._index.row(key)
        return f"{self.path}: byte {self._index.offsets[row]}"

    def _two_labels(self, key: int) -> tuple[float, float]:
        """Return the labels of a header or an identity record."""
        labels, image = self._record(key)
        if image or len(labels) != 2 or not np.isfinite(labels).all():
            raise ValueError(f"{self._locate(key)}: key {key}: expected two labels and no image")
        return float(labels[0]), float(labels[1])

    def _header(self) -> tuple[float, float] | None:
        """Return the labels a and b at key 0, None where there is an image or nothing."""
        if self._index.keys[0] != 0 or self._record(0)[1]:
            return None
        return self._two_labels(0)

    def _identities_from(self, a: float, b: float) -> int:
        """Return the first key of identity records, which a names up to the rounding of float32."""
        keys = self._index.keys
        end = int(keys[-1]) + 1
        if np.float32(end) != b:
            raise ValueError(
                f"{self._locate(0)}: the header ends at key {b - 1:.0f}, the index at {end - 1}: truncated?"
            )
        rounding = float(np.spacing(np.float32(a))) if a >= EXACT else 0.0
        near = keys[(keys >= a - rounding) & (keys <= a + rounding)]
        first = next((int(key) for key in near if not self._record(int(key))[1]), end)
        if first < 1 or np.float32(first) != a:
            raise ValueError(
                f"{self._locate(0)}: the header has identities from key {a:.0f}, none begin there"
            )
        return first

    def _plain_labels(self, keys: np.ndarray) -> np.ndarray:
        """Return classes (k,) float64 straight from the map, NaN where a record needs a closer look."""
        rows = np.searchsorted(self._index.keys, keys)
        offsets = self._index.offsets[rows]
        words = np.frombuffer(self._map, dtype="<u4")
        # Nine words: magic, length, flag, label, id (2), id2 (2), the first of further labels.
        nine = words[np.minimum(offsets[:, None] // 4 + np.arange(9), len(words) - 1)]
        magic, length, flag = nine[:, 0], nine[:, 1] & LONGEST, nine[:, 2].astype(np.int64)
        with np.errstate(invalid="ignore"):  # a signalling NaN says so when it is converted
            values = np.where(flag == 0, nine[:, 3], nine[:, 8]).view("<f4").astype(np.float64)
        plain = (magic == MAGIC) & (nine[:, 1] >> LENGTH_BITS <= FIRST)
        plain &= (length > HEAD.size + 4 * flag) & (offsets + 8 + length <= self._index.limits[rows])
        classes = self.declared.classes if self.declared else EXACT
        plain &= (values >= 0) & (values < min(classes, EXACT)) & (values == np.floor(values))
        return np.where(plain, values, np.nan)
