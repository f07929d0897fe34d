"""LFW lists: pairs of View 2 and View 1, names of people, and lists of images.

An image is named as its file without folder and suffix: image 7 of AJ_Cook is "AJ_Cook_0007".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lossbench.readers.list_files import Location, text_lines

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class NamedPairs:
    """left, right: (p) names of images. same: (p,) bool. fold: (p,) int64 from 0. folds: how many."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    same: np.ndarray
    fold: np.ndarray
    folds: int

    def __len__(self) -> int:
        return len(self.left)

    def first(self, folds: int) -> NamedPairs:
        """The pairs of the first so many folds."""
        end = int((self.fold < folds).sum())  # folds follow each other
        return NamedPairs(self.left[:end], self.right[:end], self.same[:end], self.fold[:end], folds)

    def rows(self, positions: Mapping[str, int]) -> np.ndarray:
        """Return (p, 2) int64: where the two images of each pair stand, by ``image_positions``.

        Raises ValueError with the number of images that are missing and the first of them.
        """
        missing = sorted({*self.left, *self.right} - set(positions))
        if missing:
            raise ValueError(
                f"{len(missing)} images of the pairs are not in the list, the first is {missing[0]}"
            )
        return np.array([(positions[a], positions[b]) for a, b in zip(self.left, self.right, strict=True)])


def read_pairs(path: Location) -> NamedPairs:
    """Read pairs.txt (first line "10 300") or pairsDevTrain.txt, pairsDevTest.txt ("1100": one fold).

    First line: folds and M. Each fold has M lines "name i j", two images of one person, then M lines
    "name1 i name2 j". Fields stand between tabs or blanks. Raises ValueError naming file and line for other
    lines, too few or too many of them, pairs of an image with itself, and "different" pairs of one person.
    """
    lines = text_lines(path)
    folds, each = _head(path, next(lines, (1, ""))[1])
    left, right = [], []
    for number, line in lines:
        row = number - 2
        if row >= folds * each * 2:
            raise ValueError(f"{path}:{number}: line 1 promises {folds * each * 2} pairs, here is one more")
        one, other = _pair(path, number, line.split(), same=row // each % 2 == 0)
        left.append(one)
        right.append(other)
    if len(left) != folds * each * 2:
        raise ValueError(
            f"{path}: line 1 promises {folds * each * 2} pairs, there are {len(left)}: truncated?"
        )
    rows = np.arange(len(left))
    return NamedPairs(tuple(left), tuple(right), rows // each % 2 == 0, rows // (2 * each), folds)


def _head(path: Location, line: str) -> tuple[int, int]:
    fields = line.split()
    if len(fields) not in (1, 2) or not all(_is_count(field) for field in fields):
        raise ValueError(f"{path}:1: {line[:40]!r}, expected the number of folds and of pairs of each kind")
    folds, each = (1, fields[0]) if len(fields) == 1 else fields
    return int(folds), int(each)


def _pair(path: Location, number: int, fields: list[str], *, same: bool) -> tuple[str, str]:
    """Return the names of the images of one line."""
    expected = "name i j, a pair of one person" if same else "name1 i name2 j, a pair of two people"
    if len(fields) != (3 if same else 4) or not all(map(_is_count, (fields[1], fields[-1]))):
        raise ValueError(f"{path}:{number}: expected {expected}")
    one, other = fields[0], fields[0] if same else fields[2]
    if (one == other) != same or (same and int(fields[1]) == int(fields[2])):
        raise ValueError(f"{path}:{number}: one {'image' if same else 'person'} twice, expected {expected}")
    return image_name(one, int(fields[1])), image_name(other, int(fields[-1]))


def image_name(person: str, number: int) -> str:
    """Name of a person's image, numbers from 1.

    >>> image_name("AJ_Cook", 7)
    'AJ_Cook_0007'
    """
    return f"{person}_{number:04d}"


def read_people(path: Location) -> tuple[str, ...]:
    """Read lfw-names.txt (lines "name count") and return the names of all images, in order.

    Raises ValueError naming file and line for other lines and for a name that stands there twice.
    """
    counts: dict[str, int] = {}
    for number, line in text_lines(path):
        fields = line.split()
        if len(fields) != 2 or not _is_count(fields[1]):
            raise ValueError(f"{path}:{number}: expected a name and its number of images")
        if fields[0] in counts:
            raise ValueError(f"{path}:{number}: {fields[0]} stands there a second time")
        counts[fields[0]] = int(fields[1])
    return tuple(image_name(name, i) for name, count in counts.items() for i in range(1, count + 1))


def read_image_list(path: Location) -> tuple[str, ...]:
    """Read a list of files, one per line, perhaps with more fields after it, and return the images' names.

    "lfw/AJ_Cook/AJ_Cook_0007.jpg 12" names AJ_Cook_0007. Raises ValueError naming file and line for empty
    lines and for an image that stands there twice.
    """
    names: dict[str, int] = {}
    for number, line in text_lines(path):
        fields = line.split()
        if not fields:
            raise ValueError(f"{path}:{number}: expected the path of an image")
        name = file_stem(fields[0])
        if name in names:
            raise ValueError(f"{path}:{number}: image {name} stands in line {names[name]} already")
        names[name] = number
    return tuple(names)


def file_stem(file: str) -> str:
    """Name of an image file without folder and suffix; "Jr." is no suffix."""
    name = file.replace("\\", "/").rsplit("/", 1)[-1]
    return next((name[: -len(suffix)] for suffix in _SUFFIXES if name.lower().endswith(suffix)), name)


def image_positions(names: Sequence[str]) -> dict[str, int]:
    """Return where each name stands; raises ValueError for a name that stands there twice."""
    positions: dict[str, int] = {}
    for i, name in enumerate(names):
        if positions.setdefault(name, i) != i:
            raise ValueError(f"image {name} stands at {positions[name]} and at {i}: rows must be unique")
    return positions


def _is_count(field: str) -> bool:
    return field.isascii() and field.isdigit() and len(field) <= 6 and int(field) > 0
