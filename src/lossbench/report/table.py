"""One row per configuration: mean over seeds with its confidence interval, for terminal and Markdown."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from lossbench import __version__
from lossbench.records import Record
from lossbench.report.groups import Group, format_differs
from lossbench.report.interval import Estimate
from lossbench.report.names import DEFAULT_METRICS, MISSING, format_knobs, format_value, is_rate, pretty_name

TEXT_COLUMNS = ("row", "dataset", "backbone", "head", "loss", "knobs", "settings")


def choose_metrics(records: Sequence[Record], asked: Sequence[str] = ()) -> list[str]:
    """The asked metrics (``eer`` means ``test/eer``), else the default ones that some record has.

    Raises ValueError for an asked metric that no record has.
    """
    known = {name for record in records for name in record.metrics}
    full = [name if name in known or name.startswith("val/") else f"test/{name}" for name in asked]
    if unknown := [name for name in full if name not in known]:
        raise ValueError(f"no record has {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    chosen = full or [name for name in DEFAULT_METRICS if name in known]
    return chosen or sorted(name for name in known if name.startswith("test/"))


def table_cells(groups: Sequence[Group], metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) as printed; columns in which nothing is told (one dataset, no knobs) are left out."""
    rows = [_row(group, metrics) for group in groups]
    names = [pretty_name(metric) + (" %" if is_rate(metric) else "") for metric in metrics]
    header = [*TEXT_COLUMNS, "seeds", *names, "seconds", "MB"]
    columns = list(zip(header, *rows, strict=True))
    kept = [column for column in columns if not _is_idle(column[0], column[1:])]
    header, *rows = [list(line) for line in zip(*kept, strict=True)]
    return header, rows


def rich_table(groups: Sequence[Group], metrics: Sequence[str], title: str | None = None) -> Table:
    header, rows = table_cells(groups, metrics)
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.caption, table.caption_justify = caption(groups), "left"
    for name, *cells in zip(header, *rows, strict=True):
        text = name in TEXT_COLUMNS
        # In a narrow terminal names fold and numbers stay whole: a cell breaks before its ±.
        heading = name.replace("=", "\n=", 1).replace(" %", "\n%" if "=" not in name else " %")
        longest = max(len(word) for cell in (*cells, heading) for word in cell.replace("= ", "=").split())
        table.add_column(
            Text(heading),
            justify="left" if text else "right",
            overflow="fold",
            min_width=0 if text else longest,
        )
    for row in rows:
        # Text, not markup: a name may hold square brackets.
        table.add_row(*map(Text, row))
    return table


def markdown_table(groups: Sequence[Group], metrics: Sequence[str], arguments: Sequence[str]) -> str:
    """Text of ``table.md``: where the numbers come from, the pipe table, how to read it."""
    header, rows = table_cells(groups, metrics)
    rule = [":---" if name in TEXT_COLUMNS else "---:" for name in header]
    lines = [_pipe_row(header), _pipe_row(rule), *map(_pipe_row, rows)]
    return (
        "\n".join([origin(groups, arguments), "", *lines, "", caption(groups), "", _hardware(groups)]) + "\n"
    )


def format_estimate(metric: str, value: Estimate, runs: int) -> str:
    """``68.10 ± 1.23``; only the mean for one seed; the number of seeds where some are undefined."""
    text = format_value(metric, value.mean)
    if value.half_width is not None:
        text += f" ± {format_value(metric, value.half_width)}"
    return text + (f" ({value.n} of {runs})" if 0 < value.n < runs else "")


def _row(group: Group, metrics: Sequence[str]) -> list[str]:
    cells = [format_estimate(metric, group.estimate(metric), len(group.runs)) for metric in metrics]
    names = [group.row, *map(group.part, ("dataset", "backbone", "head", "loss"))]
    told = [format_knobs(group.knobs), format_differs(group.differs)]
    return [
        *names,
        *told,
        str(len(group.runs)),
        *cells,
        _cost(group, "seconds"),
        _cost(group, "peak_memory_mb"),
    ]


def _cost(group: Group, name: str) -> str:
    values = [run.cost[name] for run in group.runs if run.cost.get(name) is not None]
    if not values:
        return MISSING
    median = statistics.median(values)
    return f"{median:.1f}" if median < 10 else f"{median:.0f}"


def _is_idle(name: str, cells: Sequence[str]) -> bool:
    if name in ("dataset", "backbone"):
        return len(set(cells)) == 1
    return name in ("row", "knobs", "settings") and not any(cells)


def origin(groups: Sequence[Group], arguments: Sequence[str]) -> str:
    runs = sum(len(group.runs) for group in groups)
    seeds = sorted({str(seed) for group in groups for seed in group.seeds if seed is not None}, key=_by_size)
    named = f"{len(seeds)} seed{'s' * (len(seeds) != 1)} ({', '.join(seeds)})" if seeds else "no seeds"
    command = shlex.join(["python", "-m", "lossbench.report", *arguments])
    return f"{runs} run{'s' * (runs != 1)}, {named}; made by `{command}`, lossbench {__version__}."


def _hardware(groups: Sequence[Group]) -> str:
    """Distinct environments of the runs, each fact once."""
    facts = []
    for name in ("cpu", "device", "threads", "precision", "torch", "commit"):
        values = {
            str(run.environment[name]) for group in groups for run in group.runs if name in run.environment
        }
        if values:
            facts.append(f"{name} {', '.join(sorted(values))}")
    return f"Ran on: {'; '.join(facts)}." if facts else "Ran on: not recorded."


def caption(groups: Sequence[Group]) -> str:
    lines = [
        "Mean ± half-width of the 95 % confidence interval over seeds (Student t); no ± where there is one "
        "seed. Seconds and MB (peak memory): median over seeds."
    ]
    if any(group.replicates for group in groups):
        lines.append("Chance in whom the test draws is not in the ±: identities.npz, --baseline count it.")
    if repeats := sum(group.repeats for group in groups):
        lines.append(f"{repeats} repeated run{'s' * (repeats != 1)} of a seed already counted: left out.")
    return " ".join(lines)


def _pipe_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def _by_size(seed: str) -> tuple[int, str]:
    return len(seed), seed
