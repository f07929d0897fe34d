"""Draw every character of some fonts, and keep one of each group of characters that look the same."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossbench.datasets.alike import alike_pairs, first_of_alike
from lossbench.datasets.fonts import Face

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

SIDE = 32  # pixels
EM = 20  # pixels: capitals with two accents and most arrows fit, with room left for distortions
BASELINE = 23  # row: the same for all characters, so that accents keep their place
MIN_STYLES = 6  # different drawings that make a character an identity
STAND_IN = 8  # characters of a font with one drawing: more share the box that stands for what it lacks


def is_visible(codepoint: int) -> bool:
    """Whether a character has a shape: neither control, format, private use (C*) nor a space (Z*)."""
    return unicodedata.category(chr(codepoint))[0] not in "CZ"


def draw_characters(
    faces: list[Face],
    *,
    wanted: Callable[[int], bool] = is_visible,
    em: int = EM,
    baseline: int = BASELINE,
    min_styles: int = MIN_STYLES,
) -> dict[str, np.ndarray]:
    """Drawings of every identity in every font that has it.

    An identity is a wanted character with at least ``min_styles`` different drawings that looks like no
    other identity in the same font, and equals none in another; of those alike the lowest code point stays.
    Drawings that leave the image, blank ones, the boxes of missing characters and repeats of another font's
    drawing of the same character are left out.

    em: size of the font, pixels; baseline: row.

    Returns:
        images (n, 32, 32) uint8, 0 = paper, 255 = ink; codepoint (n,) int64; font (n,) int64, index into
        font_name (f,) str. Sorted by codepoint, then font.
    """
    fonts = Counter(codepoint for face in faces for codepoint in _characters(face, wanted))
    often = {codepoint for codepoint, count in fonts.items() if count >= min_styles}
    # Pages of memory that no drawing reaches cost nothing.
    images = np.empty((sum(fonts[codepoint] for codepoint in often), SIDE, SIDE), dtype=np.uint8)
    first: dict[tuple[int, bytes], int] = {}
    for number, face in enumerate(faces):
        for character, image in _draw_face(face, often.__contains__, em, baseline):
            if first.setdefault((character, _digest(image)), number) == number:
                images[len(first) - 1] = image
    codepoint = np.array([character for character, _ in first], dtype=np.int64)
    font = np.array(list(first.values()), dtype=np.int64)
    rows = _different_styles(images, np.lexsort((font, codepoint)), codepoint, min_styles)
    rows = _different_characters(images, rows, codepoint, font)
    names = np.array([face.name for face in faces])
    return {"images": images[rows], "codepoint": codepoint[rows], "font": font[rows], "font_name": names}


def _different_styles(
    images: np.ndarray, rows: np.ndarray, codepoint: np.ndarray, min_styles: int
) -> np.ndarray:
    """Those of ``rows``, sorted by code point, with the different drawings of each that has enough."""
    kept: list[int] = []
    for group in np.split(rows, np.flatnonzero(np.diff(codepoint[rows])) + 1):
        if len(group) >= min_styles:
            different = group[first_of_alike(len(group), alike_pairs(images[group]))]
            kept.extend(different if len(different) >= min_styles else [])
    return np.array(kept, dtype=np.int64)


def _different_characters(
    images: np.ndarray, rows: np.ndarray, codepoint: np.ndarray, font: np.ndarray
) -> np.ndarray:
    """Those of ``rows`` whose character no kept one of a lower code point resembles in any font."""
    characters, number = np.unique(codepoint[rows], return_inverse=True)
    pairs = [_equal_in_any_fonts(images, rows, number)]
    for one in np.unique(font[rows]):
        own = np.flatnonzero(font[rows] == one)
        pairs.append(number[own][alike_pairs(images[rows[own]])])
    return rows[first_of_alike(len(characters), np.concatenate(pairs))[number]]


def _equal_in_any_fonts(images: np.ndarray, rows: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Pairs (k, 2) of characters with an equal drawing, such as an italic h and the Planck constant."""
    first: dict[bytes, int] = {}
    owners = [
        (first.setdefault(_digest(images[row]), int(own)), int(own))
        for row, own in zip(rows, number, strict=True)
    ]
    return np.array([pair for pair in owners if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.data, digest_size=16).digest()


def _characters(face: Face, wanted: Callable[[int], bool]) -> list[int]:
    return sorted(filter(wanted, _open(face).get_charmap()))


def _draw_face(
    face: Face, wanted: Callable[[int], bool], em: int, baseline: int
) -> Iterator[tuple[int, np.ndarray]]:
    font = _open(face, em)
    drawn = {codepoint: _draw(font, codepoint, baseline) for codepoint in _characters(face, wanted)}
    inked = {codepoint: image for codepoint, image in drawn.items() if image is not None and image.any()}
    shared = Counter(map(_digest, inked.values()))
    for codepoint, image in inked.items():
        if shared[_digest(image)] <= STAND_IN:
            yield codepoint, image


def _draw(font: FT2Font, codepoint: int, baseline: int) -> np.ndarray | None:
    """One character on the baseline, centred horizontally; None if it does not fit or is damaged."""
    try:
        glyph = font.load_char(codepoint, flags=_unhinted())
    except RuntimeError:
        return None
    left, bottom, right, top = glyph.bbox  # 1/64 pixel, upwards from the baseline
    left, bottom, right, top = left // 64, bottom // 64, -(-right // 64), -(-top // 64)
    width = right - left
    if width <= 0 or width > SIDE or top > baseline or bottom < baseline - SIDE:
        return None
    canvas = _canvas()
    # x is where the origin goes, y where the top of the ink goes
    font.draw_glyph_to_bitmap(canvas, (SIDE - width) // 2 - left, baseline - top, glyph)
    return np.array(canvas, dtype=np.uint8)


# The four below are what differs between versions of matplotlib: 3.10 made flags an enumeration, 3.11 took
# numpy arrays as canvas, opened all faces of a collection and dropped the hinting factor.


def faces_of(file: Path) -> list[tuple[int, list[int]]]:
    """Index and code points of each face of a font file; of a collection the first where matplotlib < 3.11.

    Raises:
        RuntimeError: if FreeType cannot read it, or not in every size.
    """
    count = _open(Face(file.stem, file)).num_faces if _recent() else 1
    faces = [Face(file.stem, file, index) for index in range(count)]
    return [(face.index, sorted(_open(face).get_charmap())) for face in faces]


def _open(face: Face, em: int = EM) -> FT2Font:
    from matplotlib import ft2font

    options: dict[str, Any] = {"face_index": face.index} if _recent() else {"hinting_factor": 1}
    font = ft2font.FT2Font(str(face.file), **options)
    font.set_size(em, 72)
    return font


def _unhinted() -> Any:
    """FT_LOAD_NO_HINTING (2): hinting snaps outlines to the grid, differently in every FreeType."""
    from matplotlib import __version_info__, ft2font

    return ft2font.LoadFlags.NO_HINTING if __version_info__ >= (3, 10) else 2


def _canvas() -> Any:
    from matplotlib import ft2font

    return np.zeros((SIDE, SIDE), dtype=np.uint8) if _recent() else ft2font.FT2Image(SIDE, SIDE)


def _recent() -> bool:
    from matplotlib import __version_info__

    return __version_info__ >= (3, 11)
