"""Confidence intervals of counts and of means, and p-values of several comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from scipy.special import betaincinv, stdtrit

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


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """Return the t interval of the mean of two or more independent values.

    >>> low, high = mean_interval([0.0, 1.0])
    >>> round(low, 3), round(high, 3)
    (-5.853, 6.853)
    """
    check_range("level", level, low=0, high=1, open_low=True, open_high=True)
    check_range("len(values)", len(values), low=2, cure="one value has no spread")
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * error
    mean = statistics.fmean(values)
    return mean - half, mean + half


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
