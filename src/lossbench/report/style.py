"""How figures look and how they are written. Figure objects only: no pyplot, no window, no global state."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Okabe and Ito's colour-blind-safe palette without its yellow, which is too faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
FAINT = "#BDBDBD"
# Any: matplotlib types the keys as one Literal of 300 names, which a plain dict never matches.
_STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    # Element ids are random without a salt, and the SVG would change at every call.
    "svg.hashsalt": "lossbench",
}


def house_style() -> AbstractContextManager[None]:
    """Every figure is built and written inside this context; the caller's rcParams come back after it."""
    return matplotlib.rc_context(_STYLE)


def save(figure: Figure, folder: Path | str, stem: str) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg``; the same figure gives the same SVG byte for byte."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.png", folder / f"{stem}.svg"]
    with house_style(), warnings.catch_warnings():
        # Names in a script that matplotlib's font lacks become boxes; a line for each letter helps nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(paths[0], dpi=150, facecolor="white")
        figure.savefig(paths[1], facecolor="white", metadata={"Date": None})
    return paths
