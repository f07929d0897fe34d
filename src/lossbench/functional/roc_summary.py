"""Numbers read off a verification ROC: TAR at a FAR, equal error rate, area, points for a figure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.roc import RocCurve
from lossbench.functional.thresholds import unresolved
from lossbench.validate import check_range

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


class TarAtFar(NamedTuple):
    """One operating point; ``reason`` says why ``tar`` is NaN, and is None otherwise."""

    tar: float
    achieved_far: float
    threshold: float
    impostors: int
    reason: str | None


class RocPoints(NamedTuple):
    """Some points of a curve, strictest first: (p,) tensors. Too few for areas or rates."""

    threshold: Tensor
    tar: Tensor
    far: Tensor


def tar_at_far(curve: RocCurve, far: float) -> TarAtFar:
    """Return the largest TAR over all thresholds whose FAR is at most ``far``; nothing is interpolated.

    ``achieved_far`` and ``threshold`` belong to the strictest threshold with that TAR. Where even the top
    genuine score accepts too many impostors, TAR is 0 at threshold infinity. NaN with a reason when there is
    no genuine or impostor pair, or when far * impostors < 1: no threshold can show such a rate.

    >>> from lossbench.functional.roc import roc_curve
    >>> curve = roc_curve(torch.tensor([0.9, 0.4]), torch.tensor([0.5, 0.4, 0.1, 0.0]))
    >>> tar_at_far(curve, 0.25)[:2], tar_at_far(curve, 0.5)[:2]
    ((0.5, 0.0), (1.0, 0.5))
    >>> tar_at_far(curve, 0.1).reason
    'FAR 0.1 needs at least 10 impostor pairs: there are 4'
    """
    check_range("far", far, low=0, high=1, open_low=True, cure="it is a fraction of the impostor pairs")
    reason = curve.undefined or unresolved(far, curve.impostors)
    if reason is not None:
        return TarAtFar(math.nan, math.nan, math.nan, curve.impostors, reason)
    steps = range(len(curve.thresholds))
    point = bisect_right(steps, far, key=lambda i: int(curve.impostors_accepted[i]) / curve.impostors) - 1
    if point < 0:
        return TarAtFar(0.0, 0.0, math.inf, curve.impostors, None)
    tar = int(curve.genuine_accepted[point]) / curve.genuine
    achieved = int(curve.impostors_accepted[point]) / curve.impostors
    return TarAtFar(tar, achieved, float(curve.thresholds[point]), curve.impostors, None)


def equal_error_rate(curve: RocCurve) -> float:
    """Return the rate at which the step functions FAR(t) and FRR(t) cross; NaN where either is undefined.

    FAR(t) = share of impostors >= t falls, FRR(t) = share of genuine < t rises, each in vertical steps. They
    cross in one of three ways. FAR drops past a flat FRR between two genuine scores: the rate is that FRR.
    FRR jumps past a flat FAR at a genuine score: the rate is that FAR. Both step at the same score (a genuine
    ties with an impostor): the middle of the part the two steps share, 0.5 when all scores are equal.

    >>> from lossbench.functional.roc import roc_curve
    >>> equal_error_rate(roc_curve(torch.tensor([0.9, 0.4]), torch.tensor([0.5, 0.3, 0.1])))
    0.3333333333333333
    """
    if curve.undefined is not None:
        return math.nan
    # The crossing is at, or just below, the lowest threshold beyond which FRR has reached FAR.
    steps = range(len(curve.thresholds))
    point = bisect_left(steps, True, key=lambda i: _frr(curve, i - 1) < _far_above(curve, i)) - 1
    far, far_above = int(curve.impostors_accepted[point]) / curve.impostors, _far_above(curve, point)
    before, frr = _frr(curve, point - 1), _frr(curve, point)
    return crossing_rate(frr_before=before, frr=frr, far=far, far_above=far_above)


def crossing_rate(*, frr_before: float, frr: float, far: float, far_above: float) -> float:
    """Return the equal error rate from the steps at, or just above, which the two staircases cross.

    frr_before: false reject rate at the next higher genuine score, 1 above all. frr, far: rates at the lowest
    genuine score beyond which FRR has reached FAR. far_above: false accept rate just above it.
    """
    if far <= frr:
        return frr
    return (max(frr, far_above) + min(frr_before, far)) / 2


def _frr(curve: RocCurve, point: int) -> float:
    """False reject rate at a threshold; at point -1, above all genuine scores, it is 1."""
    return (curve.genuine - int(curve.genuine_accepted[point])) / curve.genuine if point >= 0 else 1.0


def _far_above(curve: RocCurve, point: int) -> float:
    """False accept rate just above a threshold."""
    return int(curve.impostors_above[point]) / curve.impostors


def area_under_curve(curve: RocCurve) -> float:
    """Return P(impostor < genuine) + P(equal) / 2 over all pairs of scores; NaN where undefined.

    >>> from lossbench.functional.roc import roc_curve
    >>> area_under_curve(roc_curve(torch.tensor([0.9, 0.4]), torch.tensor([0.4, 0.1])))
    0.875
    """
    if curve.undefined is not None:
        return math.nan
    repeats = curve.genuine_accepted.diff(prepend=curve.genuine_accepted.new_zeros(1))
    lost = repeats.double() @ (curve.impostors_accepted + curve.impostors_above).double() / 2
    pairs = curve.genuine * curve.impostors
    return (pairs - float(lost)) / pairs


def thin(curve: RocCurve, points: int) -> RocPoints:
    """Return at most ``points`` points of the curve for a figure, evenly spaced in log FAR.

    The first and last points are kept exactly, the last point with FAR 0 where there is one, and between
    them for each FAR of the grid the point with the largest TAR. Raises ValueError when points < 3.
    """
    check_range("points", points, low=3)
    far, total = curve.far, len(curve.thresholds)
    if total <= points or curve.undefined is not None:
        return RocPoints(curve.thresholds, curve.tar, far)
    silent = int((curve.impostors_accepted == 0).sum())
    keep = [torch.tensor([0, max(silent - 1, 0), total - 1], device=far.device)]
    if silent < total and points > 3:
        low, high = math.log10(float(far[silent])), math.log10(float(far[-1]))
        grid = torch.logspace(low, high, points - 3, dtype=far.dtype, device=far.device)
        keep.append((torch.searchsorted(far, grid, right=True) - 1).clamp_(0, total - 1))
    index = torch.cat(keep).unique()
    return RocPoints(curve.thresholds[index], curve.tar[index], far[index])


def far_name(far: float) -> str:
    """Return ``far`` as it stands in metric names.

    >>> far_name(1e-3), far_name(5e-4), far_name(2.5e-4), far_name(0.1)
    ('1e_3', '5e_4', '2_5e_4', '1e_1')
    """
    check_range("far", far, low=0, high=1, open_low=True)
    digits, exponent = f"{far:.12e}".split("e")
    return f"{digits.rstrip('0').rstrip('.').replace('.', '_')}e_{-int(exponent)}"
