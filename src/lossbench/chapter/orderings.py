"""Which runs score above which, paired by seed: rows of a table, or settings of a sweep."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from scipy.special import stdtr

from lossbench.chapter.claim import Missing, Working
from lossbench.intervals import holm, mean_interval
from lossbench.report.export import read_runs, run_numbers

REPRODUCED, NOT_RESOLVED, CONTRADICTED = "reproduced", "not resolved", "contradicted"
Runs = Mapping[str, Mapping[int, Mapping[str, float]]]
"""row -> seed -> metric -> value."""
Setting = TypeVar("Setting", bound=Hashable)
FEWEST = 3
"""Seeds without which nothing is decided."""


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
    return settings(name, dataset, lambda run: run.get("row") or None, folder)


def settings(
    name: str,
    dataset: str,
    setting: Callable[[Mapping[str, str]], Setting | None],
    folder: Path = Path("results"),
) -> dict[Setting, dict[int, dict[str, float]]]:
    """What tells runs apart -> seed -> metric -> value, of the runs in ``folder/<name>/runs.csv``.

    setting: of a row of that table; None leaves the run out.
    Raises Missing where there are none on ``dataset``; ValueError where two have the same setting and seed.
    """
    path = folder / name / "runs.csv"
    if not path.is_file():
        raise Missing(
            f"no {path}: python -m lossbench sweep={name} dataset={dataset}, then report --out {path.parent}"
        )
    found: dict[Setting, dict[int, dict[str, float]]] = {}
    for run in read_runs(path).values():
        if run["dataset"] != dataset or (key := setting(run)) is None:
            continue
        seeds, seed = found.setdefault(key, {}), int(run["seed"])
        if seed in seeds:
            raise ValueError(f"{path}: two runs of {key} with seed={seed}: make it of one sweep only")
        metrics = run_numbers(run)["metrics"]
        seeds[seed] = {metric: value for metric, value in metrics.items() if value is not None}
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


def contrast(
    runs: Mapping[Setting, Mapping[int, Mapping[str, float]]], weights: Mapping[Setting, float], metric: str
) -> list[float]:
    """Sum of weight times metric over settings, for each seed that has all of them."""
    rows = [runs.get(setting, {}) for setting in weights]
    seeds = [seed for seed in sorted(rows[0]) if all(metric in row.get(seed, {}) for row in rows)]
    weighted = list(zip(weights.values(), rows, strict=True))
    return [sum(weight * row[seed][metric] for weight, row in weighted) for seed in seeds]


def _gaps(runs: Runs, upper: str, lower: str, metric: str) -> list[float]:
    gaps = contrast(runs, {upper: 1, lower: -1}, metric)
    if len(gaps) < FEWEST:
        raise Missing(f"{upper} and {lower} have {len(gaps)} seeds with {metric} in common: three are needed")
    return gaps


def _p_value(gaps: Sequence[float]) -> float:
    """Two-sided p of the paired t test; 1 where chance cannot be told: of few seeds, or all gaps equal."""
    if len(gaps) < FEWEST:
        return 1.0
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

    reproduced: all are, with p < 0.05; contradicted: one is below, with p < 0.05; else not resolved, as are
    fewer than three seeds. Raises Missing where there is none.
    """
    if lacking := [what for what, each in gaps.items() if not each]:
        raise Missing(f"{lacking[0]}: no seed has all runs for it: let the sweep finish")
    adjusted = holm([_p_value(each) for each in gaps.values()])
    verdicts = set()
    for (what, each), p in zip(gaps.items(), adjusted, strict=True):
        mean = statistics.fmean(each)
        told = f"{mean:+.3g}, {_chance(each, p)}"
        work.let(f"{what}: {told}")
        work.expected.append(f"{what}: above 0")
        work.measured.append(told)
        verdicts.add(_verdict(mean, p))
    none_below = NOT_RESOLVED if NOT_RESOLVED in verdicts else REPRODUCED
    work.verdict = CONTRADICTED if CONTRADICTED in verdicts else none_below


def _chance(values: Sequence[float], p: float) -> str:
    if len(values) < FEWEST:
        return f"{len(values)} seed{'s' * (len(values) > 1)}: three are needed"
    low, high = mean_interval(values)
    return f"95 % {low:+.3g} to {high:+.3g}, Holm p {p:.2g}"
