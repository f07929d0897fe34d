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
from lossbench.report.kinds import CLOSED_SET, IDENTIFICATION, VERIFICATION, kind
from lossbench.report.names import MISSING, format_setting, format_value, pretty_name
from lossbench.report.table import choose_metrics, rich_table

# metric or cost, value, interval, details.
Cells = tuple[str, str, str, str]

# The protocols whose facts may stand in the details of a task.
_FACTS_OF = {
    CLOSED_SET: ("classification",),
    VERIFICATION: ("verification", "lfw", "blufr", "megaface", "ijb_verification"),
    IDENTIFICATION: ("identification", "ijb_identification"),
}

# Told in result.json; beside a number they only take up the line.
_WORDS = {"achieved_far": "FAR"}
_SETTINGS = (
    "bins",
    "seed",
    "tau",
    "draws",
    "impostors",
    "expected_false_accepts",
    "false_accepts",
    "far_interval",
)


def run_summary(record: Record, folder: Path | str) -> RenderableType:
    """The one table at the end of a run: its test metrics by task with the facts beside them, and its cost.

    ``folder`` is the run's own folder; the lines below the table say where to look next.
    """
    task = record.details.get("dataset")
    title = curve_labels(group_records([record]))[0] + (f" on {task}" if task else "")
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    table.add_column("value", justify="right")
    if record.intervals:
        table.add_column("95 % interval")
    table.add_column("details", overflow="fold")
    for heading, facts, rows in _sections(record):
        for name, *cells, told in [(heading, "", "", facts), *rows]:
            shown = cells if record.intervals else cells[:1]
            style = "bold" if name == heading else ""
            table.add_row(Text(name, style), *map(Text, shown), Text(told))
        table.add_section()
    cautions = [Text(f"warning  {_caution(record, line)}") for line in record.details.get("cautions", ())]
    # Paths are for copying: printed with crop=False they stay on one line in any terminal.
    steps = Text("\n".join(_next_steps(Path(folder))), no_wrap=True, overflow="ignore")
    return Group(table, *cautions, steps)


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


def _sections(record: Record) -> list[tuple[str, str, list[Cells]]]:
    """Test metrics under the task they answer, each with its own facts; then the rest, then the cost."""
    tasks: dict[str, list[str]] = {task: [] for task in (*_FACTS_OF, "other")}
    for name in record.metrics:
        if name.startswith("test/"):
            known = kind(name)
            tasks[known.task if known else "other"].append(name)
    sections = []
    for task, names in tasks.items():
        told = (_facts(record.details.get(f"test/{protocol}")) for protocol in _FACTS_OF.get(task, ()))
        sections.append((task, ", ".join(filter(None, told)), _metric_rows(record, names)))
    sections.append(("training", "", _training_cells(record)))
    sections.append(("cost", "", [_cost_cells(name, value) for name, value in record.cost.items()]))
    return [section for section in sections if section[-1]]


def _metric_rows(record: Record, metrics: Sequence[str]) -> list[Cells]:
    """A row each; a reason why several are undefined stands beside the first."""
    rows, seen = [], dict[str, str]()
    for metric in metrics:
        name, value, interval, told = _metric_cells(record, metric)
        if record.metrics[metric] is None:
            told = f"undefined, as {seen[told]}" if told in seen else told
            seen.setdefault(told, name)
        rows.append((f"  {name}", value, interval, told))
    return rows


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


def _caution(record: Record, line: str) -> str:
    """The line, with the metric it begins with named as in the table."""
    name, colon, told = line.partition(": ")
    return f"{pretty_name(name)}{colon}{told}" if f"test/{name}" in record.metrics else line


def _facts(facts: Any) -> str:
    """``threshold 0.412, FAR 0.00098`` from the dict beside a metric; text as it is."""
    if not isinstance(facts, Mapping):
        return "" if facts is None else str(facts)
    shown = [
        (str(name), value)
        for name, value in facts.items()
        if name not in _SETTINGS and not isinstance(value, Mapping | list)
    ]
    return ", ".join(f"{_WORDS.get(name, name.replace('_', ' '))} {_short(value)}" for name, value in shown)


def _training_cells(record: Record) -> list[Cells]:
    """The loss at step 0 beside the one this head and loss should start from."""
    loss = record.details.get("initial_loss") or {}
    if loss.get("measured") is None:
        return []
    told = "" if loss.get("expected") is None else f"expected {loss['expected']:.3f}"
    return [("  initial loss", f"{loss['measured']:.3f}", "", told)]


def _short(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else format_setting(value)


def _cost_cells(name: str, value: float | None) -> Cells:
    label = {"peak_memory_mb": "  peak memory, MB"}.get(name, f"  {name.replace('_', ' ')}")
    if value is None:
        return label, MISSING, "", ""
    return label, f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}", "", ""


def _next_steps(folder: Path) -> list[str]:
    """Commands are quoted for the shell; W&B's line only where the run has logged to it.

    folder: or the table that a run was taken from, which is all there is of it.
    """
    if folder.is_file():
        return [f"{'table':<8} {shlex.quote(str(folder))}"]
    quoted = shlex.quote(str(folder))
    steps = [("record", shlex.quote(str(folder / "result.json")))]
    if (folder / "figures").is_dir():
        steps.append(("figures", shlex.quote(str(folder / "figures"))))
    steps.append(("report", f"python -m lossbench.report {quoted}"))
    if (folder / "wandb").is_dir():
        steps.append(("W&B", f"wandb leet {shlex.quote(str(folder / 'wandb'))}"))
    return [f"{name:<8} {text}" for name, text in steps]
