"""Confidence intervals of counts."""

from __future__ import annotations

from scipy.special import betaincinv

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
