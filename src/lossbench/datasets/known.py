"""What the known sets share: files that are looked for or downloaded, and a division of what they hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lossbench.datasets.collection import Collection
from lossbench.datasets.dataset import Dataset
from lossbench.datasets.files import Facts, find_file, missing
from lossbench.datasets.options import digest_of
from lossbench.datasets.prepared import Plan


@dataclass(frozen=True, kw_only=True)
class KnownSet(ABC):
    """path: the set's file, or the folder with its files; None: it is looked for where ``facts`` say, and
    downloaded if it can be. division: a dataclass that gives the rows their roles."""

    path: str | None
    division: Callable[[Collection, str], Dataset]

    facts: ClassVar[Facts]

    @property
    def name(self) -> str:
        """Of the data set in records and tables."""
        return self.facts.name

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """What decides the rows: keys of the files, options, the number of the format. Downloads nothing."""

    @abstractmethod
    def places(self) -> list[Path | None]:
        """Where the files lie; None for each that is still to be downloaded.

        Raises:
            ValueError: in one line, if they are not there and cannot be downloaded.
        """

    @abstractmethod
    def collect(self) -> Collection:
        """All rows, from the cache if it has them; files that are not there are downloaded."""

    def load(self) -> Dataset:
        return self.division(self.collect(), self.name)

    def fingerprint(self) -> str:
        division = {"is": type(self.division).__name__, **vars(self.division)}
        return digest_of(rows=self.key(), division=division)

    def key(self) -> str:
        """Digest of all that decides the rows."""
        return digest_of(set=type(self).__name__, **self.content())

    def find(self, *names: str) -> Path | None:
        """Where the first of ``names`` lies that is there; None where it is still to be downloaded.

        Raises:
            ValueError: in one line, if none of them is in ``path``.
        """
        found = find_file(self.facts, *names, path=self.path)
        if found is None and self.path is not None:
            raise missing(self.facts, *names, path=self.path)
        return found


class Part(NamedTuple):
    """Images (n, h, w, c) uint8 and labels (n,) of one role, and the name of the file that they come from."""

    role: str
    file: str
    images: np.ndarray
    labels: np.ndarray


def plan_of(parts: Sequence[Part], names: Sequence[str]) -> Plan:
    """All parts, one after the other; row i of a file has ``<file>/<i>`` for its origin.

    Raises:
        ValueError: in one line, if labels are not as many as images, or more than ``names``.
    """
    for part in parts:
        if part.labels.shape != part.images.shape[:1] or part.labels.max(initial=0) >= len(names):
            raise ValueError(
                f"{part.file}: {len(part.images)} images, {len(part.labels)} labels up to "
                f"{part.labels.max(initial=0)}, {len(names)} classes: they do not fit together"
            )
    counts = [len(part.labels) for part in parts]
    columns = {
        "labels": np.concatenate([part.labels for part in parts]).astype(np.int64),
        "origin": np.array([f"{part.file}/{row:05d}" for part in parts for row in range(len(part.labels))]),
        "given": np.repeat([part.role for part in parts], counts),
    }
    rows = iter(range(sum(counts)))
    blocks = [(list(islice(rows, len(part.images))), list(part.images)) for part in parts]
    height, width, channels = parts[0].images.shape[1:]
    return Plan((sum(counts), height, width, channels), columns, names, blocks)
