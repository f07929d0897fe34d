"""Labeled Faces in the Wild (Huang et al., 2007), deep-funneled, divided by the people of its View 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lossbench.datasets.collection import Collection
from lossbench.datasets.dataset import Dataset, ListedPairs
from lossbench.datasets.decoding import Pixels
from lossbench.datasets.files import Facts, file_key, missing
from lossbench.datasets.folder import Folder
from lossbench.datasets.known import KnownSet
from lossbench.readers.lfw import file_stem, image_positions, read_pairs
from lossbench.validate import check_range

# Raise it whenever the same files and options would give other pixels, labels or names.
FORMAT = 1

_CROPS = "lfw_deepfunneled_crop144.tar.gz"
_FACES = ("lfw-deepfunneled.tgz", "lfw-deepfunneled", _CROPS)
_PAIRS = "pairs.txt"
_TIGHT = (29, 36, 125, 132)  # around the face in the crops of 144x144
_CORNER = 48  # x and y of these crops in the images of 250x250


@dataclass(frozen=True, kw_only=True)
class Lfw(KnownSet):
    """People as identities, an open set: those of the first ``folds`` folds of View 2 (pairs.txt) are tested
    on, with one image or many; ``division`` says who of the others trains.

    path: the faces, <person>/<image>.jpg in a folder or an archive; None: where ``facts`` say. pairs.txt lies
    there, beside it or in it. height, width, channels: what becomes of the images. box: (left, top, right,
    bottom) in pixels, cut out first; None: tightly around the face in images of 250x250.

    Raises:
        ValueError: if an option is out of range.
    """

    folds: int
    height: int
    width: int
    channels: int
    box: Sequence[int] | None

    facts = Facts(
        name="lfw",
        licence="none stated; for research, the rights to the photographs stay with their owners",
        homepage="http://vis-www.cs.umass.edu/lfw/",
        citation="Huang, Ramesh, Berg, Learned-Miller, Labeled Faces in the Wild, UMass TR 07-49, 2007; "
        "Huang, Mattar, Lee, Learned-Miller, Learning to Align from Scratch, NIPS 2012",
    )

    def __post_init__(self) -> None:
        check_range("folds", self.folds, low=1, high=9, integer=True, cure="View 2 has 10, some must train")
        _ = Pixels(height=self.height, width=self.width, channels=self.channels, box=self.box)

    def content(self) -> dict[str, Any]:
        faces, pairs = self._faces().fingerprint(), file_key(self._pairs())
        return {"format": FORMAT, "faces": faces, "pairs": pairs, "folds": self.folds}

    def places(self) -> list[Path | None]:
        return [self._place(), self._pairs()]

    def load(self) -> Dataset:
        """With the pairs of the folds tested on."""
        collection = self.collect()
        pixels = Pixels(height=self.height, width=self.width, channels=self.channels, box=self._box())
        dataset = pixels.told(self.division(collection, self.name))
        rows = dataset.splits["test_open"].rows
        assert rows is not None  # a division leaves the images where they lie
        positions = image_positions([file_stem(name) for name in collection.origin[rows].tolist()])
        pairs = read_pairs(self._pairs()).first(self.folds)
        return replace(dataset, pairs=ListedPairs(pairs.rows(positions), pairs.same, pairs.fold))

    def collect(self) -> Collection:
        """All images; 'test' is prescribed for the people of the first folds, nothing for the others."""
        collection = self._faces().collect()
        tested = self._tested()
        if absent := tested.difference(collection.names):
            raise ValueError(
                f"{self._place()}: {len(absent)} people of {self._pairs()} are not there, e.g. {min(absent)}"
            )
        is_tested = np.array([name in tested for name in collection.names])
        return replace(collection, given=np.where(is_tested[collection.labels], "test", ""))

    def _tested(self) -> set[str]:
        pairs = read_pairs(self._pairs())
        if self.folds >= pairs.folds:
            raise ValueError(f"folds={self.folds}: {self._pairs()} has {pairs.folds}, some must train")
        tested = zip(pairs.left, pairs.right, pairs.fold < self.folds, strict=True)
        return {image.rpartition("_")[0] for *pair, is_tested in tested if is_tested for image in pair}

    def _faces(self) -> Folder:
        return Folder(
            path=str(self._place()),
            height=self.height,
            width=self.width,
            channels=self.channels,
            box=self._box(),
            fit="stretch",
            skip_broken=False,
            division=self.division,
        )

    def _box(self) -> Sequence[int]:
        if self.box is not None:
            return self.box
        corner = 0 if self._place().name == _CROPS else _CORNER
        return tuple(corner + edge for edge in _TIGHT)

    def _place(self) -> Path:
        given = None if self.path is None else Path(self.path).expanduser()
        found = given or self.find(*_FACES)
        if found is None or not found.exists():
            raise missing(self.facts, *_FACES, path=self.path)
        return found

    def _pairs(self) -> Path:
        given = [] if self.path is None else [self._place(), self._place().parent]
        places = [folder / _PAIRS for folder in (*given, *self.facts.folders())]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise missing(self.facts, _PAIRS)
        return found
