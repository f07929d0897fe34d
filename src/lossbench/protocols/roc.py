"""Metrics, details and curves of one verification ROC, in the words every protocol uses."""

from __future__ import annotations

from collections.abc import Sequence

from lossbench.functional import (
    RocCurve,
    area_under_curve,
    equal_error_rate,
    far_name,
    tar_at_far,
    thin,
)
from lossbench.protocols.evaluation import Evaluation, defined, finite

_POINTS = 400


def roc_evaluation(curve: RocCurve, fars: Sequence[float]) -> Evaluation:
    """Return auc, eer and tar_far_* of a curve.

    details: genuine_pairs, impostor_pairs, and under each tar_far_* its threshold (None above every score),
    achieved_far and impostors. curves: roc_far, roc_tar, roc_threshold, thinned to about 400 points.
    Undefined: everything without genuine or impostor pairs, and TAR where far * impostors < 1.
    """
    points = {f"tar_far_{far_name(far)}": tar_at_far(curve, far) for far in fars}
    metrics, undefined = defined(
        {
            "auc": (area_under_curve(curve), curve.undefined),
            "eer": (equal_error_rate(curve), curve.undefined),
            **{name: (point.tar, point.reason) for name, point in points.items()},
        }
    )
    details = {
        name: {
            "threshold": finite(point.threshold),
            "achieved_far": finite(point.achieved_far),
            "impostors": point.impostors,
        }
        for name, point in points.items()
    }
    pairs = {"genuine_pairs": curve.genuine, "impostor_pairs": curve.impostors}
    line = thin(curve, _POINTS)
    curves = {"roc_far": line.far, "roc_tar": line.tar, "roc_threshold": line.threshold}
    arrays = {name: values.cpu().numpy() for name, values in curves.items()}
    return Evaluation(metrics, {**pairs, **details, "undefined": undefined}, arrays)
