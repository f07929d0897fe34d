"""The verification numbers of all pairs in two ways: all scores by the definition, or screened in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from lossbench.functional.cosine import UnitRows
from lossbench.functional.hardest import Hardest, HardPairs
from lossbench.functional.pair_screening import PairScreen, UnsettledError
from lossbench.functional.pair_watch import watched_cells
from lossbench.functional.pairs import PairGrid, count_impostors
from lossbench.functional.roc import RocCounts, RocCurve
from lossbench.functional.roc_summary import (
    RocPoints,
    TarAtFar,
    area_under_curve,
    crossing_rate,
    equal_error_rate,
    tar_at_far,
    thin,
)
from lossbench.functional.screened_counts import ScreenedCounts
from lossbench.functional.screening import float32_products_hold, scaling_error, screening_error
from lossbench.functional.thresholds import allowed

_LARGEST_ERROR = 1e-3


class PairNumbers(NamedTuple):
    """Operating points, areas, points for a figure and the hardest impostor pairs, as in PairVerification."""

    rates: list[TarAtFar]
    eer: float
    auc: float
    auc_error: float
    line: RocPoints
    hardest: HardPairs


@dataclass(frozen=True)
class PairTask:
    """What is counted: genuine scores (g,), impostors, and what is asked of them."""

    unit: UnitRows
    label: Tensor
    block: int
    genuine: Tensor
    impostors: int
    fars: Sequence[float]
    hardest: int
    points: int


def scored(task: PairTask) -> PairNumbers:
    """Score every pair by the definition."""
    counts = RocCounts(task.genuine)
    hardest = Hardest(task.hardest, len(task.label), task.label.device, largest=True)
    count_impostors(task.unit, PairGrid(task.label, task.block), counts, hardest)
    curve = counts.curve()
    rates = [tar_at_far(curve, far) for far in task.fars]
    area, line = area_under_curve(curve), thin(curve, task.points)
    return PairNumbers(rates, equal_error_rate(curve), area, 0.0, line, hardest.pairs())


def screened(task: PairTask) -> PairNumbers:
    """Screen the impostor pairs; raises UnsettledError where that cannot tell."""
    columns = task.unit.embedding.shape[1]
    error = screening_error(columns) + 2 * scaling_error(columns)
    genuine, impostors = RocCounts(task.genuine).curve(), task.impostors
    if not genuine.genuine or not impostors or error > _LARGEST_ERROR:
        raise UnsettledError
    if not float32_products_hold(task.genuine.device):
        raise UnsettledError
    screen = PairScreen(task.unit, task.label, task.block)
    watched = watched_cells(
        screen.sample(),
        genuine.thresholds,
        1 - genuine.tar,
        ranks=[task.hardest, *(allowed(far, impostors) for far in task.fars)],
        impostors=impostors,
        error=error,
    )
    counts = ScreenedCounts(task.unit, screen, screen.scan(watched), error)
    at = genuine.thresholds.tolist()
    rates = [_rate(counts, genuine, at, far) for far in task.fars]
    eer = _equal_error_rate(counts, at, genuine.genuine_accepted.tolist())
    auc, auc_error = certain(*counts.area(task.genuine.sort().values))
    # As near as a figure shows; thin() takes whole numbers.
    accepted = (counts.far_at(genuine.thresholds) * impostors).round().long()
    line = thin(replace(genuine, impostors_accepted=accepted, impostors=impostors), task.points)
    return PairNumbers(rates, eer, auc, auc_error, line, counts.hardest(task.hardest))


def _rate(counts: ScreenedCounts, genuine: RocCurve, at: Sequence[float], far: float) -> TarAtFar:
    """``tar_at_far`` by the one point of the curve that it would find."""

    def refused(point: int, accepted: int, above: int) -> bool:
        return accepted / counts.impostors > far

    point, accepted, above = counts.last_point(at, refused)
    if point < 0:
        point, accepted = 0, counts.impostors
    thresholds, passed = genuine.thresholds[point : point + 1], genuine.genuine_accepted[point : point + 1]
    found = passed.new_tensor([accepted]), passed.new_tensor([above])
    return tar_at_far(RocCurve(thresholds, passed, *found, genuine.genuine, counts.impostors), far)


def _equal_error_rate(counts: ScreenedCounts, at: Sequence[float], passed: Sequence[int]) -> float:
    """``equal_error_rate`` by the counts at the one threshold where the staircases meet."""

    def frr(point: int) -> float:
        return (passed[-1] - passed[point]) / passed[-1] if point >= 0 else 1.0

    def refused(point: int, accepted: int, above: int) -> bool:
        return frr(point - 1) < above / counts.impostors

    point, accepted, above = counts.last_point(at, refused)
    far, far_above = accepted / counts.impostors, above / counts.impostors
    return crossing_rate(frr_before=frr(point - 1), frr=frr(point), far=far, far_above=far_above)


def certain(low: float, high: float) -> tuple[float, float]:
    """Return the longest decimal to which all from low to high rounds, and half a unit of its last digit.

    The exact value rounds to it too, so how a product was summed cannot show in a digit. Raises
    UnsettledError where not even two decimals are certain.

    >>> certain(0.98761, 0.98764)
    (0.9876, 5e-05)
    """
    if low == high:
        return low, 0.0
    for digits in range(9, 1, -1):
        if round(low, digits) == round(high, digits):
            return round(low, digits), float(f"5e-{digits + 1}")
    raise UnsettledError
