"""Images in folders, one folder an identity."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
# Pillow goes by content and knows far more, some with programs of their own: an EPS is run by Ghostscript.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_CLEAR = {"LA", "La", "PA", "RGBA", "RGBa"}  # modes with transparency


@dataclass
class Found:
    """Image files by identity, and how many files were passed over because they are no images."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    passed_over: int = 0


def find_images(folder: Path) -> Found:
    """Files of ``folder/<identity>/...``, sorted, through links too; hidden and other files are counted.

    A link that leads back to a folder on the way, or twice to one, counts as one file passed over.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    _, identities, names = next(os.walk(folder, onerror=_unlisted))
    found = Found(passed_over=len(names))
    for identity in sorted(identities):
        for path in sorted(_below(folder, identity)):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
                found.passed_over += 1
            else:
                found.files.append((identity, path))
    if not found.files:
        raise ValueError(f"{folder}: no images in {folder}/<identity>/")
    return found


def _below(folder: Path, identity: str) -> Iterator[Path]:
    """Yield what is no folder below ``folder/identity``, and folders that links lead to once more."""
    top = folder.resolve()
    entered = {top, *top.parents}
    for place, folders, names in os.walk(folder / identity, followlinks=True, onerror=_unlisted):
        folders.sort()  # which of two ways into a folder is taken must not depend on the disk
        real = Path(place).resolve()
        if real in entered:
            folders.clear()
            yield Path(place)
            continue
        entered.add(real)
        yield from (Path(place, name) for name in names)


def _unlisted(error: OSError) -> NoReturn:
    raise ValueError(f"{error.filename}: cannot be listed ({error.strerror})") from error


def read_image(path: Path, *, channels: int, height: int, width: int) -> np.ndarray:
    """(height, width, channels) uint8: upright by its EXIF, grey or RGB, stretched to the size.

    Of several frames the first; 16 bits become 8; what is transparent lies on white. Raises ValueError in
    one line for files of other formats than ``SUFFIXES``, damaged ones, and values without a known range.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            upright = _opaque(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
            small = upright.resize((width, height), Image.Resampling.BILINEAR)
    # Pillow meets damaged files with all of these.
    except (OSError, ValueError, TypeError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot be read as an image ({reason})") from error
    return np.asarray(small, dtype=np.uint8).reshape(height, width, channels)


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


def _eight_bits(values: np.ndarray) -> Image.Image:
    """Return values (h, w) from 0 to 65535 as grey of 0 to 255, rounded; ``convert`` would clip them."""
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 65535:
        raise ValueError(f"values {lowest} to {highest}: expected 0 to 65535, 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def read_images(
    files: list[tuple[str, Path]], *, shape: tuple[int, int, int], block: int = 1024
) -> Iterator[np.ndarray]:
    """Blocks (b, h, w, c) uint8 of ``files`` in order; shape: (channels, height, width)."""
    channels, height, width = shape
    for start in range(0, len(files), block):
        part = files[start : start + block]
        yield np.stack([read_image(path, channels=channels, height=height, width=width) for _, path in part])
