"""The training figure of one run: what was logged, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lossbench.report.names import is_rate, pretty_name
from lossbench.report.style import COLOURS, house_style

History = Sequence[Mapping[str, float]]

_PANELS = (
    ("loss", ("train/loss", "val/loss", "val/nll")),
    ("target cosine and gap to the best rival", ("train/target_cosine", "train/cosine_gap")),
    ("share of samples that satisfy the margin", ("train/margin_satisfied",)),
    ("gradient norm", ("train/grad_norm",)),
    ("learning rate", ("train/lr",)),
)
_NAMES = {
    "train/loss": "train",
    "val/loss": "val",
    "train/target_cosine": "target cosine",
    "train/cosine_gap": "gap",
}


def history_figure(history: History, title: str = "Training") -> Figure:
    """Small multiples over steps; ``history`` is the rows of ``metrics.csv``, blanks left out.

    A panel appears only where something was logged for it. Raises ValueError for a history without one.
    """
    logged = {name for row in history for name in row}
    panels = [(heading, [name for name in names if name in logged]) for heading, names in _panels(logged)]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        raise ValueError("the history has no column to draw: expected train/loss, val/eer and the like")
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with house_style():
        figure = Figure(figsize=(3.4 * columns, 2.5 * rows + 0.4), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        for axes, (heading, names) in zip(grid, panels, strict=False):
            _draw_panel(axes, history, heading, names)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        # With a shared axis only the lowest panel of each column carries the step numbers.
        for column in range(columns):
            lowest = max(i for i in range(len(panels)) if i % columns == column)
            grid[lowest].set_xlabel("step")
            grid[lowest].tick_params(labelbottom=True)
    return figure


def _panels(logged: set[str]) -> list[tuple[str, Sequence[str]]]:
    """The fixed panels with validation after the training curves; its rates share one panel."""
    rates = sorted(name for name in logged if name.startswith("val/") and is_rate(name))
    return [*_PANELS[:3], ("validation", rates[: len(COLOURS)]), *_PANELS[3:]]


def _draw_panel(axes: Axes, history: History, heading: str, names: Sequence[str]) -> None:
    for name, colour in zip(names, COLOURS, strict=False):
        points = [(row.get("step", i), row[name]) for i, row in enumerate(history) if name in row]
        steps, values = zip(*points, strict=True)
        label = _NAMES.get(name, pretty_name(name).removeprefix("val "))
        axes.plot(
            steps, values, color=colour, label=label, marker="o" if len(points) < 30 else "", markersize=3
        )
    axes.set_title(heading, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if len(names) > 1:
        axes.legend(fontsize=8, labelcolor="linecolor", handlelength=1.2)
