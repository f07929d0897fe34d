"""Items of datasets that others wrote: images and labels, checked one by one, every fault one line."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lossbench.datasets.cache import one_line

_LOOKED_AT = 8  # items that tell a dataset from others
_LONGEST = 1000  # characters of a name
_CHANNELS = (1, 3, 4)


class Items:
    """A dataset that ``make`` makes, item by item. keys: of image and label, where items are mappings.

    Raises ValueError, in one line that begins with ``name``, for whatever goes wrong.
    """

    def __init__(self, name: str, make: Callable[[], Any], keys: tuple[str, str]) -> None:
        self.name = name
        self._make = partial(make)
        self._keys = keys
        try:
            self._dataset = make()
        except Exception as error:  # anyone's code
            raise ValueError(f"{name}: cannot be made ({one_line(error)})") from error
        kind = type(self._dataset)
        if not hasattr(kind, "__len__") or not hasattr(kind, "__getitem__"):
            raise ValueError(f"{name}: {kind.__name__} has no length or no items by number")
        try:
            self._length = len(self._dataset)
        except Exception as error:  # anyone's code
            raise ValueError(f"{name}: has no length ({one_line(error)})") from error
        if self._length == 0:
            raise ValueError(f"{name}: is empty")

    def __len__(self) -> int:
        return self._length

    def where(self, row: int) -> str:
        """Name of an item; these sort as the items do."""
        return f"{self.name}[{row:0{len(str(self._length - 1))}}]"

    def read(self, row: int) -> tuple[bytes, Hashable]:
        """Return the image, encoded, and the label."""
        try:
            item = self._dataset[row]
        except Exception as error:  # anyone's code
            raise ValueError(
                f"{self.where(row)}: {one_line(error)}, though the length is {len(self)}"
            ) from error
        try:
            image, label = self._parts(item)
            return _encoded(image), _plain(label)
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            raise ValueError(f"{self.where(row)}: {' '.join(str(error).split())}") from error

    def content(self) -> dict[str, Any]:
        """Return what tells this dataset from others, for JSON; raises ValueError for items that change."""
        rows = sorted({round(row) for row in np.linspace(0, len(self) - 1, _LOOKED_AT)})
        looks = [[_digest(*self.read(row)) for row in rows] for _ in range(2)]
        for row, one, other in zip(rows, *looks, strict=True):
            if one != other:
                raise ValueError(
                    f"{self.where(row)}: changes when it is read again: it must not, dataset.augment distorts"
                )
        made = self._make
        return {
            "made": _kind(made.func),
            "options": json.loads(json.dumps([made.args, made.keywords], default=_kind)),
            "source": _source(made.func),
            "keys": self._keys,
            "length": len(self),
            "items": looks[0],
        }

    def _parts(self, item: Any) -> tuple[Any, Any]:
        if isinstance(item, Mapping):
            for key in self._keys:
                if key not in item:
                    held = ", ".join(map(str, item))
                    raise ValueError(f"no {key} among {held}; set dataset.image_key and dataset.label_key")
            return item[self._keys[0]], item[self._keys[1]]
        if isinstance(item, tuple | list) and len(item) > 1:
            return item[0], item[1]
        raise ValueError(f"is a {type(item).__name__}; expected (image, label) or a mapping")


class Labels:
    """Labels as numbers, in the order they come, until they are sorted."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._labels: dict[str, Hashable] = {}

    def number(self, label: Hashable, where: str) -> int:
        """Raises ValueError for a label whose text cannot name an identity, or names another one."""
        if label in self._numbers:
            return self._numbers[label]
        name = str(label)
        if name.splitlines() != [name] or len(name) > _LONGEST:
            raise ValueError(f"{where}: label {name[:40]!r}: give one line of at most {_LONGEST} characters")
        if name in self._labels:
            raise ValueError(f"{where}: label {label!r} and another, {self._labels[name]!r}, have one name")
        self._labels[name] = label
        return self._numbers.setdefault(label, len(self._numbers))

    def sorted(self) -> tuple[np.ndarray, list[str]]:
        """Return the place (m,) of each number once sorted, by value or else by name, and the names."""
        labels = sorted(self._numbers, key=_by_value)
        place = np.empty(len(labels), dtype=np.int64)
        place[[self._numbers[label] for label in labels]] = np.arange(len(labels))
        return place, list(map(str, labels))


def _by_value(label: Any) -> tuple[bool, float, str]:
    number = isinstance(label, int | float)
    return not number, label if number else 0, str(label)


def _plain(label: Any) -> Hashable:
    """Return a label, out of its tensor or array of one number."""
    if hasattr(label, "item"):
        if np.prod(label.shape) != 1:
            raise ValueError(f"label of shape {tuple(label.shape)}: expected one class per image")
        label = label.item()
    nameless = type(label).__str__ is object.__str__ and type(label).__repr__ is object.__repr__
    if label is None or label != label or nameless or not isinstance(label, Hashable):
        raise ValueError(f"label {type(label).__name__} {str(label)[:40]}: expected a number or a text")
    return label


def _encoded(image: Any) -> bytes:
    """Return an image as a file, so that it goes the way of all others; TIFF keeps every mode as it is."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(_bytes(image))
    buffer = io.BytesIO()
    upright = ImageOps.exif_transpose(picture)
    if "transparency" in upright.info:
        upright = upright.convert("RGBA")
    upright.save(buffer, "TIFF", compression="raw")
    return buffer.getvalue()


def _bytes(image: Any) -> np.ndarray:
    """Return the values of a tensor or an array as (h, w) or (h, w, c) uint8."""
    array = np.asarray(image)
    if array.dtype.kind != "f" and array.dtype != np.uint8:
        raise ValueError(f"image is {type(image).__name__} of {array.dtype}; expected PIL, uint8 or float")
    # Tensors have channels first, arrays last, where both could be.
    ends = (0, -1) if hasattr(image, "permute") else (-1, 0)
    channels = next((end for end in ends if array.ndim == 3 and array.shape[end] in _CHANNELS), None)
    if not array.size or (array.ndim != 2 and channels is None):
        raise ValueError(f"image of shape {array.shape}: expected (h, w), (h, w, c) or (c, h, w)")
    if array.dtype.kind == "f":
        if not 0 <= array.min() <= array.max() <= 1:
            raise ValueError(f"image from {array.min():g} to {array.max():g}: floats must lie in [0, 1]")
        array = np.rint(array * 255.0).astype(np.uint8)
    if channels is None:
        return array
    array = np.ascontiguousarray(np.moveaxis(array, channels, -1))
    return array[..., 0] if array.shape[-1] == 1 else array


def _digest(image: bytes, label: Hashable) -> str:
    return hashlib.sha256(image + repr(label).encode()).hexdigest()


def _kind(thing: Any) -> str:
    """Return the name of a class or function; other things that JSON has no word for go by their class."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"


def _source(made: Any) -> str | None:
    """Return the digest of the file that defines it, None where there is none."""
    try:
        return hashlib.sha256(Path(inspect.getfile(made)).read_bytes()).hexdigest()
    except (TypeError, OSError):
        return None
