"""Encoded images to pixels of one size: upright, grey or RGB, 8 bits."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lossbench.datasets.dataset import Dataset
from lossbench.datasets.threads import in_threads
from lossbench.validate import check_range

Encoded = tuple[int, bytes | ValueError]
"""A row and the bytes of its image, or why it has none."""

FITS = ("stretch", "cover", "contain")
MOST_PIXELS = 1 << 26

# Pillow goes by content and knows far more, some with programs of their own: an EPS is run by Ghostscript.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_CLEAR = {"LA", "La", "PA", "RGBA", "RGBa"}  # modes with transparency
_CHUNK = 1 << 22  # bytes that one thread decodes, or is given to decode, at a time


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What becomes of an image: the part in ``box``, resized to height x width, in 1 or 3 channels.

    box: (left, top, right, bottom) in pixels of the upright image; None: all of it.
    fit: stretch; cover = cut what is too wide or too high, equally on both sides; contain = add black.

    Raises:
        ValueError: if an option is out of range.
    """

    height: int
    width: int
    channels: int
    box: Sequence[int] | None = None
    fit: str = "stretch"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            check_range(name, getattr(self, name), low=1, high=4096, integer=True)
        if self.channels not in (1, 3):
            raise ValueError(f"channels={self.channels}: must be 1 (grey) or 3 (RGB)")
        if self.fit not in FITS:
            raise ValueError(f"fit={self.fit}: must be one of {', '.join(FITS)}")
        if self.box is not None:
            object.__setattr__(self, "box", _checked_box(self.box))

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels

    def told(self, dataset: Dataset) -> Dataset:
        """The same data set; its record then says how images were cut, so that others can be alike."""
        pixels = {"box": None if self.box is None else list(self.box), "fit": self.fit}
        return replace(dataset, facts={**dataset.facts, "pixels": pixels})

    def decode(self, data: bytes) -> np.ndarray:
        """(height, width, channels) uint8, upright by its EXIF; resized bilinearly, with antialiasing.

        Of several frames the first; 16 bits become 8; what is transparent lies on white.

        Raises:
            ValueError: in one line, for other formats than BMP, GIF, JPEG, PNG, PPM, TIFF and WebP, damaged
            files, more than ``MOST_PIXELS`` pixels, a box that leaves the image, and values without a known
            range.
        """
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"{image.width}x{image.height} pixels: over {MOST_PIXELS} are refused")
                ImageOps.exif_transpose(image, in_place=True)
                flat = _in_mode("L" if self.channels == 1 else "RGB", _opaque(image))
                resized = self._resized(flat if self.box is None else _cut(flat, self.box))
        except UnidentifiedImageError as error:
            raise ValueError(f"cannot be read as an image (none of {', '.join(FORMATS)})") from error
        # Pillow meets damaged files with all of these.
        except (
            OSError,
            ValueError,
            TypeError,
            SyntaxError,
            struct.error,
            Image.DecompressionBombError,
        ) as error:
            raise ValueError(f"cannot be read as an image ({' '.join(str(error).split())})") from error
        return np.asarray(resized, dtype=np.uint8).reshape(self.shape)

    def _resized(self, image: Image.Image) -> Image.Image:
        size, bilinear = (self.width, self.height), Image.Resampling.BILINEAR
        if self.fit == "cover":
            return ImageOps.fit(image, size, bilinear)
        return ImageOps.pad(image, size, bilinear) if self.fit == "contain" else image.resize(size, bilinear)


def _checked_box(box: Sequence[int]) -> tuple[int, ...]:
    left, top, right, bottom = numbers = tuple(box) if len(box) == 4 else (0, 0, 0, 0)
    if not all(type(number) is int for number in numbers) or not (0 <= left < right and 0 <= top < bottom):
        raise ValueError(f"box={list(box)}: must be [left, top, right, bottom] in pixels, whole numbers >= 0")
    return numbers


def _cut(image: Image.Image, box: Sequence[int]) -> Image.Image:
    left, top, right, bottom = box
    if right > image.width or bottom > image.height:
        raise ValueError(f"{image.width}x{image.height} pixels do not hold box={list(box)}")
    return image.crop((left, top, right, bottom))


def _opaque(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits a channel that ``convert`` makes grey or RGB without loss of meaning."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _eight_bits(np.asarray(image))
    if image.mode == "F":
        raise ValueError("floating point values have no known range: save it with 8 or 16 bits")
    if image.mode in _CLEAR or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA"))
    return image


def _in_mode(mode: str, image: Image.Image) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which would copy it all the same


def _eight_bits(values: np.ndarray) -> Image.Image:
    """Return values (h, w) from 0 to 65535 as grey of 0 to 255, rounded; ``convert`` would clip them."""
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 65535:
        raise ValueError(f"values {lowest} to {highest}: expected 0 to 65535, 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


class Decoded(NamedTuple):
    """Some images of many, in no particular order: which (rows), their pixels, and why others have none."""

    rows: list[int]
    images: list[np.ndarray]
    broken: dict[int, str]


def decode_all(encoded: Iterable[Encoded], pixels: Pixels) -> Iterator[Decoded]:
    """Decode files, with one thread a core; memory holds a few chunks at a time."""
    return in_threads(partial(decode_chunk, pixels), chunks(encoded, least=math.prod(pixels.shape)))


def chunks(encoded: Iterable[Encoded], *, least: int) -> Iterator[list[Encoded]]:
    """Neighbours of some megabytes together; each file counts for ``least`` bytes at least."""
    chunk: list[Encoded] = []
    held = 0
    for row, data in encoded:
        chunk.append((row, data))
        held += max(least, 0 if isinstance(data, ValueError) else len(data))
        if held >= _CHUNK:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def decode_chunk(pixels: Pixels, chunk: list[Encoded]) -> Decoded:
    """Decode files, one after the other."""
    found = Decoded([], [], {})
    for row, data in chunk:
        try:
            if isinstance(data, ValueError):
                raise data
            found.images.append(pixels.decode(data))
            found.rows.append(row)
        except ValueError as error:
            found.broken[row] = str(error)
    return found
