"""Where the axes of a chart are marked, and with what."""

from __future__ import annotations

import math


def round_ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers."""
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(power * factor for factor in (5, 2, 1) if (high - low) / (power * factor) >= 4)
    return [step * i for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def decade_ticks(first: float, last: float) -> list[float]:
    """Powers of ten; between few of them also 2 and 5."""
    powers = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    factors = (1, 2, 5) if len(powers) < 5 else (1,)
    values = [factor * 10.0**power for power in powers for factor in factors]
    return [value for value in values if first * 0.999 <= value <= last * 1.001]


def tick_text(value: float) -> str:
    """
    >>> tick_text(0.001), tick_text(0.000316), tick_text(50.0), tick_text(1.0)
    ('1e-3', '3.16e-4', '50', '1')
    """
    if value >= 1 or value == 0:
        return f"{value:,.0f}"
    digits, exponent = f"{value:.2e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"
