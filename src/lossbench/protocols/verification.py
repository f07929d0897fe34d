"""Verification of all pairs of a split: are two images of one identity?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lossbench.functional import FARS, far_name, pair_verification
from lossbench.functional.hardest import HardPairs
from lossbench.protocols.evaluation import Evaluation, defined, finite

_POINTS = 400


def verification(
    embedding: Tensor, label: Tensor, *, fars: Sequence[float] = FARS, hardest: int = 0
) -> Evaluation:
    """Return auc, eer, tar_far_* and macro/tar_far_* over all pairs of rows, scored by cosine.

    embedding: (n, d). label: (n,) integers >= 0. fars: false accept rates in (0, 1].
    macro: mean over identities of the share of their own genuine pairs, at the same threshold; one identity
    with many images supplies most genuine pairs.

    details: genuine_pairs, impostor_pairs, and under each tar_far_* its threshold (None above every score),
    achieved_far and impostors; with hardest > 0 as many hardest_impostors (highest scores) and
    hardest_genuine (lowest), each a list of [score, row, other row]. curves: roc_far, roc_tar,
    roc_threshold, thinned to about 400 points.
    Above 3,000 rows auc has as many digits as are certain, and the curves are near enough for a figure.
    Undefined: everything without genuine or impostor pairs, and TAR where far * impostors < 1.
    Raises ValueError as ``pair_verification`` does.
    """
    found = pair_verification(embedding, label, fars=fars, hardest=hardest, points=_POINTS)
    points = {f"tar_far_{far_name(point.far)}": point for point in found.points}
    metrics, undefined = defined(
        {
            "auc": (found.auc, found.reason),
            "eer": (found.eer, found.reason),
            **{name: (point.tar, point.reason) for name, point in points.items()},
            **{f"macro/{name}": (point.tar_macro, point.reason) for name, point in points.items()},
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
    pairs: dict[str, Any] = {"genuine_pairs": found.genuine, "impostor_pairs": found.impostors}
    if hardest:
        pairs["hardest_impostors"] = _listed(found.hardest_impostors)
        pairs["hardest_genuine"] = _listed(found.hardest_genuine)
    curves = {"roc_far": found.line.far, "roc_tar": found.line.tar, "roc_threshold": found.line.threshold}
    arrays = {name: values.cpu().numpy() for name, values in curves.items()}
    return Evaluation(metrics, {**pairs, **details, "undefined": undefined}, arrays)


def _listed(pairs: HardPairs) -> list[list[float]]:
    columns = (pairs.score.tolist(), pairs.first.tolist(), pairs.second.tolist())
    return [list(pair) for pair in zip(*columns, strict=True)]
