"""The font files that ship inside matplotlib, found and identified without importing it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
)


@dataclass(frozen=True)
class Face:
    """One face of a font file; collections (.ttc) hold several."""

    name: str
    file: Path
    index: int = 0


def font_faces() -> list[Face]:
    """Faces of ``FONTS``, in that order.

    Raises:
        FileNotFoundError: if the installed matplotlib has no such file.
    """
    return [Face(file.stem, file) for file in font_files()]


def font_files() -> list[Path]:
    """Paths of ``FONTS``, in that order.

    Raises:
        FileNotFoundError: if the installed matplotlib has no such file.
    """
    spec = find_spec("matplotlib")
    places = list(spec.submodule_search_locations or []) if spec else []
    folder = Path(places[0] if places else ".") / "mpl-data" / "fonts" / "ttf"
    files = [folder / f"{name}.ttf" for name in FONTS]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: {missing[0]} is missing; reinstall matplotlib from PyPI")
    return files


def font_hashes() -> dict[str, str]:
    """Sha256 (hex) of the contents of each font file, by name (6 MB: about 10 ms)."""
    return {file.stem: hashlib.sha256(file.read_bytes()).hexdigest() for file in font_files()}


def renderer_version() -> str:
    """Version of matplotlib, whose bundled FreeType draws the outlines."""
    return version("matplotlib")
