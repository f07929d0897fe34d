"""The charts of a report page: ROC and CMC of each dataset, and what was logged while training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from lossbench.records import Record
from lossbench.report.chart import Chart, Line
from lossbench.report.curves import step_values
from lossbench.report.groups import Group, curve_labels
from lossbench.report.names import MISSING, is_rate
from lossbench.report.training import History

# Of each run, in the order of the groups and of their runs.
Curves = Sequence[Sequence[Mapping[str, np.ndarray]]]
Histories = Sequence[Sequence[History]]

# (x, y) of each seed of each group, by the group's place.
_Given = dict[int, dict[str, tuple[np.ndarray, np.ndarray]]]

_LEAST_FAR = 1e-6
_POINTS_PER_DECADE, _MOST_RANKS, _MOST_STEPS = 30, 120, 60
_TRAINING = {
    "val/tar_far_1e_2": "validation TAR@FAR=1e-2",
    "val/eer": "validation EER",
    "train/target_cosine": "cosine with the own class",
    "train/margin_satisfied": "share of samples that satisfy the margin",
    "train/loss": "training loss, each on its own scale",
    "train/grad_norm": "gradient norm",
}

# Between losses these differ by powers of ten.
_SPREADING = ("train/loss", "train/grad_norm")


def curve_charts(groups: Sequence[Group], curves: Curves) -> list[Chart]:
    """ROC and CMC for each dataset; a chart that nobody has numbers for is left out."""
    tasks: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        tasks[group.part("dataset")].append(place)
    charts = []
    for number, (task, places) in enumerate(tasks.items()):
        labels = dict(zip(places, curve_labels([groups[place] for place in places]), strict=True))
        of_task = f": {task}" if task != MISSING else ""
        if roc := _given(groups, curves, places, "roc_far", "roc_tar"):
            charts.append(_roc(f"roc-{number}", f"Verification ROC{of_task}", labels, roc))
        if cmc := _given(groups, curves, places, "cmc_rank", "cmc_rate"):
            charts.append(_cmc(f"cmc-{number}", f"Identification CMC{of_task}", labels, cmc))
    return charts


def training_charts(groups: Sequence[Group], histories: Histories) -> list[Chart]:
    """A chart for each value that was logged, over at most 60 of the steps at which any run logged it."""
    labels, charts = curve_labels(groups), []
    if len({group.part("dataset") for group in groups}) > 1:
        labels = [f"{label}, {group.part('dataset')}" for label, group in zip(labels, groups, strict=True)]
    for name, title in _TRAINING.items():
        logged = [_logged(group, rows, name) for group, rows in zip(groups, histories, strict=True)]
        steps = sorted({step for runs in logged for rows in runs.values() for step in rows})
        if not steps:
            continue
        grid = np.array(steps)[_spread(len(steps), _MOST_STEPS)]
        lines = [
            Line(place, labels[place], {seed: _at_steps(rows, grid) for seed, rows in runs.items()})
            for place, runs in enumerate(logged)
            if runs
        ]
        above_zero = not any((y <= 0).any() for line in lines for y in line.seeds.values())
        scale = {"log_y": name in _SPREADING and above_zero, "percent": is_rate(name)}
        charts.append(Chart(name.replace("/", "-"), title, "step", grid, lines, len(grid) - 1, **scale))
    return charts


def _logged(group: Group, histories: Sequence[History], name: str) -> dict[str, dict[float, float]]:
    """Step -> value for each seed that logged any; what is no number is left out."""
    logged = {}
    for run, history in zip(group.runs, histories, strict=True):
        rows = {row["step"]: row[name] for row in history if name in row and "step" in row}
        if finite := {step: value for step, value in rows.items() if np.isfinite(value)}:
            logged[_seed(run)] = finite
    return logged


def _given(groups: Sequence[Group], curves: Curves, places: Sequence[int], x: str, y: str) -> _Given:
    given: _Given = {}
    for place in places:
        for run, curve in zip(groups[place].runs, curves[place], strict=True):
            if len(curve.get(x, ())):
                pair = curve[x], curve[y]
                given.setdefault(place, {})[_seed(run)] = (
                    _with_metrics(run, *pair) if x == "roc_far" else pair
                )
    return given


def _with_metrics(run: Record, far: np.ndarray, tar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curve through its metrics: thinned for drawing, it passes a little below them."""
    for name, value in run.metrics.items():
        facts = run.details.get(name)
        achieved = facts.get("achieved_far") if isinstance(facts, Mapping) else None
        if not name.startswith("test/tar_far_") or value is None or achieved is None:
            continue
        place = np.searchsorted(far, achieved, side="right")
        # A metric of other pairs than the curve's may lie beside it, not between two of its points.
        if value <= np.append(tar, -np.inf)[place]:
            far, tar = np.insert(far, place, achieved), np.insert(tar, place, value)
    return far, tar


def _roc(name: str, title: str, labels: Mapping[int, str], given: _Given) -> Chart:
    resolved = [
        float(far[far > 0].min()) for seeds in given.values() for far, _ in seeds.values() if far.any()
    ]
    left = min(max(_LEAST_FAR, min(resolved, default=_LEAST_FAR)), 0.1)
    first = int(np.ceil(np.log10(left) * _POINTS_PER_DECADE - 1e-9))
    # Whole powers of ten are points of the grid, so that the page tells TAR@FAR=1e-3 and not one beside it.
    grid = np.round(10 ** (np.arange(first, 1) / _POINTS_PER_DECADE), 12)
    decade = max(-3, -(-first // _POINTS_PER_DECADE))
    at = decade * _POINTS_PER_DECADE - first
    lines = _lines(labels, given, grid)
    return Chart(name, title, "FAR", grid, lines, at, log=True, percent=True, steps=True)


def _cmc(name: str, title: str, labels: Mapping[int, str], given: _Given) -> Chart:
    last = max(float(rank.max()) for seeds in given.values() for rank, _ in seeds.values())
    grid = np.unique(np.round(np.geomspace(1, max(last, 2), _MOST_RANKS)))
    lines = _lines(labels, given, grid)
    return Chart(name, title, "rank", grid, lines, 0, log=True, percent=True, steps=True)


def _lines(labels: Mapping[int, str], given: _Given, grid: np.ndarray) -> list[Line]:
    return [
        Line(place, labels[place], {seed: step_values(x, y, grid) for seed, (x, y) in seeds.items()})
        for place, seeds in given.items()
    ]


def _at_steps(rows: Mapping[float, float], grid: np.ndarray) -> np.ndarray:
    """Straight between the steps at which this run logged, NaN before and after."""
    steps = sorted(rows)
    return np.interp(grid, steps, [rows[step] for step in steps], left=np.nan, right=np.nan)


def _spread(n: int, most: int) -> np.ndarray:
    """Indices of at most ``most`` of ``n``, evenly spread, both ends included."""
    return np.unique(np.round(np.linspace(0, n - 1, min(n, most))).astype(int))


def _seed(run: Record) -> str:
    return str(run.config.get("seed"))
