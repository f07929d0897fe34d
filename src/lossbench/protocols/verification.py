"""Verification of all pairs of a split: are two images of one identity?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lossbench.functional import FARS, HardPairs, far_name, pair_verification
from lossbench.protocols.evaluation import Evaluation, defined
from lossbench.protocols.resampled import resampled_pairs
from lossbench.protocols.roc import POINTS, described


def verification(
    embedding: Tensor,
    label: Tensor,
    *,
    fars: Sequence[float] = FARS,
    hardest: int = 0,
    weights: Tensor | None = None,
) -> Evaluation:
    """Return auc, eer, tar_far_* and macro/tar_far_* over all pairs of rows, scored by cosine.

    embedding: (n, d). label: (n,) integers >= 0. fars: false accept rates in (0, 1].
    weights: (r, c) of the c identities, ascending, in r replicates (``identity_weights``); None for none.
    macro: mean over identities of the share of their own genuine pairs, at the same threshold; one identity
    with many images supplies most genuine pairs.

    details, curves: as ``described``; with hardest > 0 also as many hardest_impostors (highest scores) and
    hardest_genuine (lowest), each a list of [score, row, other row].
    Above 3,000 rows auc has as many digits as are certain, and the curves are near enough for a figure.
    Raises ValueError as ``pair_verification`` does.
    """
    found = pair_verification(embedding, label, fars=fars, hardest=hardest, points=POINTS)
    areas, points = {"auc": found.auc, "eer": found.eer}, {point.far: point for point in found.points}
    rates = described(areas, found.reason, points, found.line, (found.genuine, found.impostors))
    metrics, undefined = defined(
        {f"macro/tar_far_{far_name(far)}": (point.tar_macro, point.reason) for far, point in points.items()}
    )
    details: dict[str, Any] = {"undefined": undefined}
    if hardest:
        details["hardest_impostors"] = _listed(found.hardest_impostors)
        details["hardest_genuine"] = _listed(found.hardest_genuine)
    result = rates | Evaluation(metrics, details, {})
    return result if weights is None else result | resampled_pairs(embedding, label, result, fars, weights)


def _listed(pairs: HardPairs) -> list[list[float]]:
    columns = (pairs.score.tolist(), pairs.first.tolist(), pairs.second.tolist())
    return [list(pair) for pair in zip(*columns, strict=True)]
