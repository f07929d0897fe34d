"""Verification of all pairs of a split: are two images of one identity?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lossbench.functional import FARS, far_name, pair_verification
from lossbench.protocols.evaluation import Evaluation, defined, finite

_POINTS = 400


def verification(embedding: Tensor, label: Tensor, *, fars: Sequence[float] = FARS) -> Evaluation:
    """Return auc, eer and tar_far_* over all pairs of rows, scored by cosine.

    embedding: (n, d). label: (n,) integers >= 0. fars: false accept rates in (0, 1].

    details: genuine_pairs, impostor_pairs, and under each tar_far_* its threshold (None above every score),
    achieved_far and impostors. curves: roc_far, roc_tar, roc_threshold, thinned to about 400 points.
    Above 3,000 rows auc has as many digits as are certain, and the curves are near enough for a figure.
    Undefined: everything without genuine or impostor pairs, and TAR where far * impostors < 1.
    Raises ValueError as ``pair_verification`` does.
    """
    found = pair_verification(embedding, label, fars=fars, hardest=0, points=_POINTS)
    points = {f"tar_far_{far_name(point.far)}": point for point in found.points}
    metrics, undefined = defined(
        {
            "auc": (found.auc, found.reason),
            "eer": (found.eer, found.reason),
            **{name: (point.tar, point.reason) for name, point in points.items()},
        }
    )
    details = {
        name: {
            "threshold": finite(point.threshold),
            "achieved_far": finite(point.achieved_far),
            "impostors": found.impostors,
        }
        for name, point in points.items()
    }
    pairs = {"genuine_pairs": found.genuine, "impostor_pairs": found.impostors}
    curves = {"roc_far": found.line.far, "roc_tar": found.line.tar, "roc_threshold": found.line.threshold}
    arrays = {name: values.cpu().numpy() for name, values in curves.items()}
    return Evaluation(metrics, {**pairs, **details, "undefined": undefined}, arrays)
