"""The files beside a .rec: train.idx (a key and a byte offset per line) and property (one line)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lossbench.readers.list_files import integer_table, text_lines


@dataclass(frozen=True)
class Index:
    """Keys (n,), ascending; offsets (n,) of their records; limits (n,), where the next records begin."""

    keys: np.ndarray
    offsets: np.ndarray
    limits: np.ndarray

    def row(self, key: int) -> int | None:
        """Return the row of a key, None where there is none."""
        row = int(np.searchsorted(self.keys, key))
        return row if row < len(self.keys) and self.keys[row] == key else None


def read_index(path: Path, size: int) -> Index:
    """Read the index of a .rec file of ``size`` bytes.

    Raises ValueError naming the line where an offset is no multiple of 4, does not grow, or lies outside the
    file, where a key is negative or there twice, and for an index without lines.
    """
    table = integer_table(path, 2)
    if not len(table):
        raise ValueError(f"{path}: the index has no lines")
    keys, offsets = table[:, 0], table[:, 1]
    wrong = (offsets < 0) | (offsets % 4 != 0) | (offsets >= size)
    wrong[1:] |= offsets[1:] <= offsets[:-1]
    if wrong.any():
        line = int(wrong.argmax())
        raise ValueError(
            f"{path}:{line + 1}: offset {offsets[line]}: expected a multiple of 4 above the offset before and"
            f" below {size}, the size of the .rec file"
        )
    order = np.argsort(keys, kind="stable")
    twice = order[1:][keys[order[1:]] == keys[order[:-1]]]
    for lines, fault in ((twice, "there twice"), (np.flatnonzero(keys < 0), "negative")):
        if len(lines):
            raise ValueError(f"{path}:{lines[0] + 1}: key {keys[lines[0]]} is {fault}")
    return Index(keys[order], offsets[order], np.append(offsets[1:], size)[order])


class Property(NamedTuple):
    """What a property file says: number of classes, height and width of the images in pixels."""

    classes: int
    height: int
    width: int


def read_property(path: Path) -> Property:
    """Read ``num_classes,height,width``; raises ValueError for anything else."""
    lines = [line for _, line in text_lines(path) if line.strip()]
    fields = lines[0].split(",") if len(lines) == 1 else []
    numbers = [int(field) for field in fields if field.strip().isdecimal() and len(field) <= 18]
    if len(fields) != 3 or len(numbers) != 3 or not all(numbers):
        raise ValueError(f"{path}:1: expected one line 'classes,height,width' of positive integers")
    return Property(*numbers)
