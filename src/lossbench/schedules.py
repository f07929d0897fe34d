"""Schedules: pure functions (step, total) -> factor on the learning rate, or value of a margin's knob."""

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


def linear_ramp(step: int, total: int, *, end: float, ramp: float) -> float:
    """Rise from 0 to ``end`` along a line over the first ``ramp`` share of all steps, then stay."""
    return end * min(1.0, step / _rising(total, ramp))


def cosine_ramp(step: int, total: int, *, end: float, ramp: float) -> float:
    """Rise from 0 to ``end`` along half a cosine over the first ``ramp`` share of all steps, then stay."""
    return end * 0.5 * (1 - math.cos(math.pi * min(1.0, step / _rising(total, ramp))))


def _rising(total: int, ramp: float) -> float:
    check_range("ramp", ramp, low=0, high=1, open_low=True, cure="a share of all steps")
    return ramp * total


def lambda_annealing(
    step: int, total: int, *, start: float, end: float, gamma: float, power: float, period: int
) -> float:
    """Weight of the plain cosine under a multiplied angle: max(end, start (1 + gamma i)^-power).

    i counts the steps of a run of ``period`` steps, to which ``total`` is stretched or shrunk: the published
    schedules belong to budgets of their own (Liu et al. 2016, arXiv:1612.02295, and the SphereFace solver).
    """
    check_range("start", start, low=0, cure="lambda at the first step")
    check_range("lam", end, low=0, cure="lambda never falls below it")
    check_range("gamma", gamma, low=0)
    check_range("power", power, low=0)
    check_range("period", period, low=1, integer=True, cure="steps of the run that gamma belongs to")
    return max(end, start * (1 + gamma * step * period / total) ** -power)
