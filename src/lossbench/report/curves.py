"""ROC and CMC: mean and range over seeds, drawn as the step functions they are."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter

from lossbench.report.style import COLOURS, FAINT, house_style

# One seed's curve as (x, y), each (k,): (far, tar) or (rank, rate).
Curve = tuple[np.ndarray, np.ndarray]
Curves = Mapping[str, Sequence[Curve]]
# label -> metric name -> mean over its seeds.
Known = Mapping[str, Mapping[str, float | None]]

_RANKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def step_values(x: np.ndarray, y: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Largest ``y`` (k,) among the points with ``x <= g``, for every g of ``grid`` (n,); NaN where none is.

    TAR@FAR by its definition: right-continuous steps, nothing interpolated.
    """
    order = np.argsort(x, kind="stable")
    best = np.fmax.accumulate(np.asarray(y, float)[order])
    reached = np.searchsorted(np.asarray(x, float)[order], grid, side="right")
    return np.append(np.nan, best)[reached]


def roc_figure(curves: Curves, title: str = "Verification ROC", known: Known | None = None) -> Figure:
    """TAR over FAR (log): a line for each label's mean over seeds, a band from lowest to highest seed.

    The left end is the smallest FAR that the impostors resolve, but not below 1e-6. The legend's numbers come
    from ``known`` where it has them: a curve thinned for drawing reads a little below the metric.
    """
    resolved = [float(far[far > 0].min()) for seeds in curves.values() for far, _ in seeds if np.any(far > 0)]
    left = min(max(1e-6, min(resolved, default=1e-6)), 0.1)
    decade = next((decade for decade in (3, 2) if 10.0**-decade >= left), 1)
    values = _values(curves, 10.0**-decade, f"test/tar_far_1e_{decade}", known)
    with house_style():
        figure, axes = _axes(title, "FAR (false accept rate)", "TAR (true accept rate)")
        _draw(axes, curves, np.geomspace(left, 1, 400), values, f"TAR at FAR=1e-{decade}")
        axes.set_xlim(left, 1)
        axes.xaxis.set_major_locator(LogLocator(numticks=12))
    return figure


def cmc_figure(curves: Curves, title: str = "Identification CMC", known: Known | None = None) -> Figure:
    """Identification rate over rank (log), drawn as the ROC is."""
    last = max(
        (float(np.max(rank)) for seeds in curves.values() for rank, _ in seeds if len(rank)), default=1
    )
    grid = np.unique(np.round(np.geomspace(1, max(last, 2), 300)))
    with house_style():
        figure, axes = _axes(title, "rank", "identification rate")
        _draw(axes, curves, grid, _values(curves, 1, "test/cmc_1", known), "rank-1 rate")
        axes.set_xlim(1, grid[-1])
        axes.set_xticks(
            ticks := [rank for rank in _RANKS if rank <= grid[-1]], [f"{rank:,}" for rank in ticks]
        )
    return figure


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y, xscale="log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure, axes


def _values(curves: Curves, x: float, metric: str, known: Known | None) -> dict[str, float]:
    """The number each label is ranked by: its known mean, else its curve's mean at ``x``."""
    values = {}
    for label, seeds in curves.items():
        value = (known or {}).get(label, {}).get(metric)
        read = [step_values(*seed, np.array([x]))[0] for seed in seeds]
        values[label] = float(np.mean(read)) if value is None else value
    return values


def _draw(axes: Axes, curves: Curves, grid: np.ndarray, values: Mapping[str, float], heading: str) -> None:
    """Lines, bands, and a legend beside the axes in the order of ``values``."""
    steps = {label: np.stack([step_values(x, y, grid) for x, y in seeds]) for label, seeds in curves.items()}
    ranked = sorted(curves, key=lambda label: -np.nan_to_num(values[label], nan=-1))
    # More lines than colours: the best keep theirs, the rest stay as a faint background.
    kept = set(ranked[: len(COLOURS)])
    colours = dict(zip([label for label in curves if label in kept], COLOURS, strict=False))
    handles = {}
    for label in reversed(ranked):
        colour = colours.get(label, FAINT)
        width = 1.8 if label in kept else 0.8
        mean = steps[label].mean(0)
        (handles[label],) = axes.plot(grid, mean, drawstyle="steps-post", color=colour, linewidth=width)
        if len(steps[label]) > 1 and label in kept:
            low, high = steps[label].min(0), steps[label].max(0)
            axes.fill_between(grid, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    _zoom(axes, np.concatenate([steps[label] for label in curves]))
    _legend(axes, curves, [label for label in ranked if label in kept], handles, values, heading)


def _zoom(axes: Axes, values: np.ndarray) -> None:
    """From just below the lowest value to 100 %: the differences stay visible where every curve is high."""
    low = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
    axes.set_ylim(max(0.0, low - 0.05 * (1 - low)), 1 + 0.02 * (1 - low) + 1e-3)


def _legend(
    axes: Axes,
    curves: Curves,
    ranked: Sequence[str],
    handles: Mapping[str, Line2D],
    values: Mapping[str, float],
    heading: str,
) -> None:
    shown = [handles[label] for label in ranked]
    texts = [textwrap.fill(f"{_percent(values[label])}  {label}", 36) for label in ranked]
    if others := [label for label in handles if label not in ranked]:
        shown.append(handles[others[0]])
        texts.append(f"{len(others)} more, lower")
    counts = sorted({len(seeds) for seeds in curves.values()})
    if counts[-1] > 1:
        seeds = "–".join(str(count) for count in sorted({counts[0], counts[-1]}))  # noqa: RUF001
        heading += f"\nmean of {seeds} seeds, band: lowest to highest"
    legend = axes.legend(
        shown,
        texts,
        title=heading,
        alignment="left",
        handlelength=1.4,
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
    )
    legend.get_title().set(fontsize=9, color="#444444")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if np.isfinite(value) else "not resolved"
