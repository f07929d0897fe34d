"""Confidence intervals over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds with the half-width of its 95 % confidence interval.

    ``mean`` is None when no seed defines the value, ``half_width`` when fewer than two do.
    """

    mean: float | None
    half_width: float | None
    n: int

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """(low, high), not clipped to the metric's range."""
        if self.mean is None or self.half_width is None:
            return None, None
        return self.mean - self.half_width, self.mean + self.half_width


def estimate(values: Sequence[float | None]) -> Estimate:
    """Student's t interval: half-width t(n - 1, 0.975) * sd / sqrt(n), sd with n - 1; None is left out.

    >>> estimate([0.5]), estimate([])
    (Estimate(mean=0.5, half_width=None, n=1), Estimate(mean=None, half_width=None, n=0))
    """
    defined = [value for value in values if value is not None]
    n = len(defined)
    if not n:
        return Estimate(None, None, 0)
    if n == 1:
        return Estimate(defined[0], None, 1)
    # statistics sums exactly: equal values give their own mean and an sd of 0, in any order.
    half_width = float(stdtrit(n - 1, 0.975)) * statistics.stdev(defined) / n**0.5
    return Estimate(statistics.mean(defined), half_width, n)
