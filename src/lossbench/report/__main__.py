"""``python -m lossbench.report RUNS...``: one table, its CSV files, figures and page over finished runs."""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lossbench.command import finish
from lossbench.records import (
    Record,
    RecordError,
    read_curves,
    read_history,
    read_records,
    read_replicates,
    write_arrays,
)
from lossbench.validate import make_folder

if TYPE_CHECKING:
    from lossbench.report.charts import Curves, Histories
    from lossbench.report.groups import Group

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 where no record could be read, 2 for a wrong option."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    options = parser.parse_args(arguments)
    broken: list[RecordError] = []
    found = read_records(options.runs, on_broken=broken.append)
    for error in broken:
        print(f"left out: {error}", file=sys.stderr)
    if not found:
        if not broken:
            print(
                f"no finished run under {', '.join(map(str, options.runs))}: no result.json", file=sys.stderr
            )
        return 1
    out = options.out or _default_out(options.runs[0])
    make_folder(parser, out)

    # Only now: --help and a wrong path should answer at once.
    from lossbench.report.claims import read_claims
    from lossbench.report.comparison import (
        COMPARISON,
        IDENTITIES,
        comparison_markdown,
        find_baseline,
        replicate_arrays,
    )
    from lossbench.report.groups import group_records
    from lossbench.report.over import over_figure, series_over
    from lossbench.report.page import report_page
    from lossbench.report.style import save
    from lossbench.report.table import choose_metrics

    records = [record for _, record in found]
    try:
        metrics = choose_metrics(records, options.metrics)
    except ValueError as error:
        parser.error(f"--metrics: {error}")
    try:
        claims = read_claims(options.claims) if options.claims else []
    except ValueError as error:
        parser.error(f"--claims: {error}")
    groups = group_records(records)
    folders = {id(record): folder for folder, record in found}
    _read_replicates(groups, folders)
    try:
        baseline = find_baseline(groups, options.baseline) if options.baseline is not None else []
    except ValueError as error:
        parser.error(f"--baseline: {error}")
    try:
        series = series_over(groups, options.over) if options.over is not None else {}
    except ValueError as error:
        parser.error(f"--over {error}")
    drawn = [] if options.no_figures else groups
    curves: Curves = _read_each(drawn, folders, read_curves, {})
    histories: Histories = _read_each(drawn, folders, read_history, [])
    _print_table(groups, metrics)
    written = _write_tables(out, groups, metrics, arguments)
    for stale in (out / COMPARISON, out / IDENTITIES):
        stale.unlink(missing_ok=True)  # of a report before: it would not belong to this table
    if baseline:
        page = comparison_markdown(groups, baseline, metrics, options.baseline)
        written.append(out / COMPARISON)
        written[-1].write_text(page, encoding="utf-8", newline="\n")
    if series:
        written += save(over_figure(series, options.over, metrics), out, f"over_{options.over}")
    if arrays := replicate_arrays(groups, metrics):
        written.append(write_arrays(out / IDENTITIES, arrays))
    if not options.no_figures:
        written += _write_figures(out, groups, curves)
    page = report_page(groups, metrics, arguments, curves=curves, histories=histories, claims=claims)
    (out / "report.html").write_text(page, encoding="utf-8", newline="\n")
    print(f"wrote {', '.join([*(path.name for path in written), 'report.html'])} to {out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.report",
        description="Tables (mean and 95 % confidence interval over seeds) and figures over finished runs.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUNS", help="run folders, or folders of them")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: RUNS/report)")
    parser.add_argument(
        "--metrics",
        type=lambda text: [name.strip() for name in text.split(",") if name.strip()],
        default=[],
        metavar="A,B",
        help="columns, such as eer,val/auc (default: accuracy, TAR@FAR=1e-2 and 1e-3, EER, rank-1)",
    )
    parser.add_argument(
        "--baseline",
        metavar="ROW",
        help="also write comparison.md: how far each row lies above or below this one, its row "
        "or its name in figures; paired by seed and, where runs have replicates, by test identity",
    )
    parser.add_argument(
        "--over",
        metavar="SETTING",
        help="also draw each metric over a setting in which runs differ: m, s, lr, dataset.label_noise",
    )
    parser.add_argument(
        "--claims", type=Path, metavar="FILE", help="also show results/chapter/claims.csv in report.html"
    )
    parser.add_argument("--no-figures", action="store_true", help="tables only, in report.html too")
    return parser


def _default_out(runs: Path) -> Path:
    return (runs.parent if runs.is_file() else runs) / "report"


def _print_table(groups: Sequence[Group], metrics: Sequence[str]) -> None:
    from rich.console import Console

    from lossbench.report.table import rich_table

    console = Console()
    table = rich_table(groups, metrics)
    if not console.is_terminal:
        # A file or a pipe has no width to keep to: nothing is folded or cut.
        console.width = max(80, console.measure(table, options=console.options.update(width=10_000)).maximum)
    console.print(table)


def _write_tables(
    out: Path, groups: Sequence[Group], metrics: Sequence[str], arguments: Sequence[str]
) -> list[Path]:
    from lossbench.report.export import runs_csv, table_csv
    from lossbench.report.table import markdown_table

    texts = {
        "table.md": markdown_table(groups, metrics, arguments),
        "table.csv": table_csv(groups, metrics),
        "runs.csv": runs_csv(groups),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")
    return [out / name for name in texts]


def _write_figures(out: Path, groups: Sequence[Group], curves: Curves) -> list[Path]:
    """roc and cmc; with more than one dataset, a pair for each: ``roc_lfw.png``."""
    from lossbench.report.figures import write_curve_figures
    from lossbench.report.groups import curve_labels

    tasks: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        tasks[group.part("dataset")].append(place)
    written = []
    names = _file_names(list(tasks))
    for task, places in tasks.items():
        members = [groups[place] for place in places]
        labels = curve_labels(members)
        known = {
            label: {metric: group.estimate(metric).mean for metric in group.runs[0].metrics}
            for label, group in zip(labels, members, strict=True)
        }
        suffix = f"_{names[task]}" if len(tasks) > 1 else ""
        labelled = {label: curves[place] for label, place in zip(labels, places, strict=True)}
        written += write_curve_figures(out, labelled, task, suffix, known)
    return written


def _file_names(tasks: Sequence[str]) -> dict[str, str]:
    """A name that any file system takes for each data set, no two alike."""
    names: dict[str, str] = {}
    for task in tasks:
        plain = name = re.sub(r"[^\w.-]+", "-", task)
        while name.lower() in {other.lower() for other in names.values()}:
            name = f"{plain}-{len(names)}"
        names[task] = name
    return names


def _read_replicates(groups: Sequence[Group], folders: dict[int, Path]) -> None:
    """Give each group the mean over its runs of their replicates, of the metrics that all of these have.

    Runs that draw different identities have no mean: their chances would cancel out.
    """
    from lossbench.report.comparison import whom

    nothing: dict[str, np.ndarray] = {}
    for group, found in zip(groups, _read_each(groups, folders, read_replicates, nothing), strict=True):
        if len({whom(run) for run in group.runs}) > 1:
            continue
        names = set.intersection(*map(set, found))
        for name in sorted(names):
            if len({len(run[name]) for run in found}) == 1:
                mean = np.stack([run[name] for run in found]).mean(axis=0, dtype=np.float64)
                # Where one draw is undefined, what chance would have made of it is unknown.
                if np.isfinite(mean).all():
                    group.replicates[name] = mean


def _read_each(
    groups: Sequence[Group], folders: dict[int, Path], read: Callable[[Path], T], otherwise: T
) -> list[list[T]]:
    """What ``read`` finds in the folder of each run of each group; what is torn is named and left out."""

    def read_one(run: Record) -> T:
        try:
            return read(folders[id(run)])
        except RecordError as error:
            print(f"left out: {error}", file=sys.stderr)
            return otherwise

    return [[read_one(run) for run in group.runs] for group in groups]


if __name__ == "__main__":
    finish(main, "lossbench.report")
