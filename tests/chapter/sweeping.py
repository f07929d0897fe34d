"""Made-up runs of a sweep, as the report writes those that were trained."""

from __future__ import annotations

from itertools import product

import numpy as np

from lossbench.config import knobs
from lossbench.records import Record
from lossbench.report.export import runs_csv
from lossbench.report.groups import group_records


def write_runs(folder, sweep, grid, scores, *, seeds=3, dataset="glyphs"):
    """Write ``folder/results/<sweep>/runs.csv``: a run for each seed and each point of the ``grid``.

    grid: name -> values; s and m are knobs, any other one is a key below ``dataset``.
    scores: function (seed, **setting) -> metrics.
    """
    records = []
    for *values, seed in product(*grid.values(), range(seeds)):
        setting = dict(zip(grid, values, strict=True))
        margin = {"s": 30.0} | {name: setting[name] for name in ("s", "m") if name in setting}
        cautions = {name: value for name, value in setting.items() if name not in margin}
        config = {"seed": seed, "head": {"margin": margin}, "dataset": cautions}
        names = {"dataset": dataset, "backbone": "convnet", "head": "amsoftmax", "loss": "ce"}
        details = {**names, "knobs": knobs({**margin, "dataset": cautions})}
        records.append(Record(f"{setting}{seed}", config, scores(seed, **setting), details))
    path = folder / "results" / sweep / "runs.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(runs_csv(group_records(records)), encoding="utf-8")
    return path


def jitter(seed, *numbers):
    """A hundredth of a point or so that differs between runs, the same at every call."""
    key = [seed, *(round(1000 * number) for number in numbers)]
    return 1e-4 * np.random.default_rng(key).normal()
