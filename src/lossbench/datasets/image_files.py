"""What the sources of your own images share: files in, a collection of images of one size out."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lossbench.datasets.collection import Collection
from lossbench.datasets.dataset import Dataset
from lossbench.datasets.decoding import Pixels, chunks, decode_chunk
from lossbench.datasets.folders import Found
from lossbench.datasets.options import digest_of, divided_fingerprint
from lossbench.datasets.prepared import Plan, Prepared, prepared
from lossbench.readers.archives import each_file

logger = logging.getLogger(__name__)

# Raise it whenever the same files and options would give other pixels, labels or names.
FORMAT = 1

_SHOWN = 5  # names of broken images in a message


@dataclass(frozen=True, kw_only=True)
class ImageFiles(ABC):
    """path: what to read. height, width, channels, box, fit: see ``Pixels``. skip_broken: leave broken images
    out, instead of refusing them. division: a dataclass that gives the rows their roles.

    Raises:
        ValueError: if an option is out of range.
    """

    path: str
    height: int
    width: int
    channels: int
    box: Sequence[int] | None
    fit: str
    skip_broken: bool
    division: Callable[[Collection, str], Dataset]

    def __post_init__(self) -> None:
        _ = self._pixels

    @abstractmethod
    def content(self) -> str:
        """Digest that changes with the files. Much cheaper than ``find`` for archives."""

    @abstractmethod
    def find(self) -> Found:
        """Which files are images of whom."""

    @property
    def place(self) -> Path:
        return Path(self.path).expanduser()

    def fingerprint(self) -> str:
        return divided_fingerprint(self.division, images=self._key())

    def collect(self) -> Collection:
        """All images and who they show, decoded once and for all.

        Raises:
            ValueError: in one line, for files that are missing or broken, and for one identity alone.
        """
        return self._stored().collection()

    def load(self) -> Dataset:
        stored = self._stored()
        dataset = self._pixels.told(self.division(stored.collection(), self._name()))
        counts = {"broken": len(stored.facts["broken"]), "passed_over": stored.facts["passed_over"]}
        return replace(dataset, facts={**dataset.facts, **{key: n for key, n in counts.items() if n}})

    def _stored(self) -> Prepared:
        stored = prepared(self._name(), self._key(), self._plan)
        if stored.facts["broken"] and not self.skip_broken:
            raise ValueError(f"{self._told(stored.facts)}; dataset.source.skip_broken=true leaves them out")
        return stored

    @property
    def _pixels(self) -> Pixels:
        return Pixels(
            height=self.height, width=self.width, channels=self.channels, box=self.box, fit=self.fit
        )

    def _name(self) -> str:
        place = self.place.resolve()
        return place.name if place.is_dir() else place.stem.removesuffix(".tar")

    def _key(self) -> str:
        kind = type(self).__name__
        return digest_of(source=kind, format=FORMAT, content=self.content(), pixels=asdict(self._pixels))

    def _plan(self) -> Plan:
        found = self.find()
        names, labels = np.unique(np.array(found.identities), return_inverse=True)
        if len(names) == 1:
            raise ValueError(f"{self.path}: all images are of one identity, {names[0]}: two are the least")
        columns = {"labels": labels.astype(np.int64), "origin": np.array(found.origin)}
        if found.given is not None:
            columns["given"] = np.array(found.given)
        facts: dict[str, Any] = {
            "images": len(found.files),
            "passed_over": found.passed_over,
            "broken": {},
        }
        logger.info(
            "%s: %d images, %d other files passed over", self.path, len(found.files), found.passed_over
        )
        rows = {name: row for row, name in enumerate(found.files)}
        encoded = ((rows[name], data) for name, data in each_file(found.root, found.files))

        def broken(row: int, reason: str) -> None:
            facts["broken"][found.origin[row]] = reason
            if len(facts["broken"]) == len(found.files):
                raise ValueError(self._told(facts))

        shape, decode = (len(found.files), *self._pixels.shape), partial(decode_chunk, self._pixels)
        blocks = chunks(encoded, least=math.prod(self._pixels.shape))
        return Plan(shape, columns, names.tolist(), blocks, decode=decode, broken=broken, facts=facts)

    def _told(self, facts: dict[str, Any]) -> str:
        broken = sorted(facts["broken"].items())
        shown = ", ".join(name for name, _ in broken[:_SHOWN]) + (", ..." if len(broken) > _SHOWN else "")
        return f"{self.path}: {len(broken)} of {facts['images']} images are broken: {shown} {broken[0][1]}"
