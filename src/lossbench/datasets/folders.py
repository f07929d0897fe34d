"""Images in folders, one folder an identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


@dataclass
class Found:
    """Image files by identity, and how many files were passed over because they are no images."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    passed_over: int = 0


def find_images(folder: Path) -> Found:
    """Files of ``folder/<identity>/...``, sorted; hidden files, ``._*`` and other kinds are counted."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    found = Found()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        identity = path.relative_to(folder).parts[0]
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.suffix.lower() not in SUFFIXES or path.parent == folder:
            found.passed_over += 1
        else:
            found.files.append((identity, path))
    if not found.files:
        raise ValueError(f"{folder}: no images in {folder}/<identity>/")
    return found


def read_image(path: Path, *, channels: int, height: int, width: int) -> np.ndarray:
    """(height, width, channels) uint8: upright by its EXIF, grey or RGB, stretched to the size."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
            small = upright.resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read as an image ({error})") from error
    return np.asarray(small, dtype=np.uint8).reshape(height, width, channels)


def read_images(
    files: list[tuple[str, Path]], *, shape: tuple[int, int, int], block: int = 1024
) -> Iterator[np.ndarray]:
    """Blocks (b, h, w, c) uint8 of ``files`` in order; shape: (channels, height, width)."""
    channels, height, width = shape
    for start in range(0, len(files), block):
        part = files[start : start + block]
        yield np.stack([read_image(path, channels=channels, height=height, width=width) for _, path in part])
