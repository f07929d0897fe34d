"""A contact sheet: the first images of some identities of every split."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from lossbench.datasets.dataset import CLOSED, OPEN, Dataset, Split
from lossbench.report.style import house_style

IDENTITIES, IMAGES = 6, 8
"""Of each split: rows and columns of its part of the sheet."""

_GAP = 2  # pixels of an image between two
_LONGEST = 24  # characters of a name
_WIDTH, _CELL = 6.2, 0.55  # inches of a part with its names, and of the width of an image


def write_sheet(dataset: Dataset, path: Path) -> None:
    """Write a PNG of the same images whenever the data set is the same.

    Raises:
        ValueError: in one line, if rows are no images, or the file cannot be written as a PNG.
    """
    if len(dataset.shape) != 3:
        raise ValueError(f"--sheet={path}: {dataset.name} holds vectors, no images")
    if path.suffix.lower() != ".png":
        raise ValueError(f"--sheet={path}: name a file that ends in .png")
    figure = contact_sheet(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    with house_style():
        figure.savefig(path, dpi=150, facecolor="white")


def contact_sheet(dataset: Dataset) -> Figure:
    """One part a split, two beside each other; names of identities beside their images."""
    lines = math.ceil(len(dataset.splits) / 2)
    row = _CELL * dataset.shape[0] / dataset.shape[1]
    figure = Figure(figsize=(2 * _WIDTH, 0.4 + lines * (0.5 + IDENTITIES * row)), layout="constrained")
    figure.suptitle(
        f"{dataset.name}: up to {IDENTITIES} identities of each split", x=0.01, ha="left", fontsize=13
    )
    roles = [role for role in (*CLOSED, *OPEN) if role in dataset.splits]
    with house_style():
        parts = figure.subplots(lines, 2, squeeze=False).ravel()
        for part, role in zip(parts, roles, strict=False):
            _draw(part, role, dataset.splits[role])
    for part in parts[len(roles) :]:
        part.remove()
    return figure


def _draw(part: Axes, role: str, split: Split) -> None:
    present = np.unique(split.labels)
    shown = present[np.linspace(0, len(present) - 1, min(IDENTITIES, len(present))).round().astype(int)]
    rows = [np.flatnonzero(split.labels == label)[:IMAGES] for label in shown]
    height, width, channels = split.data.shape[1:]
    wide, high = width + _GAP, height + _GAP
    sheet = np.full((high * IDENTITIES, wide * IMAGES, channels), 255, np.uint8)
    for i, of_identity in enumerate(rows):
        for j, image in enumerate(split.read(of_identity)):
            sheet[i * high : i * high + height, j * wide : j * wide + width] = image
    part.imshow(
        sheet if channels == 3 else sheet[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest"
    )
    part.set_title(f"{role}: {len(present):,} identities, {len(split):,} images")
    part.set_xticks([])
    ticks = [i * high + height / 2 for i in range(len(rows))]
    part.set_yticks(ticks, [_label(split.names[label]) for label in shown], parse_math=False)
    part.tick_params(length=0)
    part.grid(visible=False)
    part.spines[:].set_visible(False)


def _label(name: str) -> str:
    """A name that fits, its middle left out, in characters that the font has."""
    font = get_font(findfont(FontProperties()))
    drawn = "".join(letter if font.get_char_index(ord(letter)) else "?" for letter in name)
    half = _LONGEST // 2
    return drawn if len(drawn) <= _LONGEST else f"{drawn[:half]}…{drawn[1 - half :]}"
