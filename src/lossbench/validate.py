"""One way to refuse a bad number, and one for a folder: the argument, the value, the cure."""

from __future__ import annotations

import math
import os
from argparse import ArgumentParser
from numbers import Integral, Real
from pathlib import Path


def check_range(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    integer: bool = False,
    cure: str = "",
) -> None:
    """Raise ValueError unless ``value`` is a finite number in the interval (closed unless said otherwise).

    >>> check_range("m", 1.2, low=0, high=1, open_high=True, cure="did you pass degrees?")
    Traceback (most recent call last):
    ValueError: m=1.2: must be a number in [0, 1); did you pass degrees?
    """
    # The abstract types take numpy's numbers too.
    if isinstance(value, Integral if integer else Real) and not isinstance(value, bool):
        number = float(value)
        above = number > low if open_low else number >= low
        below = number < high if open_high else number <= high
        if math.isfinite(number) and above and below:
            return
    word = "be a whole number" if integer else "be a number"
    rule = f"{word}{_interval(low, high, open_low, open_high)}"
    raise ValueError(f"{name}={value}: must {rule}" + (f"; {cure}" if cure else ""))


def _interval(low: float, high: float, open_low: bool, open_high: bool) -> str:
    if high == math.inf:
        return "" if low == -math.inf else f" {'>' if open_low else '>='} {low:g}"
    return f" in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"


def make_folder(parser: ArgumentParser, out: Path) -> None:
    """Make the folder of ``--out``; ends the program in one line where that cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {out}: cannot be made a folder ({error.strerror}); name another")
    if not os.access(out, os.W_OK):
        parser.error(f"--out {out}: cannot be written; name another")
