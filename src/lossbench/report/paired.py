"""By how much configurations differ: paired by seed and, where runs can tell, by test identity."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from lossbench.intervals import MeanTest, holm, mean_test

FEWEST = 3
"""Seeds in common without which no difference is told."""

Metrics = Mapping[int, Mapping[str, float]]
"""seed -> metric -> value."""
Setting = TypeVar("Setting", bound=Hashable)


class Draws(NamedTuple):
    """Replicates of runs that differ in their seed alone: their mean with other test identities.

    values: metric -> (r,). identities: how many they are drawn from, 0 where that is not known. whom: the
    same for runs whose replicates draw the same ones.
    """

    values: Mapping[str, np.ndarray]
    identities: int = 0
    whom: str = ""


NOBODY = Draws({})


class Row(dict[int, Mapping[str, float]]):
    """Runs that differ in their seed alone: seed -> metric -> value, and their mean with other people."""

    def __init__(self, seeds: Metrics | None = None, draws: Draws = NOBODY) -> None:
        super().__init__(seeds or {})
        self.draws = draws


class Gaps(list[float]):
    """A difference in each seed; people: (r,), their mean with other test identities, or nothing."""

    def __init__(self, seeds: Iterable[float], people: Sequence[float] = (), identities: int = 0) -> None:
        super().__init__(seeds)
        self.people, self.identities = people, identities


class Difference(NamedTuple):
    """A mean difference with its 95 % interval, beside others of one family.

    p: two-sided, adjusted by Holm over the family; the interval is not. above: seeds in which it is positive.
    people: whether the chance is that of test identities too.
    """

    mean: float
    low: float
    high: float
    p: float
    above: int
    seeds: int
    people: bool

    @property
    def chance_of(self) -> str:
        return "seeds and test identities" if self.people else "seeds"


def contrast(rows: Mapping[Setting, Metrics], weights: Mapping[Setting, float], metric: str) -> Gaps:
    """Sum of weight times metric over settings, for each seed that has all of them.

    The means with other people are those over all seeds of a row, also of seeds that another row lacks.
    """
    weighted = [(weight, rows.get(setting, {})) for setting, weight in weights.items()]
    first = weighted[0][1]
    seeds = [seed for seed in sorted(first) if all(metric in row.get(seed, {}) for _, row in weighted)]
    sums = (sum(weight * row[seed][metric] for weight, row in weighted) for seed in seeds)
    known = [(weight, row.draws) for weight, row in weighted if isinstance(row, Row)]
    if len(known) < len(weighted) or any(metric not in draws.values for _, draws in known):
        return Gaps(sums)
    if len({(len(draws.values[metric]), draws.identities, draws.whom) for _, draws in known}) > 1:
        return Gaps(sums)
    people = np.sum([weight * draws.values[metric] for weight, draws in known], axis=0)
    return Gaps(sums, people.tolist(), known[0][1].identities)


def chance(gaps: Sequence[float]) -> MeanTest:
    """``mean_test`` over seeds, and over test identities where they are at hand; p is 1 for too few seeds."""
    if len(gaps) < FEWEST:
        mean = sum(gaps) / len(gaps)
        return MeanTest(mean, mean, mean, 1.0)
    if not isinstance(gaps, Gaps):
        return mean_test(gaps)
    return mean_test(gaps, replicates=gaps.people, identities=gaps.identities or None)


def family(gaps: Sequence[Sequence[float]]) -> list[Difference]:
    """Differences that are judged together: p adjusted for their number by Holm."""
    found = [chance(each) for each in gaps]
    return [
        Difference(
            *(one.mean, one.low, one.high, p),
            *(sum(gap > 0 for gap in each), len(each), isinstance(each, Gaps) and len(each.people) > 0),
        )
        for each, one, p in zip(gaps, found, holm([one.p for one in found]), strict=True)
    ]
