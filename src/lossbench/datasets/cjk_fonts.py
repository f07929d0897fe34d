"""Fonts on this machine that draw Chinese, Japanese or Korean characters."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lossbench.datasets.cache import Arrays, cached_arrays
from lossbench.datasets.drawing import faces_of
from lossbench.datasets.fonts import Face, renderer_version
from lossbench.datasets.options import digest_of

logger = logging.getLogger(__name__)

# Kana, ideographs with their extensions A to H, syllables of Hangul: ranges, because Python's own tables of
# characters grow with its version.
RANGES = (
    (0x3041, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0x20000, 0x323AF),
)

_SUFFIXES = {".otc", ".otf", ".ttc", ".ttf"}
_INSTALL = (
    "install some (Debian: apt install fonts-noto-cjk fonts-wqy-zenhei fonts-wqy-microhei fonts-arphic-ukai "
    "fonts-arphic-uming fonts-cns11643-kai fonts-cns11643-sung fonts-hanazono fonts-babelstone-han "
    "fonts-unfonts-core) or set dataset.fonts=FOLDER"
)


def is_cjk(codepoint: int) -> bool:
    """Whether a character is one of ``RANGES``."""
    return any(first <= codepoint <= last for first, last in RANGES)


def cjk_faces(folder: Path | None) -> list[Face]:
    """Faces with a character of ``RANGES`` in the fonts below ``folder``, or in the system's own folders.

    Copies of a file, and links to it, count once. The name of a face holds the sha256 of its file and its
    number there, so that equal names are equal fonts. Sorted by name.

    Raises:
        ValueError: if there is none.
    """
    folders = [folder] if folder else _system_folders()
    files = sorted({path for folder in folders for path in _font_files(folder)})
    listing = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    # Reading a gigabyte of fonts takes seconds; what was found there is kept.
    key = digest_of(revision=1, listing=listing, ranges=RANGES, matplotlib=renderer_version())
    found = cached_arrays(f"cjk-fonts-{key[:16]}", lambda: _catalogue(files))
    columns = zip(found["name"].tolist(), found["path"].tolist(), found["index"].tolist(), strict=True)
    faces = {name: Face(name, Path(file), index) for name, file, index in columns}
    if not faces:
        places = ", ".join(map(str, folders))
        raise ValueError(f"no font with Chinese, Japanese or Korean characters in {places}; {_INSTALL}")
    return [faces[name] for name in sorted(faces)]


def _catalogue(files: list[Path]) -> Arrays:
    """Name, file and index in it of each face that has a character of ``RANGES``."""
    rows = [(f"{file.stem} {digest}#{index}", str(file), index) for file, digest, index in _suitable(files)]
    names, paths, indices = zip(*rows, strict=True) if rows else ((), (), ())
    return {
        "name": np.array(names, dtype=np.str_),
        "path": np.array(paths, dtype=np.str_),
        "index": np.array(indices, dtype=np.int64),
    }


def _suitable(files: list[Path]) -> Iterator[tuple[Path, str, int]]:
    seen = set()
    for file in files:
        try:
            digest = _sha256(file)
            if digest not in seen:
                seen.add(digest)
                indices = [index for index, characters in faces_of(file) if any(map(is_cjk, characters))]
                yield from ((file, digest, index) for index in indices)
        except (OSError, RuntimeError) as error:
            logger.warning("%s cannot be read as a font (%s): left out", file, " ".join(str(error).split()))


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _font_files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.suffix.lower() in _SUFFIXES and path.is_file():
                yield path.resolve()


def _system_folders() -> list[Path]:
    home = Path.home()
    places = [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share", "fonts"),
        home / ".fonts",
        Path("/System/Library/Fonts"),
        Path("/Library/Fonts"),
        home / "Library" / "Fonts",
        Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts"),
    ]
    return [place for place in places if place.is_dir()] or places[:1]
