"""InsightFace training sets (CASIA-WebFace, MS1MV2, Glint360K): train.rec, train.idx and property."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lossbench.datasets.cache import Arrays, cached_arrays, digest
from lossbench.datasets.collection import Collection
from lossbench.datasets.dataset import Dataset
from lossbench.datasets.decoding import Pixels, chunks, decode_chunk
from lossbench.datasets.folders import content_key
from lossbench.datasets.options import digest_of, divided_fingerprint
from lossbench.datasets.prepared import Plan, prepared
from lossbench.datasets.progress import bar
from lossbench.datasets.streaming import EncodedImages
from lossbench.readers import RecordFile
from lossbench.readers.recordio.index import read_index
from lossbench.validate import check_range

# Raise it whenever the same files and options would give other pixels, labels or names.
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class InsightFace:
    """Images of a .rec file; path: the file, or the folder with train.rec. Identities are called by class.

    height, width, channels, box, fit: see ``Pixels``. decoded_limit: gigabytes (1e9 bytes) of pixels that are
    decoded once and kept in the cache; the images of a larger set stay encoded, see ``EncodedImages``.
    division: a dataclass that gives the rows their roles.

    Raises:
        ValueError: if an option is out of range.
    """

    path: str
    height: int
    width: int
    channels: int
    box: Sequence[int] | None
    fit: str
    decoded_limit: float
    division: Callable[[Collection, str], Dataset]

    def __post_init__(self) -> None:
        _ = self._pixels
        check_range("decoded_limit", self.decoded_limit, low=0)

    def fingerprint(self) -> str:
        """Follows names, sizes and times of the files."""
        return divided_fingerprint(
            self.division,
            images=self._key(),
            decoded_limit=self.decoded_limit,
        )

    def load(self) -> Dataset:
        return self._pixels.told(self.division(self.collect(), self._name()))

    def collect(self) -> Collection:
        """All images and who they show.

        Raises:
            ValueError: in one line, for files that are missing or broken, for identity records that disagree
            with the labels, and for images that cannot be decoded, if all are decoded now.
        """
        records = RecordFile(self._record_file())
        size = len(records.images) * math.prod(self._pixels.shape)
        if size > self.decoded_limit * 1e9:
            return self._encoded(records)
        return prepared(self._name(), self._key(), lambda: self._plan(records)).collection()

    @property
    def _pixels(self) -> Pixels:
        return Pixels(
            height=self.height, width=self.width, channels=self.channels, box=self.box, fit=self.fit
        )

    def _record_file(self) -> Path:
        place = Path(self.path).expanduser()
        file = place / "train.rec" if place.is_dir() else place
        for needed in (file, file.with_suffix(".idx")):
            if not needed.is_file():
                raise ValueError(f"{needed}: no such file; path is a .rec, or a folder with train.rec")
        return file

    def _name(self) -> str:
        file = self._record_file().resolve()
        return file.parent.name if file.stem == "train" else file.stem

    def _content(self) -> str:
        file = self._record_file()
        names = [file.name, file.with_suffix(".idx").name]
        names += ["property"] if file.with_name("property").is_file() else []
        return content_key(file.parent, names)

    def _key(self) -> str:
        pixels = asdict(self._pixels)
        return digest_of(source="InsightFace", format=FORMAT, content=self._content(), pixels=pixels)

    def _plan(self, records: RecordFile) -> Plan:
        columns, names = _columns(records, records.labels)
        _ = records.identities  # the file's own account of who is where
        encoded = ((row, records.image_bytes(key)) for row, key in enumerate(records.images.tolist()))

        def broken(row: int, reason: str) -> None:
            raise ValueError(f"{records.path}: key {records.images[row]}: {reason}")

        shape, decode = (len(records.images), *self._pixels.shape), partial(decode_chunk, self._pixels)
        blocks = chunks(encoded, least=math.prod(self._pixels.shape))
        return Plan(shape, columns, names, blocks, decode=decode, broken=broken)

    def _encoded(self, records: RecordFile) -> Collection:
        """Rows that are decoded when they are asked for. To know them all, the file is read once."""
        key = digest_of(format=FORMAT, content=self._content())  # whatever the size of the pixels
        known = cached_arrays(f"{self._name()}-{key[:16]}", lambda: _read_through(records))
        columns, names = _columns(records, known["labels"])
        index = read_index(records.path.with_suffix(".idx"), records.path.stat().st_size)
        offsets = index.offsets[np.searchsorted(index.keys, records.images)]
        images: Any = EncodedImages(records.path, offsets, self._pixels)
        sha256 = digest({**known, "names": np.array(names), "pixels": np.array(str(self._pixels))})
        return Collection(images, names=tuple(names), sha256=sha256, pixels=known["encoded"], **columns)


def _columns(records: RecordFile, classes: np.ndarray) -> tuple[Arrays, list[str]]:
    """Labels and origins (keys, that sort as they stand in the file), and the names of the identities."""
    present, labels = np.unique(classes, return_inverse=True)
    keys = records.images.astype(np.str_)
    origin = np.char.zfill(keys, len(keys[-1]))
    return {"labels": labels.astype(np.int64), "origin": origin}, present.astype(np.str_).tolist()


def _read_through(records: RecordFile) -> Arrays:
    """Labels (n,) and digests (n, 16) of the encoded images: equal bytes are equal pixels."""
    _ = records.identities
    encoded = np.empty((len(records.images), 16), dtype=np.uint8)
    with bar("reading", len(encoded)) as advance:
        for row, key in enumerate(records.images.tolist()):
            hashed = hashlib.blake2b(records.image_bytes(key), digest_size=16).digest()
            encoded[row] = np.frombuffer(hashed, np.uint8)
            advance(1)
    return {"labels": records.labels, "encoded": encoded}
