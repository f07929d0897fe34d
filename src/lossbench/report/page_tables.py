"""Tables of a report page: configurations with their intervals, single runs, and where they ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from lossbench.records import Record
from lossbench.report.best import BEST, UNRESOLVED, best_marks
from lossbench.report.chart import swatch_svg
from lossbench.report.groups import Group, format_differs
from lossbench.report.markup import Markup, join, scrolling, tag
from lossbench.report.names import MISSING, format_knobs, format_setting, format_value, is_rate, pretty_name
from lossbench.report.table import TEXT_COLUMNS, caption, table_cells

_MARKS = {BEST: "★", UNRESOLVED: "≈"}
_READING = (
    "★ best mean of its column, where its interval overlaps with no other row's; ≈ best mean and all rows "
    "whose intervals overlap with its: their order is not resolved. Only rows on the same data are compared; "
    "rows of one seed have no interval and no mark. Overlap is a caution and no test: runs are paired by "
    "seed, and their differences may resolve what these intervals do not."
)
_COLUMNS = ("dataset", "backbone", "head", "loss")


def results_table(groups: Sequence[Group], metrics: Sequence[str], drawn: bool) -> Markup:
    """One row per configuration; where it is drawn in charts, with its line in front."""
    header, rows = table_cells(groups, metrics)
    first = len(header) - len(metrics) - 2  # text columns and seeds, then the metrics, seconds and MB
    marks = [best_marks(groups, metric) for metric in metrics]
    lines = []
    for place, (group, row) in enumerate(zip(groups, rows, strict=True)):
        cells = [
            tag("td", text, class_=None if name in TEXT_COLUMNS else "number")
            for name, text in zip(header, row, strict=True)
        ]
        cells[first:-2] = [
            _estimate_cell(group, metric, text, mark[place])
            for metric, text, mark in zip(metrics, row[first:-2], marks, strict=True)
        ]
        lines.append(tag("tr", tag("td", swatch_svg(place)) if drawn else None, *cells))
    headings = [_heading(name, text=name in TEXT_COLUMNS) for name in header]
    head = tag("thead", tag("tr", tag("td") if drawn else None, *headings))
    table = tag("table", head, tag("tbody", *lines), class_="sortable")
    return join(scrolling(table, "Results"), tag("p", caption(groups), " ", _READING, class_="small"))


def runs_table(groups: Sequence[Group], metrics: Sequence[str]) -> Markup:
    """One row per run; columns in which nothing is told are left out."""
    runs = [(run, group) for group in groups for run in group.runs]
    numbers = [pretty_name(metric) + (" %" if is_rate(metric) else "") for metric in metrics]
    columns = {
        "id": [tag("td", run.id[:8]) for run, _ in runs],
        "row": [tag("td", run.config.get("row") or "") for run, _ in runs],
        **{name: [tag("td", group.part(name)) for _, group in runs] for name in _COLUMNS},
        "knobs": [tag("td", format_knobs(group.knobs)) for _, group in runs],
        "settings": [tag("td", format_differs(group.differs)) for _, group in runs],
        "seed": [tag("td", format_setting(run.config.get("seed")), class_="number") for run, _ in runs],
        **{
            name: [_metric_cell(run, metric) for run, _ in runs]
            for name, metric in zip(numbers, metrics, strict=True)
        },
        "seconds": [_cost_cell(run, "seconds") for run, _ in runs],
        "MB": [_cost_cell(run, "peak_memory_mb") for run, _ in runs],
        "remarks": [tag("td", "; ".join(_remarks(run, metrics))) for run, _ in runs],
    }
    empty = tag("td", "")
    idle = {name for name, cells in columns.items() if set(cells) == {empty}}
    idle |= {name for name in ("dataset", "backbone") if len(set(columns[name])) == 1}
    kept = {name: cells for name, cells in columns.items() if name not in idle}
    header = [_heading(name, text=name in ("id", "remarks", *TEXT_COLUMNS)) for name in kept]
    rows = [tag("tr", *cells) for cells in zip(*kept.values(), strict=True)]
    table = tag("table", tag("thead", tag("tr", *header)), tag("tbody", *rows), class_="sortable")
    note = "Intervals here are 95 % intervals within the run, over its test identities or images."
    told = tag("p", note, class_="small") if any(run.intervals for run, _ in runs) else None
    return tag(
        "details", tag("summary", f"{len(runs)} run{'s' * (len(runs) != 1)}"), scrolling(table, "Runs"), told
    )


def machine_table(groups: Sequence[Group]) -> Markup:
    """Every fact about where the runs were made; where they differ, how many runs have each value."""
    runs = [run for group in groups for run in group.runs]
    facts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for run in runs:
        for name, value in run.environment.items():
            facts[name][format_setting(value)] += 1
    rows = [
        tag("tr", tag("th", name.replace("_", " "), scope="row"), tag("td", *_counted(values, len(runs))))
        for name, values in sorted(facts.items())
    ]
    return scrolling(tag("table", tag("tbody", *rows), class_="facts"), "Machine and versions")


def _heading(name: str, text: bool) -> Markup:
    return tag("th", name, scope="col", class_=None if text else "number")


def _estimate_cell(group: Group, metric: str, text: str, mark: str) -> Markup:
    value = group.estimate(metric)
    bounds = _bounds(metric, *value.interval)
    star = tag("abbr", _MARKS[mark], title=mark) if mark else None
    content = join(star, " " if mark else None, text, bounds)
    return tag("td", content, class_=f"number {mark}".strip(), data_value=value.mean)


def _bounds(metric: str, low: float | None, high: float | None) -> Markup | None:
    if low is None or high is None:
        return None
    return tag("small", f"{format_value(metric, low)} to {format_value(metric, high)}")


def _metric_cell(run: Record, metric: str) -> Markup:
    value, interval = run.metrics.get(metric), run.intervals.get(metric) or {}
    bounds = _bounds(metric, interval.get("low"), interval.get("high"))
    return tag("td", format_value(metric, value), bounds, class_="number", data_value=value)


def _cost_cell(run: Record, name: str) -> Markup:
    value = run.cost.get(name)
    return tag("td", MISSING if value is None else f"{value:.0f}", class_="number", data_value=value)


def _remarks(run: Record, metrics: Sequence[str]) -> Iterator[str]:
    reasons = run.details.get("undefined") or {}
    yield from (
        f"{pretty_name(metric)} undefined: {reasons[metric]}" for metric in metrics if metric in reasons
    )
    yield from map(str, run.details.get("cautions") or ())


def _counted(values: dict[str, int], runs: int) -> Iterator[Markup]:
    for value, count in sorted(values.items()):
        yield tag("div", value, f" ({count} of {runs} runs)" if count < runs else None)
