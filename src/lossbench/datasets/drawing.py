"""Draw every character of some fonts, and keep one of each group of characters that look the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossbench.datasets.alike import alike_pairs, first_of_alike

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

SIDE = 32  # pixels
EM = 20  # pixels: capitals with two accents and most arrows fit, with room left for distortions
BASELINE = 23  # row: the same for all characters, so that accents keep their place
MIN_STYLES = 6  # different drawings that make a character an identity


def draw_characters(files: list[Path]) -> dict[str, np.ndarray]:
    """Drawings of every identity in every font that has it.

    An identity is a character with at least ``MIN_STYLES`` different drawings that looks like no other
    identity in the same font, and equals none in another; of those alike the lowest code point stays.
    Drawings that leave the image, blank ones and repeats of another font's drawing of the same character
    are left out.

    Returns:
        images (n, 32, 32) uint8, 0 = paper, 255 = ink; codepoint (n,) int64; font (n,) int64, index into
        font_name (f,) str. Sorted by codepoint, then font.
    """
    drawings = [
        (codepoint, font, image) for font, file in enumerate(files) for codepoint, image in _draw_font(file)
    ]
    drawings.sort(key=lambda drawing: drawing[:2])
    codepoint = np.array([drawing[0] for drawing in drawings], dtype=np.int64)
    font = np.array([drawing[1] for drawing in drawings], dtype=np.int64)
    images = np.stack([drawing[2] for drawing in drawings])
    kept = _different_styles(images, codepoint)
    kept = kept[_different_characters(images[kept], codepoint[kept], font[kept])]
    names = np.array([file.stem for file in files])
    return {"images": images[kept], "codepoint": codepoint[kept], "font": font[kept], "font_name": names}


def _different_styles(images: np.ndarray, codepoint: np.ndarray) -> np.ndarray:
    """Row numbers of the different drawings of each character that has at least ``MIN_STYLES``."""
    kept: list[int] = []
    for rows in np.split(np.arange(len(images)), np.flatnonzero(np.diff(codepoint)) + 1):
        if len(rows) >= MIN_STYLES:
            different = rows[first_of_alike(len(rows), alike_pairs(images[rows]))]
            kept.extend(different if len(different) >= MIN_STYLES else [])
    return np.array(kept, dtype=np.int64)


def _different_characters(images: np.ndarray, codepoint: np.ndarray, font: np.ndarray) -> np.ndarray:
    """True at rows of characters that no kept character of a lower code point resembles in any font."""
    characters, number = np.unique(codepoint, return_inverse=True)
    pairs = [_equal_in_any_fonts(images, number)]
    for one in np.unique(font):
        rows = np.flatnonzero(font == one)
        pairs.append(number[rows][alike_pairs(images[rows])])
    return first_of_alike(len(characters), np.concatenate(pairs))[number]


def _equal_in_any_fonts(images: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Pairs (k, 2) of characters with an equal drawing, such as an italic h and the Planck constant."""
    first: dict[bytes, int] = {}
    owners = [
        (first.setdefault(image.tobytes(), int(own)), int(own))
        for image, own in zip(images, number, strict=True)
    ]
    return np.array([pair for pair in owners if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)


def _draw_font(file: Path) -> Iterator[tuple[int, np.ndarray]]:
    font = _open(file)
    for codepoint in sorted(font.get_charmap()):
        # C*: control, format and private use; Z*: spaces
        if unicodedata.category(chr(codepoint))[0] not in "CZ":
            image = _draw(font, codepoint)
            if image is not None and image.any():
                yield codepoint, image


def _draw(font: FT2Font, codepoint: int) -> np.ndarray | None:
    """One character on the baseline, centred horizontally; None if it does not fit."""
    glyph = font.load_char(codepoint, flags=_unhinted())
    left, bottom, right, top = glyph.bbox  # 1/64 pixel, upwards from the baseline
    left, bottom, right, top = left // 64, bottom // 64, -(-right // 64), -(-top // 64)
    width = right - left
    if width <= 0 or width > SIDE or top > BASELINE or bottom < BASELINE - SIDE:
        return None
    canvas = _canvas()
    # x is where the origin goes, y where the top of the ink goes
    font.draw_glyph_to_bitmap(canvas, (SIDE - width) // 2 - left, BASELINE - top, glyph)
    return np.array(canvas, dtype=np.uint8)


# The three below are what differs between versions of matplotlib: 3.10 made flags an enumeration, 3.11 took
# numpy arrays as canvas and dropped the hinting factor.


def _open(file: Path) -> FT2Font:
    from matplotlib import __version_info__, ft2font

    options: dict[str, Any] = {} if __version_info__ >= (3, 11) else {"hinting_factor": 1}
    font = ft2font.FT2Font(str(file), **options)
    font.set_size(EM, 72)
    return font


def _unhinted() -> Any:
    """FT_LOAD_NO_HINTING (2): hinting snaps outlines to the grid, differently in every FreeType."""
    from matplotlib import __version_info__, ft2font

    return ft2font.LoadFlags.NO_HINTING if __version_info__ >= (3, 10) else 2


def _canvas() -> Any:
    from matplotlib import __version_info__, ft2font

    recent = __version_info__ >= (3, 11)
    return np.zeros((SIDE, SIDE), dtype=np.uint8) if recent else ft2font.FT2Image(SIDE, SIDE)
