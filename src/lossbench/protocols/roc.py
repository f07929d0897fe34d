"""Metrics, details and curves of one verification ROC, in the words every protocol uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossbench.functional import (
    RocCurve,
    RocPoints,
    TarAtFar,
    VerificationPoint,
    area_under_curve,
    equal_error_rate,
    far_name,
    tar_at_far,
    thin,
)
from lossbench.intervals import clopper_pearson
from lossbench.protocols.evaluation import Evaluation, defined, finite

POINTS = 400

_FEWEST = 10
"""False accepts below which a rate is left to the chance of a few pairs."""


def roc_evaluation(curve: RocCurve, fars: Sequence[float]) -> Evaluation:
    """Return auc, eer and tar_far_* of a curve, see ``described``."""
    areas = {"auc": area_under_curve(curve), "eer": equal_error_rate(curve)}
    points = {far: tar_at_far(curve, far) for far in fars}
    pairs = (curve.genuine, curve.impostors)
    return described(areas, curve.undefined, points, thin(curve, POINTS), pairs)


def described(
    areas: Mapping[str, float],
    reason: str | None,
    points: Mapping[float, TarAtFar | VerificationPoint],
    line: RocPoints,
    pairs: tuple[int, int],
) -> Evaluation:
    """Return metrics of areas, undefined for ``reason``, and of points by false accept rate.

    pairs: number of genuine and of impostor pairs. details: genuine_pairs, impostor_pairs, cautions (lines on
    points that fewer than 10 false accepts decide), and under each tar_far_* what ``operating_point`` tells.
    curves: roc_far, roc_tar, roc_threshold, thinned to about 400 points.
    Undefined: everything without genuine or impostor pairs, and TAR where far * impostors < 1.
    """
    named = {f"tar_far_{far_name(far)}": (far, point) for far, point in points.items()}
    rates = {name: (point.tar, point.reason) for name, (_, point) in named.items()}
    metrics, undefined = defined({name: (area, reason) for name, area in areas.items()} | rates)
    facts = {
        name: operating_point(far, point.threshold, point.achieved_far, pairs[1])
        for name, (far, point) in named.items()
    }
    details = {
        "genuine_pairs": pairs[0],
        "impostor_pairs": pairs[1],
        **facts,
        "cautions": cautions(facts),
        "undefined": undefined,
    }
    curves = {"roc_far": line.far, "roc_tar": line.tar, "roc_threshold": line.threshold}
    return Evaluation(metrics, details, {name: values.cpu().numpy() for name, values in curves.items()})


def operating_point(far: float, threshold: float, achieved_far: float, impostors: int) -> dict[str, Any]:
    """Return threshold (None above every score), achieved_far, impostors and what of them was accepted.

    expected_false_accepts: those ``far`` allows. false_accepts: those there are. far_interval: 95 % of
    Clopper and Pearson for the FAR at this threshold, too narrow where pairs share images. These are None
    where achieved_far is NaN.
    """
    known = finite(achieved_far) is not None
    accepted = round(achieved_far * impostors) if known else None
    return {
        "threshold": finite(threshold),
        "achieved_far": finite(achieved_far),
        "impostors": impostors,
        "expected_false_accepts": far * impostors,
        "false_accepts": accepted,
        "far_interval": None if accepted is None else list(clopper_pearson(accepted, impostors)),
    }


def cautions(points: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line on each operating point, by name, that fewer than 10 false accepts decide."""
    lines = []
    for name, point in points.items():
        expected, accepted = point["expected_false_accepts"], point["false_accepts"]
        if accepted is not None and expected < _FEWEST:
            low, high = point["far_interval"]
            span = f"from {low:.1g} to {high:.1g}" if accepted else f"up to {high:.1g}"
            told = f"rests on {expected:.1f} false accepts, {accepted} seen"
            bound = f"the FAR itself may be {span} (95 %, wider where pairs share images)"
            lines.append(f"{name}: {told}: {bound}")
    return lines
