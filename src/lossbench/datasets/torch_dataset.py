"""Any map-style dataset (torchvision, Hugging Face, your own), read once and kept like images of files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from lossbench.datasets.collection import Collection
from lossbench.datasets.dataset import Dataset
from lossbench.datasets.decoding import Encoded, Pixels, chunks, decode_chunk
from lossbench.datasets.items import Items, Labels
from lossbench.datasets.options import digest_of, divided_fingerprint
from lossbench.datasets.prepared import Plan, prepared
from lossbench.validate import check_range

# Raise it whenever the same items and options would give other pixels, labels or names.
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class TorchDataset:
    """Images and labels of what ``train`` and ``test`` make: ``len(made)`` and ``made[i]``, i from 0.

    An item is (image, label, ...) or a mapping with ``image_key`` and ``label_key``. Images are PIL's, uint8
    or floats in [0, 1]; arrays and tensors are (h, w), (h, w, c) or (c, h, w). Labels are hashable, their
    text names the identity. Items must not change from one reading to the next.

    train: called without arguments, e.g. a partial of a class. test: keywords that make the test set instead,
    e.g. {"split": "test"}; none: it is drawn from train. height, width, channels, fit: see ``Pixels``.
    revision: raise it when files behind the dataset have changed. division: a dataclass that gives the rows
    their roles.

    Raises:
        ValueError: if an option is out of range.
    """

    train: Callable[[], Any]
    test: Mapping[str, Any]
    image_key: str
    label_key: str
    height: int
    width: int
    channels: int
    fit: str
    revision: int
    division: Callable[[Collection, str], Dataset]

    def __post_init__(self) -> None:
        _ = self._pixels
        check_range("revision", self.revision, low=0, integer=True)
        if not callable(self.train):
            raise ValueError("dataset.train: is made already; give what makes it: _partial_: true")
        if not isinstance(self.test, Mapping):
            raise ValueError(
                f"dataset.test={str(self.test)[:40]}: give the options that make a test set of train"
            )

    def fingerprint(self) -> str:
        """Follows the options, the source file of the class, the length and eight items of each dataset.

        A change of other items is not seen: that is what ``revision`` is for.
        """
        return divided_fingerprint(
            self.division,
            images=self._key(),
        )

    def load(self) -> Dataset:
        return self.division(self.collect(), self._name())

    def collect(self) -> Collection:
        """All images and who they show, read once and for all.

        Raises:
            ValueError: in one line with the item, for what the dataset itself raises and for items that are
            not as described above.
        """
        return prepared(self._name(), self._key(), self._plan).collection()

    @property
    def _pixels(self) -> Pixels:
        return Pixels(height=self.height, width=self.width, channels=self.channels, fit=self.fit)

    @cached_property
    def _items(self) -> dict[str, Items]:
        makers = {"train": self.train} | ({"test": partial(self.train, **self.test)} if self.test else {})
        keys = (self.image_key, self.label_key)
        return {role: Items(f"dataset.{role}", make, keys) for role, make in makers.items()}

    def _name(self) -> str:
        return str(getattr(partial(self.train).func, "__name__", "torch"))

    def _key(self) -> str:
        return digest_of(
            source="TorchDataset",
            format=FORMAT,
            revision=self.revision,
            datasets={role: items.content() for role, items in self._items.items()},
            pixels=asdict(self._pixels),
        )

    def _plan(self) -> Plan:
        lengths = {role: len(items) for role, items in self._items.items()}
        places = [items.where(row) for items in self._items.values() for row in range(len(items))]
        columns = {"labels": np.zeros(len(places), dtype=np.int64), "origin": np.array(places)}
        if "test" in lengths:
            columns["given"] = np.repeat(list(lengths), list(lengths.values()))
        names: list[str] = []
        rows = [(items, row) for items in self._items.values() for row in range(len(items))]

        def broken(place: int, reason: str) -> None:
            items, row = rows[place]
            raise ValueError(f"{items.where(row)}: {reason}")

        shape, decode = (len(places), *self._pixels.shape), partial(decode_chunk, self._pixels)
        blocks = chunks(_encoded(rows, columns["labels"], names), least=math.prod(self._pixels.shape))
        return Plan(shape, columns, names, blocks, decode=decode, broken=broken)


def _encoded(rows: list[tuple[Items, int]], labels: np.ndarray, names: list[str]) -> Iterator[Encoded]:
    """Images. Nobody knows ``labels`` and ``names`` before: they are filled in on the way."""
    known = Labels()
    for place, (items, row) in enumerate(rows):
        image, label = items.read(row)
        labels[place] = known.number(label, items.where(row))
        yield place, image
    order, in_order = known.sorted()
    labels[:] = order[labels]
    names += in_order
