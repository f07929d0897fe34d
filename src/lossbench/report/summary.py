"""What the terminal shows when a run or a sweep ends."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossbench.records import Record
from lossbench.report.groups import curve_labels, group_records
from lossbench.report.names import MISSING, format_setting, format_value, pretty_name
from lossbench.report.table import choose_metrics, rich_table

# metric or cost, value, interval, details.
Cells = tuple[str, str, str, str]

# heading, the protocol whose facts stand in the details, how its metrics begin.
_SECTIONS = (
    ("closed-set", "classification", ("accuracy", "nll", "ece")),
    ("verification", "verification", ("tar_far", "eer", "auc")),
    ("identification", "identification", ("cmc", "dir_far")),
)

# Told in result.json; beside a number they only take up the line.
_WORDS = {"achieved_far": "FAR"}
_SETTINGS = ("bins", "seed", "tau", "draws", "impostors")


def run_summary(record: Record, folder: Path | str) -> RenderableType:
    """The one table at the end of a run: its test metrics by task with the facts beside them, and its cost.

    ``folder`` is the run's own folder; the lines below the table say where to look next.
    """
    task = record.details.get("dataset")
    title = curve_labels(group_records([record]))[0] + (f" on {task}" if task else "")
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("metric")
    table.add_column("value", justify="right")
    if record.intervals:
        table.add_column("95 % interval")
    table.add_column("details", overflow="fold")
    for heading, rows in _sections(record):
        for first, cells in zip([heading] + [""] * len(rows), rows, strict=False):
            name, value, interval, told = cells
            shown = (first, name, value, interval, told) if record.intervals else (first, name, value, told)
            table.add_row(*map(Text, shown))
        table.add_section()
    # Paths are for copying: printed with crop=False they stay on one line in any terminal.
    steps = Text("\n".join(_next_steps(Path(folder))), no_wrap=True, overflow="ignore")
    return Group(table, steps)


def sweep_summary(records: Sequence[Record], failures: Sequence[tuple[str, str]]) -> RenderableType:
    """The grouped table of a sweep, then each failed job with its reason; ``failures`` is (job, reason)."""
    parts: list[RenderableType] = []
    if records:
        parts.append(rich_table(group_records(records), choose_metrics(records)))
    if failures:
        parts.append(Text(f"{len(failures)} failed job{'s' * (len(failures) != 1)}:", style="bold red"))
        parts += [Text(f"  {job}: {reason}") for job, reason in failures]
    return Group(*parts or [Text("no runs")])


def show(summary: RenderableType) -> None:
    """Print to the terminal; a file or a pipe gets lines of 160 characters."""
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(summary, crop=False)


def _sections(record: Record) -> list[tuple[str, list[Cells]]]:
    """Test metrics under the task they answer, each task's own facts first; then the rest, then the cost."""
    left = [name for name in record.metrics if name.startswith("test/")]
    sections = []
    for heading, protocol, words in _SECTIONS:
        if members := [name for name in left if name.rsplit("/", 1)[-1].startswith(words)]:
            facts = _facts(record.details.get(f"test/{protocol}"))
            rows: list[Cells] = [("", "", "", facts)] if facts else []
            sections.append((heading, rows + [_metric_cells(record, name) for name in members]))
            left = [name for name in left if name not in members]
    sections.append(("other", [_metric_cells(record, name) for name in left]))
    sections.append(("training", _training_cells(record)))
    sections.append(("cost", [_cost_cells(name, value) for name, value in record.cost.items()]))
    return [(heading, rows) for heading, rows in sections if rows]


def _metric_cells(record: Record, metric: str) -> Cells:
    value = record.metrics[metric]
    interval = record.intervals.get(metric)
    bounds = ""
    if interval:
        bounds = " to ".join(format_value(metric, interval[end]) for end in ("low", "high"))
    told = _facts(record.details.get(metric))
    if value is None:
        reason = record.details.get("undefined", {}).get(metric, "no reason recorded")
        told = f"undefined: {reason}"
    return pretty_name(metric), format_value(metric, value, percent_sign=True), bounds, told


def _facts(facts: Any) -> str:
    """``threshold 0.412, FAR 0.00098`` from the dict beside a metric; text as it is."""
    if not isinstance(facts, Mapping):
        return "" if facts is None else str(facts)
    shown = ((str(name), value) for name, value in facts.items() if name not in _SETTINGS)
    return ", ".join(f"{_WORDS.get(name, name.replace('_', ' '))} {_short(value)}" for name, value in shown)


def _training_cells(record: Record) -> list[Cells]:
    """The loss at step 0 beside the one this head and loss should start from."""
    loss = record.details.get("initial_loss") or {}
    if loss.get("measured") is None:
        return []
    told = "" if loss.get("expected") is None else f"expected {loss['expected']:.3f}"
    return [("initial loss", f"{loss['measured']:.3f}", "", told)]


def _short(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else format_setting(value)


def _cost_cells(name: str, value: float | None) -> Cells:
    label = {"seconds": "seconds", "peak_memory_mb": "peak memory, MB"}.get(name, name.replace("_", " "))
    if value is None:
        return label, MISSING, "", ""
    return label, f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}", "", ""


def _next_steps(folder: Path) -> list[str]:
    """Commands are quoted for the shell; W&B's line only where the run has logged to it."""
    quoted = shlex.quote(str(folder))
    steps = [("record", shlex.quote(str(folder / "result.json")))]
    if (folder / "figures").is_dir():
        steps.append(("figures", shlex.quote(str(folder / "figures"))))
    steps.append(("report", f"python -m lossbench.report {quoted}"))
    if (folder / "wandb").is_dir():
        steps.append(("W&B", f"wandb leet {shlex.quote(str(folder / 'wandb'))}"))
    return [f"{name:<8} {text}" for name, text in steps]
