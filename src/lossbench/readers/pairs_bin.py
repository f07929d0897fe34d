"""Verification pairs of InsightFace: lfw.bin, cfp_fp.bin, agedb_30.bin, calfw.bin, cplfw.bin, read safely.

The file is a pickle of (images, same): 2n encoded images (bytes, Python 2 strings or uint8 arrays) and n
truths; pair i is images 2i and 2i+1. See ``inert_pickle`` for why opening one cannot run code.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lossbench.readers.images import image_fault
from lossbench.readers.inert_pickle import load_inert
from lossbench.readers.list_files import Location
from lossbench.readers.pickled_arrays import PickledArray

_WANTED = {"images": "encoded images", "same": "truths"}


@dataclass(frozen=True)
class ImagePairs:
    """images: 2n encoded images, JPEG or PNG. same: (n,) bool, do images 2i and 2i+1 show one person?"""

    images: list[bytes]
    same: np.ndarray

    def __len__(self) -> int:
        return len(self.same)


def read_pairs_bin(path: Location) -> ImagePairs:
    """Read a .bin file; raises ValueError in one line for anything but images and truths as above."""
    value = load_inert(path)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{path}: the pickle holds {_kind(value)}, expected (images, same)")
    entries = _items(value[0])
    same = _truths(value[1])
    if entries is None or same is None:
        part, wrong = ("images", value[0]) if entries is None else ("same", value[1])
        raise ValueError(f"{path}: {part} is {_kind(wrong)}, expected a list of {_WANTED[part]}")
    if len(entries) != 2 * len(same):
        raise ValueError(f"{path}: {len(entries)} images for {len(same)} pairs, expected {2 * len(same)}")
    # A small file can name one large image millions of times: it is copied and judged once.
    images: dict[int, bytes] = {}
    for i, entry in enumerate(entries):
        if id(entry) not in images:
            image = _bytes(entry)
            fault = _kind(entry) if image is None else image_fault(image)
            if image is None or fault:
                raise ValueError(f"{path}: image {i}: {fault}")
            images[id(entry)] = image
    return ImagePairs([images[id(entry)] for entry in entries], same)


def write_pairs_bin(path: Location, images: Sequence[bytes], same: Sequence[bool]) -> None:
    """Write 2n encoded images and n truths as such a file."""
    if len(images) != 2 * len(same):
        raise ValueError(f"{len(images)} images for {len(same)} pairs: give two images per pair")
    Path(path).write_bytes(pickle.dumps((list(images), [bool(truth) for truth in same])))


def _items(value: Any) -> list[Any] | None:
    return list(value) if isinstance(value, tuple | list) else None


def _bytes(entry: Any) -> bytes | None:
    if isinstance(entry, PickledArray) and entry.value is not None and entry.value.dtype == np.uint8:
        return entry.value.tobytes()
    return bytes(entry) if isinstance(entry, bytes | bytearray) else None


def _truths(value: Any) -> np.ndarray | None:
    """Return (n,) bool of a list or array of bool, 0 or 1; None for anything else."""
    if isinstance(value, PickledArray):
        # Bytes other than 0 and 1 make no truth, whatever type the file gives them.
        value = None if value.value is None or value.value.ndim != 1 else _integers(value.value).tolist()
    if not isinstance(value, tuple | list) or not all(type(item) in (bool, int) for item in value):
        return None
    return np.array(value, dtype=bool) if all(item in (0, 1) for item in value) else None


def _integers(array: np.ndarray) -> np.ndarray:
    return array.view(np.uint8) if array.dtype == np.bool_ else array


def _kind(value: Any) -> str:
    """Say what a value of the pickle is, without showing it."""
    if isinstance(value, PickledArray):
        array = value.value
        return "an unfinished array" if array is None else f"an array {array.shape} of {array.dtype}"
    length = f" of {len(value)}" if isinstance(value, tuple | list | bytes | str) else ""
    return f"{type(value).__name__}{length}"
