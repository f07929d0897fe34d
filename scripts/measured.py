"""What the benchmarks share: sides that take turns, one table, and the command that makes it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from lossbench.environment import environment, peak_memory_mb, reset_peak_memory

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Row:
    """One line of the table; required: the bound on ``ratio``, as text, and whether it was met."""

    what: str
    measured: str
    beside: str = ""
    ratio: str = ""
    required: str = ""
    met: bool | None = None


def turns(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each turn; the first turn is left out."""
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        for side, function in sides.items():
            started = time.perf_counter()
            function()
            if turn:
                taken[side].append(time.perf_counter() - started)
    return taken


def beside(
    what: str, ours: Sequence[float], other: Sequence[float], most: float | None = None, digits: int = 2
) -> Row:
    """A line of medians, with the median and the quartiles of the ratio; ``most``: its bound."""
    ratios = [one / two for one, two in zip(ours, other, strict=True)]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    ratio = f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
    required, met = (f"<= {most}", bool(middle <= most)) if most else ("", None)
    return Row(what, f"{median(ours):.2f}", f"{median(other):.2f}", ratio, required, met)


def extra_memory(run: Callable[[], Any]) -> float:
    """Megabytes that a call needs above what the process holds; give it a process of its own."""
    before = float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    reset_peak_memory()
    run()
    return peak_memory_mb(CPU) - before


def table(title: str, rows: Sequence[Row], load: tuple[float, ...]) -> str:
    """The rows as Markdown, with what they were measured on."""
    facts = environment(CPU, "as stated")
    head = (
        f"`{shlex.join(['python', *sys.argv])}` on {facts['cpu']}, {facts['threads']} threads, torch "
        f"{facts['torch']}, pytorch-lightning {facts['pytorch_lightning']}, commit {facts['commit']}; "
        f"load {load[0]:.1f} at the start, {os.getloadavg()[0]:.1f} at the end. "
        "Medians over turns; in brackets the quartiles of the ratio."
    )
    lines = ["| what | measured | beside | ratio | required | met |", "|---|---:|---:|---:|---|---|"]
    for row in rows:
        met = {True: "yes", False: "NO", None: ""}[row.met]
        lines.append(f"| {row.what} | {row.measured} | {row.beside} | {row.ratio} | {row.required} | {met} |")
    return "\n".join([f"# {title}", "", head, "", *lines, ""])


def run(doc: str | None, title: str, parts: Mapping[str, Callable[[bool], Iterator[Row]]]) -> None:
    """Measure the parts asked for and print or write their table; exit code 1 where a bound was missed."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller or fewer turns: rougher, sooner")
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts), help="parts to run")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="of torch; 1 on a busy machine"
    )
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load, rows = os.getloadavg(), []
    for part in options.only:
        for row in parts[part](options.quick):
            rows.append(row)
            missed = "MISSED" * (row.met is False)
            cells = (row.what, row.measured, row.beside, row.ratio, row.required, missed)
            print("  ".join(cell for cell in cells if cell), flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(table(title, rows, load), encoding="utf-8")
        print(f"wrote {options.out}")
    sys.exit(any(row.met is False for row in rows))
