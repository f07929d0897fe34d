"""CIFAR-10 and CIFAR-100, the batches for Python: pickles that are read without running them.

Format (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009): a dict with data, n rows
of the red, the green and the blue values of 32 x 32 pixels, and lists of n labels; another with class names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lossbench.readers.inert_pickle import parse_inert
from lossbench.readers.pickled_arrays import PickledArray

_SIDE = 32
_ROW = 3 * _SIDE * _SIDE


def read_cifar_batch(data: bytes, name: str, *, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 32, 32, 3) uint8 and labels (n,) int64 of the contents of a batch.

    name: of the file, for errors. labels: "labels", "fine_labels" or "coarse_labels".

    Raises ValueError in one line for anything else than such a batch.
    """
    batch = _dict(data, name)
    pixels, numbers = _entry(batch, name, "data"), _entry(batch, name, labels)
    array = pixels.value if isinstance(pixels, PickledArray) else None
    if array is None or array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != _ROW:
        raise ValueError(f"{name}: data is no array (n, {_ROW}) of bytes")
    if not isinstance(numbers, list) or not all(type(label) is int and 0 <= label < 256 for label in numbers):
        raise ValueError(f"{name}: {labels} is no list of numbers from 0 to 255")
    if len(numbers) != len(array):
        raise ValueError(f"{name}: {len(array)} images, {len(numbers)} {labels}")
    images = array.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return images, np.array(numbers, dtype=np.int64)


def read_cifar_names(data: bytes, name: str, *, names: str) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their labels, of the contents of a meta file.

    names: "label_names", "fine_label_names" or "coarse_label_names". Raises like ``read_cifar_batch``.
    """
    found = _entry(_dict(data, name), name, names)
    words = [_text(word) for word in found] if isinstance(found, list) else [""]
    if not all(word.isprintable() and word for word in words) or len(set(words)) < len(words):
        raise ValueError(f"{name}: {names} is no list of different names")
    return tuple(words)


def _dict(data: bytes, name: str) -> dict[Any, Any]:
    value = parse_inert(data, name)
    if not isinstance(value, dict):
        raise ValueError(f"{name}: the pickle holds {type(value).__name__}, expected dict")
    return value


def _entry(batch: dict[Any, Any], name: str, key: str) -> Any:
    """Keys are bytes where Python 2 wrote them, str where Python 3 did."""
    for written in (key.encode(), key):
        if written in batch:
            return batch[written]
    raise ValueError(f"{name}: has no {key}")


def _text(word: Any) -> str:
    """A name, "" for what is none."""
    try:
        return word.decode() if isinstance(word, bytes) else word if isinstance(word, str) else ""
    except UnicodeDecodeError:
        return ""
