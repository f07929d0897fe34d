"""Trained runs in committed tables, by what tells them apart: rows of a table, or settings of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lossbench.chapter.claim import Missing
from lossbench.report.comparison import IDENTITIES, read_people
from lossbench.report.export import read_runs, run_numbers
from lossbench.report.paired import NOBODY, Metrics, Row, Setting

Runs = Mapping[str, Metrics]
"""row -> seed -> metric -> value."""


def committed(name: str, dataset: str, folder: Path = Path("results")) -> Runs:
    """Runs of one data set in ``folder/<name>/runs.csv``; raises Missing where it is not there."""
    return settings(name, dataset, lambda run: run.get("row") or None, folder)


def settings(
    name: str,
    dataset: str,
    setting: Callable[[Mapping[str, str]], Setting | None],
    folder: Path = Path("results"),
) -> dict[Setting, Row]:
    """What tells runs apart -> seed -> metric -> value, of the runs in ``folder/<name>/runs.csv``.

    setting: of a row of that table; None leaves the run out.
    Raises Missing where there are none on ``dataset``; ValueError where two have the same setting and seed.
    """
    path = folder / name / "runs.csv"
    if not path.is_file():
        raise Missing(
            f"no {path}: python -m lossbench sweep={name} dataset={dataset}, then report --out {path.parent}"
        )
    found: dict[Setting, Row] = {}
    people = read_people(path.with_name(IDENTITIES))
    for run in read_runs(path).values():
        if run["dataset"] != dataset or (key := setting(run)) is None:
            continue
        seeds, seed = found.setdefault(key, Row()), int(run["seed"])
        own = people.get(run["id"], NOBODY)
        # The mean is that of all seeds of one group: with some left out it would be another.
        seeds.draws = own if not seeds or own is seeds.draws else NOBODY
        if seed in seeds:
            raise ValueError(f"{path}: two runs of {key} with seed={seed}: make it of one sweep only")
        metrics = run_numbers(run)["metrics"]
        seeds[seed] = {metric: value for metric, value in metrics.items() if value is not None}
    if not found:
        raise Missing(f"{path}: has no runs on {dataset}")
    return found
