"""Learning-rate schedules: pure functions (step, total) -> factor on the base rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lossbench.validate import check_range


def warmup_cosine(step: int, total: int, *, warmup: float) -> float:
    """Rise linearly over the first ``warmup`` share of all steps, then fall to zero along half a cosine."""
    check_range("warmup", warmup, low=0, high=1, open_high=True, cure="a share of all steps")
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def step_decay(step: int, total: int, *, milestones: Sequence[float], factor: float) -> float:
    """Multiply by ``factor`` at each milestone, given as shares of all steps."""
    check_range("factor", factor, low=0, high=1, open_low=True)
    for milestone in milestones:
        check_range("milestones", milestone, low=0, high=1, cure="shares of all steps")
    return factor ** sum(step >= milestone * total for milestone in milestones)
