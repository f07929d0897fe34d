"""AM-Softmax over scale and margin, trained here: the chapter's grid, its default and its way to tune."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from lossbench.chapter.claim import Missing, Working, claim
from lossbench.chapter.committed import settings
from lossbench.chapter.endpoints import called
from lossbench.chapter.orderings import CONTRADICTED, NOT_RESOLVED, REPRODUCED
from lossbench.chapter.sweeps import both, in_percent, number
from lossbench.intervals import mean_interval
from lossbench.report.paired import FEWEST, Metrics

Cell = tuple[float, float]
"""s, m."""
Scores = Mapping[Cell, Mapping[str, float]]
"""Cell -> metric -> value, of one seed."""

SCALES, MARGINS = (16.0, 30.0, 64.0), (0.25, 0.3, 0.35, 0.4, 0.45)
GRID = tuple((s, m) for s in SCALES for m in MARGINS)
DEFAULT = (30.0, 0.35)
CHOSEN_BY, JUDGED_BY = "val/tar_far_1e_4", "test/trials/tar_far_1e_4_mean"
CONVERGED = "val/accuracy"
MOST = 1.0
"""Points that a choice may lie below that of the whole grid."""


class Choice(NamedTuple):
    """A cell, and how many runs it took to choose it."""

    cell: Cell
    runs: int


def _runs() -> Mapping[Cell, Metrics]:
    return settings("scale_margin", "glyphs", both(number("knob/s"), number("knob/m")))


@claim(
    "C-AM-grid",
    says="Of the grid s 16, 30, 64 by m 0.25 to 0.45, (30, 0.35) is a strong default.",
    verdict=REPRODUCED,
    note="Strong: at most 1 point below what the whole grid finds on the validation identities.",
)
def default(work: Working) -> None:
    runs = _runs()
    _judge(work, runs, lambda scores: Choice(DEFAULT, 1))
    _draw(work, runs)


@claim(
    "C-AM-tune",
    says="Fix s at 30, raise m as far as training converges, then refine s.",
    verdict=REPRODUCED,
    note="Right: with five of the grid's 15 runs at most, at most 1 point below what the whole grid finds "
    "on the validation identities.",
)
def tuned(work: Working) -> None:
    work.let(
        "from (30, 0.35) m goes up by 0.05 while accuracy on validation pictures of the training classes "
        f"stays within a point of that at 0.35; then s is the one of 16, 30, 64 with the best "
        f"{called(CHOSEN_BY)}"
    )
    _judge(work, _runs(), by_the_rule)


def by_the_rule(scores: Scores) -> Choice:
    """Fix s, raise m while training converges, then try the other s: at most five runs."""
    s, m = DEFAULT
    tried, least = [DEFAULT], scores[DEFAULT][CONVERGED] - 0.01
    for higher in (0.4, 0.45):
        tried.append((s, higher))
        if scores[s, higher][CONVERGED] < least:
            break
        m = higher
    refined = [(each, m) for each in SCALES]
    return Choice(_best(scores, refined), len({*tried, *refined}))


def by_the_grid(scores: Scores) -> Choice:
    return Choice(_best(scores, GRID), len(GRID))


def _best(scores: Scores, cells: Sequence[Cell]) -> Cell:
    return max(cells, key=lambda cell: scores[cell][CHOSEN_BY])


def _judge(work: Working, runs: Mapping[Cell, Metrics], choose: Callable[[Scores], Choice]) -> None:
    """Bound by how many points the chosen cell lies below the grid's on the test identities."""
    below = []
    for seed, scores in _complete(runs).items():
        (mine, few), (best, all_) = choose(scores), by_the_grid(scores)
        below.append(100 * (scores[best][JUDGED_BY] - scores[mine][JUDGED_BY]))
        work.let(
            f"seed {seed}: (s, m) = {_told(mine)} of {few} trained, {_told(best)} of {all_}: "
            f"{below[-1]:+.2f} points of {called(JUDGED_BY)}"
        )
    work.expected.append(f"{called(JUDGED_BY)}, points below the grid's choice: at most {MOST:g}")
    low, high = mean_interval(below) if len(below) >= FEWEST else (-math.inf, math.inf)
    chance = (
        f"95 % {low:+.2f} to {high:+.2f} over {len(below)} seeds"
        if len(below) >= FEWEST
        else f"{len(below)} of three seeds"
    )
    work.measured.append(f"{statistics.fmean(below):+.2f}, {chance}")
    work.verdict = REPRODUCED if high <= MOST else CONTRADICTED if low > MOST else NOT_RESOLVED


def _complete(runs: Mapping[Cell, Metrics]) -> dict[int, dict[Cell, Mapping[str, float]]]:
    """Seed -> scores, of the seeds that have the whole grid; raises Missing where none has."""
    wanted = {CHOSEN_BY, JUDGED_BY, CONVERGED}
    found = {
        seed: {cell: runs[cell][seed] for cell in GRID}
        for seed in sorted(runs.get(DEFAULT, {}))
        if all(wanted <= runs.get(cell, {}).get(seed, {}).keys() for cell in GRID)
    }
    if not found:
        raise Missing(f"no seed has all {len(GRID)} runs of the grid: let the sweep finish")
    return found


def _told(cell: Cell) -> str:
    return f"({cell[0]:g}, {cell[1]:.2f})"


def _draw(work: Working, runs: Mapping[Cell, Metrics]) -> None:
    figure = work.figure("fig-3.6-scale-margin", 7.6, 3.0)
    rows = {cell: in_percent(runs.get(cell, {}), JUDGED_BY) for cell in GRID}
    means = {cell: statistics.fmean(row) for cell, row in rows.items() if row}
    spreads = {cell: statistics.stdev(row) for cell, row in rows.items() if len(row) > 1}
    left, right = figure.subplots(1, 2, sharey=True)
    _heat(left, means, "Blues", f"{called(JUDGED_BY)}, mean (%)")
    _heat(right, spreads, "Oranges", "SD over seeds (points)")
    left.set_ylabel("scale s")


def _heat(axes: Axes, values: Mapping[Cell, float], colours: str, title: str) -> None:
    """A cell without a value stays white, with a dash."""
    table = np.array([[values.get((s, m), math.nan) for m in MARGINS] for s in SCALES])
    axes.imshow(table, cmap=colours, aspect="auto", origin="lower", alpha=0.6)
    for (row, column), value in np.ndenumerate(table):
        axes.text(column, row, "-" if math.isnan(value) else f"{value:.2f}", ha="center", va="center")
    axes.set(xticks=range(len(MARGINS)), xticklabels=[f"{m:.2f}" for m in MARGINS], xlabel="margin m")
    axes.set(yticks=range(len(SCALES)), yticklabels=[f"{s:g}" for s in SCALES])
    axes.set_title(title)
    axes.grid(visible=False)
