"""Trained sweeps: runs by their settings, what differs between settings in points, and curves over one."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossbench.chapter.claim import Missing, Working
from lossbench.chapter.endpoints import called
from lossbench.chapter.orderings import decide, points
from lossbench.intervals import mean_interval
from lossbench.report.paired import FEWEST, Metrics, Setting


def number(column: str, blank: float | None = None) -> Callable[[Mapping[str, str]], float | None]:
    """What a row of ``runs.csv`` has in a column; ``blank`` where it has nothing there.

    Raises Missing where there is no such column: no run has a value there.
    """

    def read(run: Mapping[str, str]) -> float | None:
        if column not in run:
            raise Missing(
                f"no column {column} in the committed runs: those of other values are not there yet"
            )
        return float(run[column]) if run[column] else blank

    return read


def both(
    one: Callable[[Mapping[str, str]], float | None], other: Callable[[Mapping[str, str]], float | None]
) -> Callable[[Mapping[str, str]], tuple[float, float] | None]:
    """Two columns as one setting; None where either is."""

    def read(run: Mapping[str, str]) -> tuple[float, float] | None:
        first, second = one(run), other(run)
        return None if first is None or second is None else (first, second)

    return read


def compare(
    work: Working,
    runs: Mapping[Setting, Metrics],
    what: str,
    weights: Mapping[Setting, float],
    metrics: Sequence[str],
) -> None:
    """``decide`` whether a contrast is above 0 in each metric."""
    decide(work, {f"{called(metric)}, points {what}": points(runs, weights, metric) for metric in metrics})


def slope(margins: Sequence[float], at: float) -> dict[float, float]:
    """Weights of the values at ``margins`` whose sum is the slope at ``at`` of their least-squares parabola.

    >>> weights = slope([0.0, 0.1, 0.2, 0.3], 0.25)
    >>> round(sum(weight * (1 - m**2) for m, weight in weights.items()), 6)
    -0.5
    """
    fitted = np.linalg.pinv(np.vander(margins, 3))
    return dict(zip(margins, (np.array([2 * at, 1, 0]) @ fitted).tolist(), strict=True))


def in_percent(seeds: Metrics, metric: str) -> list[float]:
    return [100 * numbers[metric] for numbers in seeds.values() if metric in numbers]


def draw(axes: Axes, values: Mapping[float, Sequence[float]], colour: str, label: str | None = None) -> None:
    """Mean over x with every seed as a point, and the 95 % interval as a band where there are three seeds."""
    known = sorted(x for x, row in values.items() if row)
    if not known:
        return
    axes.plot(known, [statistics.fmean(values[x]) for x in known], "-", color=colour, label=label)
    axes.plot(*zip(*((x, y) for x in known for y in values[x]), strict=True), ".", color=colour, alpha=0.4)
    banded = [x for x in known if len(values[x]) >= FEWEST]
    if banded:
        low, high = zip(*(mean_interval(values[x]) for x in banded), strict=True)
        axes.fill_between(banded, low, high, color=colour, alpha=0.15, linewidth=0)


def below(figure: Figure, axes: Axes, columns: int) -> None:
    """One legend for all panels, under them: within one it would cover what other numbers draw there."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
