"""Which rows of a table are best, said only as far as the confidence intervals carry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lossbench.report.groups import Group
from lossbench.report.kinds import kind

BEST, UNRESOLVED = "best", "unresolved"


def direction(metric: str) -> int:
    """1 where higher is better, -1 where lower is, 0 where neither (a threshold, a standard error)."""
    known = kind(metric)
    return known.better if known else 0


def best_marks(groups: Sequence[Group], metric: str) -> list[str]:
    """A mark for each group: BEST, UNRESOLVED or "".

    Compared are groups with the same data and a confidence interval. The best mean is BEST where its interval
    overlaps with no other one's; else it and all that it overlaps with are UNRESOLVED.
    """
    marks = [""] * len(groups)
    sign = direction(metric)
    tasks: dict[str, list[tuple[int, float, float, float]]] = defaultdict(list)
    for place, group in enumerate(groups):
        value = group.estimate(metric)
        if sign and value.mean is not None and value.half_width is not None:
            signed = sign * value.mean
            low, high = signed - value.half_width, signed + value.half_width
            tasks[group.part("dataset")].append((place, signed, low, high))
    for rivals in tasks.values():
        _, _, low, high = max(rivals, key=lambda rival: rival[1])
        near = [place for place, _, its_low, its_high in rivals if its_high >= low and its_low <= high]
        for place in near if len(rivals) > 1 else []:
            marks[place] = BEST if len(near) == 1 else UNRESOLVED
    return marks
