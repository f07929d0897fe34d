"""Every figure of a report or of a run, written where it belongs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lossbench.records import Record
from lossbench.report.curves import Curves, Known, cmc_figure, roc_figure, step_values
from lossbench.report.groups import curve_labels, group_records
from lossbench.report.style import save
from lossbench.report.training import History, history_figure

__all__ = [
    "cmc_figure",
    "history_figure",
    "roc_figure",
    "run_figures",
    "save",
    "step_values",
    "write_curve_figures",
]


def write_curve_figures(
    folder: Path | str,
    curves: Mapping[str, Sequence[Mapping[str, np.ndarray]]],
    task: str = "",
    suffix: str = "",
    known: Known | None = None,
) -> list[Path]:
    """Write roc and cmc for ``label -> the curves.npz of its seeds``; a curve that nobody has is left out.

    ``task`` (a dataset's name) goes into the titles, ``suffix`` into the file names,
    ``known`` (label -> metric -> mean over seeds) into the legends.
    """
    paths = []
    for stem, draw, name, x, y in _CURVE_FIGURES:
        given = {}
        for label, seeds in curves.items():
            if pairs := [(seed[x], seed[y]) for seed in seeds if len(seed.get(x, ()))]:
                given[label] = pairs
        if given:
            paths += save(draw(given, f"{name}: {task}" if task else name, known), folder, stem + suffix)
    return paths


def run_figures(
    folder: Path | str, record: Record, curves: Mapping[str, np.ndarray], history: History
) -> list[Path]:
    """Write roc, cmc and training of one run into ``folder``; those without numbers are left out."""
    label = curve_labels(group_records([record]))[0]
    task = str(record.details.get("dataset") or "")
    paths = write_curve_figures(folder, {label: [curves]}, task, known={label: record.metrics})
    if any(name.startswith(("train/", "val/")) for row in history for name in row):
        title = f"Training: {label} on {task}" if task else f"Training: {label}"
        paths += save(history_figure(history, title), folder, "training")
    return paths


_CURVE_FIGURES: tuple[tuple[str, Callable[[Curves, str, Known | None], Figure], str, str, str], ...] = (
    ("roc", roc_figure, "Verification ROC", "roc_far", "roc_tar"),
    ("cmc", cmc_figure, "Identification CMC", "cmc_rank", "cmc_rate"),
)
