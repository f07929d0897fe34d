"""The same numbers for programs: ``table.csv`` (one row per configuration) and ``runs.csv`` (one per run)."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossbench.records import Record
from lossbench.report.groups import Group, format_differs
from lossbench.report.names import format_knobs

_PARTS = ("dataset", "backbone", "head", "loss")


def table_csv(groups: Sequence[Group], metrics: Sequence[str]) -> str:
    """Columns: row (of an experiment), names, knobs, settings, n (seeds), then METRIC_mean, _ci95_low,
    _ci95_high, _n; fractions."""
    rows = []
    for group in groups:
        row: dict[str, Any] = {"row": group.row} if any(each.row for each in groups) else {}
        row |= {name: group.part(name) for name in _PARTS}
        row |= {"knobs": format_knobs(group.knobs), "settings": format_differs(group.differs)}
        row["n"] = len(group.runs)
        for metric in metrics:
            row |= _estimate_columns(group, metric)
        rows.append(row)
    return _csv_text(list(rows[0]) if rows else [], rows)


def runs_csv(groups: Sequence[Group]) -> str:
    """One row per counted run: id, names, seed, row (of an experiment), ``knob/...``, ``config/...`` (what
    differs between rows), every metric, ``cost/...``, ``environment/...``; full precision, the table's order.
    """
    rows = [_run_row(run, group) for group in groups for run in group.runs]
    first = ["id", *_PARTS, "seed", *(["row"] if any(row["row"] for row in rows) else [])]
    prefixes = ("knob/", "config/", "cost/", "environment/")
    columns = {name for row in rows for name in row} - {*first, "row"}
    metrics = sorted(name for name in columns if not name.startswith(prefixes))
    middle = [sorted(name for name in columns if name.startswith(prefix)) for prefix in prefixes]
    return _csv_text([*first, *middle[0], *middle[1], *metrics, *middle[2], *middle[3]], rows)


def read_runs(path: Path) -> dict[str, dict[str, str]]:
    """Rows of a ``runs.csv`` by the run's id, cells as text; raises ValueError where it is none."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        if "id" not in (rows.fieldnames or ()):
            raise ValueError(f"{path}: has no column id: not a table of runs")
        return {row["id"]: row for row in rows}


def run_numbers(row: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """metrics, cost and environment of a row of ``runs.csv``, rank 5 before 10; a blank metric is None."""
    groups: dict[str, dict[str, Any]] = {"metrics": {}, "cost": {}, "environment": {}}
    for name, cell in sorted(row.items(), key=lambda item: _natural(item[0])):
        prefix, _, rest = name.partition("/")
        if prefix in ("val", "test"):
            groups["metrics"][name] = float(cell) if cell else None
        elif prefix == "cost" and cell:
            groups["cost"][rest] = float(cell)
        elif prefix == "environment" and cell:
            groups["environment"][rest] = cell
    return groups


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that compares the numbers in a name as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _estimate_columns(group: Group, metric: str) -> dict[str, Any]:
    value = group.estimate(metric)
    low, high = value.interval
    columns = {"mean": value.mean, "ci95_low": low, "ci95_high": high, "n": value.n}
    return {f"{metric}_{name}": number for name, number in columns.items()}


def _run_row(run: Record, group: Group) -> dict[str, Any]:
    row: dict[str, Any] = {"id": run.id, "seed": run.config.get("seed"), "row": run.config.get("row")}
    row |= {name: group.part(name) for name in _PARTS}
    row |= {f"knob/{name}": value for name, value in group.knobs.items()}
    row |= {f"config/{name}": value for name, value in group.differs.items()}
    row |= {f"cost/{name}": value for name, value in run.cost.items()}
    row |= {f"environment/{name}": _flat(value) for name, value in run.environment.items()}
    return row | run.metrics


def _csv_text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(row.get(name)) for name in columns})
    return stream.getvalue()


def _flat(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value


def _cell(value: Any) -> Any:
    """Blank for None; text that a spreadsheet would run as a formula gets a leading apostrophe."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
