"""One way to refuse a bad pair of least and greatest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lossbench.validate import check_range


def check_span(
    name: str, span: Sequence[float], *, low: float, open_low: bool = False, high: float = math.inf
) -> None:
    """Raise ValueError unless ``span`` is two numbers in the range, the smaller one first."""
    if isinstance(span, str) or not isinstance(span, Sequence) or len(span) != 2:
        raise ValueError(f"{name}={span}: give the least and the greatest, {name}=[LEAST,GREATEST]")
    for value in span:
        check_range(name, value, low=low, open_low=open_low, high=high)
    if span[0] > span[1]:
        raise ValueError(f"{name}={list(span)}: the least comes first")
