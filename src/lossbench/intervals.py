"""Confidence intervals of counts and of means, and p-values of several comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, expit, stdtr, stdtrit

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

    replicates: what this mean would be with other identities (bootstrap): a second source of chance beside
    that of the values. The error is then a sum of two t variables, each with its own spread and degrees of
    freedom (Behrens 1929; Fisher 1935, Ann. Eugenics 6:391), which errs on the safe side (Robinson 1976, Ann.
    Statist. 4:963): few values whose spread is small by luck cannot make a difference look sure.
    identities: how many there are to draw from; by default many.
    What both do together is in both parts, so the interval is a little too wide.
    Where nothing varies the interval is the mean itself, and p is 1: chance cannot be told.

    >>> found = mean_test([1.0, 2.0, 3.0])
    >>> round(found.low, 3), round(found.high, 3), round(found.p, 3)
    (-0.484, 4.484, 0.074)
    """
    check_range("level", level, low=0, high=1, open_low=True, open_high=True)
    check_range("len(values)", len(values), low=2, cure="one value has no spread")
    mean = statistics.fmean(values)
    parts = [_Part(statistics.stdev(values) / math.sqrt(len(values)), len(values) - 1)]
    if len(replicates) > 1:
        parts.append(_of_people(replicates, identities))
    # Equal values may differ in the last bit.
    if (known := [part for part in parts if part.error > 1e-9 * abs(mean)]) == []:
        return MeanTest(mean, mean, mean, 1.0)
    half = _half_width(known, 1 - level)
    return MeanTest(mean, mean - half, mean + half, _chance(known, abs(mean)))


class _Part(NamedTuple):
    """A source of chance: standard error and degrees of freedom."""

    error: float
    freedom: int


def _of_people(replicates: Sequence[float], identities: int | None) -> _Part:
    """The chance of having met these identities; drawn again from n, they spread by 1 - 1/n too little."""
    drawn = min(len(replicates), identities or len(replicates))
    lacking = identities / (identities - 1) if identities and identities > 1 else 1.0
    return _Part(statistics.stdev(replicates) * math.sqrt(lacking), max(drawn - 1, 1))


def bootstrap_p(value: float, replicates: Sequence[float], identities: int) -> float:
    """Return the two-sided p that ``value`` is 0 by the chance of having met these identities.

    replicates: two or more of it, with ``identities`` identities drawn again. Student's t with one degree of
    freedom less than identities, or replicates where these are fewer: the share of replicates beyond 0 is too
    small with few identities.

    >>> round(bootstrap_p(1.0, [0.0, 1.0, 2.0], 20), 3)
    0.433
    """
    part = _of_people(replicates, identities)
    return _chance([part], abs(value)) if part.error > 0 else 1.0


# A t variable is cut into these parts: the lower half of the logistic distribution, 0.1 apart.
_CUT = np.arange(0, 40, 0.1)
_SHARE = 0.1 * expit(-_CUT) * expit(_CUT) * np.where(_CUT == 0, 0.5, 1)


def _chance(parts: Sequence[_Part], distance: float) -> float:
    """Return the chance that one t variable, or the sum of two, lies as far from 0."""
    *others, large = sorted(parts)
    if not others:
        return 2 * float(stdtr(large.freedom, -distance / large.error))
    small = -others[0].error * stdtrit(others[0].freedom, expit(-_CUT))
    beyond = sum(stdtr(large.freedom, -(distance + side * small) / large.error) for side in (-1, 1))
    return 2 * float(_SHARE @ beyond)


def _half_width(parts: Sequence[_Part], chance: float) -> float:
    """Return the distance beyond which there is so much chance."""
    if len(parts) == 1:
        return -parts[0].error * float(stdtrit(parts[0].freedom, chance / 2))
    from scipy.optimize import brentq  # a third of a second, and only comparisons need it

    highest = -sum(part.error * float(stdtrit(part.freedom, chance / 4)) for part in parts)
    return float(brentq(lambda distance: _chance(parts, distance) - chance, 0, highest, rtol=1e-9))


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
