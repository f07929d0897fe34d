"""Which runs score above which, paired by seed: rows of a table, or settings of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lossbench.chapter.claim import Missing, Working
from lossbench.chapter.committed import Metrics, Row, Runs, Setting
from lossbench.intervals import MeanTest, holm, mean_test
from lossbench.report.comparison import FEWEST
from lossbench.report.names import format_p

REPRODUCED, NOT_RESOLVED, CONTRADICTED = "reproduced", "not resolved", "contradicted"


class Gaps(list[float]):
    """A difference in each seed; people: (r,), their mean with other test identities, or nothing."""

    def __init__(self, seeds: Iterable[float], people: Sequence[float] = ()) -> None:
        super().__init__(seeds)
        self.people = people


class Difference(NamedTuple):
    """By how much one row exceeds another: mean and 95 % interval over paired seeds and test identities.

    p: two-sided, adjusted by Holm over the family it was declared in. above: seeds in which it is higher.
    people: whether the chance is that of test identities too.
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
    people: bool
    verdict: str


def orderings(runs: Runs, pairs: Sequence[tuple[str, str]], metrics: Sequence[str]) -> list[Difference]:
    """Each declared ``(upper, lower)`` pair of rows on each metric, all of them one family for Holm.

    reproduced: the upper row is higher and p < 0.05; contradicted: it is lower and p < 0.05.
    Raises Missing where a row has not three seeds in common with the other.
    """
    family = [(upper, lower, metric) for metric in metrics for upper, lower in pairs]
    gaps = [_gaps(runs, *one) for one in family]
    adjusted = holm([chance(gap).p for gap in gaps])
    return [_difference(*one, gap, p) for one, gap, p in zip(family, gaps, adjusted, strict=True)]


def contrast(runs: Mapping[Setting, Metrics], weights: Mapping[Setting, float], metric: str) -> Gaps:
    """Sum of weight times metric over settings, for each seed that has all of them."""
    rows = [runs.get(setting, {}) for setting in weights]
    seeds = [seed for seed in sorted(rows[0]) if all(metric in row.get(seed, {}) for row in rows)]
    weighted = list(zip(weights.values(), rows, strict=True))
    return Gaps(
        (sum(weight * row[seed][metric] for weight, row in weighted) for seed in seeds),
        _people(weighted, metric),
    )


def _people(weighted: Sequence[tuple[float, Metrics]], metric: str) -> Sequence[float]:
    """The same sum with other test identities; nothing unless all rows have as many replicates of it."""
    known = [
        (weight, row.people[metric])
        for weight, row in weighted
        if isinstance(row, Row) and metric in row.people
    ]
    if len(known) < len(weighted) or len({len(values) for _, values in known}) > 1:
        return ()
    return np.sum([weight * values for weight, values in known], axis=0).tolist()


def points(runs: Mapping[Setting, Metrics], weights: Mapping[Setting, float], metric: str) -> Gaps:
    """``contrast`` in percent points."""
    return contrast(runs, {setting: 100 * weight for setting, weight in weights.items()}, metric)


def with_interval(values: Sequence[float], sign: str = "") -> str:
    """Mean and 95 % interval; the mean alone of too few."""
    if not values:
        return "-"
    mean, low, high, _ = chance(values)
    if len(values) < FEWEST:
        return f"{mean:{sign}.2f}"
    return f"{mean:{sign}.2f} ({low:{sign}.2f} to {high:{sign}.2f})"


def _gaps(runs: Runs, upper: str, lower: str, metric: str) -> Gaps:
    gaps = contrast(runs, {upper: 1, lower: -1}, metric)
    if len(gaps) < FEWEST:
        raise Missing(f"{upper} and {lower} have {len(gaps)} seeds with {metric} in common: three are needed")
    return gaps


def chance(gaps: Sequence[float]) -> MeanTest:
    """``mean_test`` over seeds, and over test identities where they are at hand; p is 1 for too few seeds."""
    if len(gaps) < FEWEST:
        mean = sum(gaps) / len(gaps)
        return MeanTest(mean, mean, mean, 1.0)
    return mean_test(gaps, replicates=_drawn(gaps))


def _drawn(gaps: Sequence[float]) -> Sequence[float]:
    return gaps.people if isinstance(gaps, Gaps) else ()


def _difference(upper: str, lower: str, metric: str, gaps: Gaps, p: float) -> Difference:
    (mean, low, high, _), above = chance(gaps), sum(gap > 0 for gap in gaps)
    people, verdict = len(gaps.people) > 0, _verdict(mean, p)
    return Difference(upper, lower, metric, mean, low, high, p, above, len(gaps), people, verdict)


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
    adjusted = holm([chance(each).p for each in gaps.values()])
    verdicts = set()
    for (what, each), p in zip(gaps.items(), adjusted, strict=True):
        mean = chance(each).mean
        told = f"{mean:+.3g}, {_told(each, p)}"
        work.let(f"{what}: {told}")
        work.expected.append(f"{what}: above 0")
        work.measured.append(told)
        verdicts.add(_verdict(mean, p))
    none_below = NOT_RESOLVED if NOT_RESOLVED in verdicts else REPRODUCED
    work.verdict = CONTRADICTED if CONTRADICTED in verdicts else none_below


def _told(gaps: Sequence[float], p: float) -> str:
    if len(gaps) < FEWEST:
        return f"{len(gaps)} seed{'s' * (len(gaps) > 1)}: three are needed"
    _, low, high, _ = chance(gaps)
    over = f"{len(gaps)} seeds{' and test identities' if len(_drawn(gaps)) else ''}"
    return f"95 % {low:+.3g} to {high:+.3g} over {over}, Holm p {format_p(p)}"
