"""Confidence intervals of counts and of means, and p-values of several comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scipy.special import betaincinv, stdtr, stdtrit

from lossbench.validate import check_range


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share of independent trials (Clopper & Pearson 1934).

    (low, high) with at most (1 - level) / 2 chance on either side; (0, 1) without trials. Pairs of images are
    not independent trials: for them it is too narrow, resample identities instead.
    Raises ValueError unless 0 <= successes <= trials.

    >>> low, high = clopper_pearson(0, 100)  # near the rule of three, 3 / 100 at one side
    >>> low, round(high, 4)
    (0.0, 0.0362)
    """
    check_range("level", level, low=0, high=1, open_low=True, open_high=True)
    check_range("trials", trials, low=0, integer=True)
    check_range("successes", successes, low=0, high=trials, integer=True)
    failures, tail = trials - successes, (1 - level) / 2
    low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return low, high


class MeanTest(NamedTuple):
    """A mean, the t interval around it, and the two-sided p that it is 0 by chance."""

    mean: float
    low: float
    high: float
    p: float


def mean_test(
    values: Sequence[float],
    *,
    replicates: Sequence[float] = (),
    identities: int | None = None,
    level: float = 0.95,
) -> MeanTest:
    """Return the mean of two or more independent values, such as one a seed, and how sure it is.

    replicates: what this mean would be with other identities (bootstrap). Their variance adds to that over
    the values, with the degrees of freedom of Satterthwaite (1946, Biometrics Bull. 2:110): seeds and people
    are two sources of chance. identities: how many there are to draw from; by default many.
    What both do together is in both parts, so the interval is a little too wide.
    Where nothing varies the interval is the mean itself, and p is 1: chance cannot be told.

    >>> found = mean_test([1.0, 2.0, 3.0])
    >>> round(found.low, 3), round(found.high, 3), round(found.p, 3)
    (-0.484, 4.484, 0.074)
    """
    check_range("level", level, low=0, high=1, open_low=True, open_high=True)
    check_range("len(values)", len(values), low=2, cure="one value has no spread")
    mean = statistics.fmean(values)
    parts = [(statistics.variance(values) / len(values), len(values) - 1)]
    if len(replicates) > 1:
        drawn = min(len(replicates), identities or len(replicates))
        parts.append((statistics.variance(replicates), max(drawn - 1, 1)))
    variance = sum(part for part, _ in parts)
    # Equal values may differ in the last bit.
    if variance <= (1e-9 * mean) ** 2:
        return MeanTest(mean, mean, mean, 1.0)
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    error = math.sqrt(variance)
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    return MeanTest(mean, mean - half, mean + half, 2 * float(stdtr(freedom, -abs(mean) / error)))


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """Return the t interval of the mean of two or more independent values.

    >>> low, high = mean_interval([0.0, 1.0])
    >>> round(low, 3), round(high, 3)
    (-5.853, 6.853)
    """
    found = mean_test(values, level=level)
    return found.low, found.high


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979, Scand. J. Statist. 6:65), in the same order.

    The smallest times their number, the next times one less, ...; none below a smaller one's, none above 1.
    However the comparisons depend on each other, the chance of any false claim stays below alpha.

    >>> holm([0.04, 0.01, 0.5])
    [0.08, 0.03, 0.5]
    """
    for p in p_values:
        check_range("p", p, low=0, high=1)
    adjusted, least = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for left, i in zip(range(len(p_values), 0, -1), order, strict=True):
        adjusted[i] = least = max(least, min(1.0, left * p_values[i]))
    return adjusted
