"""Which row of a table is above which, by runs paired by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scipy.special import stdtr

from lossbench.chapter.claim import Missing, Working
from lossbench.intervals import holm, mean_interval
from lossbench.report.export import read_runs

REPRODUCED, NOT_RESOLVED, CONTRADICTED = "reproduced", "not resolved", "contradicted"
Runs = Mapping[str, Mapping[int, Mapping[str, float]]]
"""row -> seed -> metric -> value."""


class Difference(NamedTuple):
    """By how much one row exceeds another: mean and 95 % t interval over paired seeds.

    p: two-sided, adjusted by Holm over the family it was declared in. above: seeds in which it is higher.
    """

    upper: str
    lower: str
    metric: str
    mean: float
    low: float
    high: float
    p: float
    above: int
    seeds: int
    verdict: str


def committed(name: str, dataset: str, folder: Path = Path("results")) -> Runs:
    """Runs of one data set in ``folder/<name>/runs.csv``; raises Missing where it is not there."""
    path = folder / name / "runs.csv"
    if not path.is_file():
        raise Missing(
            f"no {path}: python -m lossbench sweep={name} dataset={dataset}, then report --out {path.parent}"
        )
    found: dict[str, dict[int, dict[str, float]]] = {}
    for run in read_runs(path).values():
        if run["dataset"] == dataset and run.get("row"):
            numbers = {key: float(cell) for key, cell in run.items() if key.startswith("test/") and cell}
            found.setdefault(run["row"], {})[int(run["seed"])] = numbers
    if not found:
        raise Missing(f"{path}: has no runs on {dataset}")
    return found


def orderings(runs: Runs, pairs: Sequence[tuple[str, str]], metrics: Sequence[str]) -> list[Difference]:
    """Each declared ``(upper, lower)`` pair of rows on each metric, all of them one family for Holm.

    reproduced: the upper row is higher and p < 0.05; contradicted: it is lower and p < 0.05.
    Raises Missing where a row has not three seeds in common with the other.
    """
    family = [(upper, lower, metric) for metric in metrics for upper, lower in pairs]
    gaps = [_gaps(runs, *one) for one in family]
    adjusted = holm([_p_value(gap) for gap in gaps])
    return [_difference(*one, gap, p) for one, gap, p in zip(family, gaps, adjusted, strict=True)]


def _gaps(runs: Runs, upper: str, lower: str, metric: str) -> list[float]:
    above, below = runs.get(upper, {}), runs.get(lower, {})
    seeds = [seed for seed in sorted(above) if metric in above[seed] and metric in below.get(seed, {})]
    if len(seeds) < 3:
        raise Missing(
            f"{upper} and {lower} have {len(seeds)} seeds with {metric} in common: three are needed"
        )
    return [above[seed][metric] - below[seed][metric] for seed in seeds]


def _p_value(gaps: Sequence[float]) -> float:
    """Two-sided p of the paired t test; 1 where all gaps are equal, as then chance cannot be told."""
    spread, mean = statistics.stdev(gaps), abs(statistics.fmean(gaps))
    if spread <= 1e-9 * mean:
        return 1.0
    t = mean / (spread / math.sqrt(len(gaps)))
    return 2 * float(stdtr(len(gaps) - 1, -t))


def _difference(upper: str, lower: str, metric: str, gaps: Sequence[float], p: float) -> Difference:
    mean, above = statistics.fmean(gaps), sum(gap > 0 for gap in gaps)
    verdict = _verdict(mean, p)
    return Difference(upper, lower, metric, mean, *mean_interval(gaps), p, above, len(gaps), verdict)


def _verdict(mean: float, p: float) -> str:
    if p >= 0.05:
        return NOT_RESOLVED
    return REPRODUCED if mean > 0 else CONTRADICTED


def decide(work: Working, gaps: Mapping[str, Sequence[float]]) -> None:
    """Let paired differences, one family for Holm, give the verdict of a claim that each is above 0.

    reproduced: all are, with p < 0.05; contradicted: one is below, with p < 0.05; else not resolved.
    """
    adjusted = holm([_p_value(each) for each in gaps.values()])
    verdicts = set()
    for (what, each), p in zip(gaps.items(), adjusted, strict=True):
        (low, high), mean = mean_interval(each), statistics.fmean(each)
        told = f"{mean:+.3g}, 95 % {low:+.3g} to {high:+.3g}, Holm p {p:.2g}"
        work.let(f"{what}: {told}")
        work.expected.append(f"{what}: above 0")
        work.measured.append(told)
        verdicts.add(_verdict(mean, p))
    none_below = NOT_RESOLVED if NOT_RESOLVED in verdicts else REPRODUCED
    work.verdict = CONTRADICTED if CONTRADICTED in verdicts else none_below
