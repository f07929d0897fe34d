"""Closed-set identification: is the probe's identity among the best of the gallery?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from lossbench.functional import CmcCurve, cmc_curve, rank_at
from lossbench.protocols.evaluation import Evaluation, defined
from lossbench.protocols.resampled import resampled_ranks

RANKS = (1, 5, 10, 20, 50, 100)

_CURVE = 100


def identification(
    embedding: Tensor,
    label: Tensor,
    *,
    distractors: Any = None,
    ranks: Sequence[int] = RANKS,
    draws: int = 10,
    seed: int = 0,
    weights: Tensor | None = None,
) -> Evaluation:
    """Return cmc_* at each rank, mean over draws of one gallery image per identity.

    embedding: (n, d). label: (n,) integers, negative for distractors. distractors: (m, d) more of them,
    a tensor or a numpy array, memory-mapped where it does not fit into memory.
    weights: (r, c) of the c identities, ascending, in r replicates (``identity_weights``); None for none.

    details: gallery (entries), probes (of each draw), distractors, draws, seed. curves: cmc_rank, cmc_rate
    at ranks 1 .. 100 or the largest asked for. Undefined where no identity has two images; a rank as large
    as the gallery gives 1. Raises ValueError as ``cmc_curve`` does.
    """
    longest = max(_CURVE, *ranks) if ranks else _CURVE
    curve = cmc_curve(embedding, label, distractors=distractors, ranks=longest, draws=draws, seed=seed)
    found = _identified(curve, ranks, seed)
    return found if weights is None else found | resampled_ranks(curve, ranks, label, weights)


def _identified(curve: CmcCurve, ranks: Sequence[int], seed: int) -> Evaluation:
    metrics, undefined = defined({f"cmc_{rank}": (rank_at(curve, rank), curve.reason) for rank in ranks})
    details = {
        "gallery": curve.gallery,
        "probes": curve.probes,
        "distractors": curve.distractors,
        "draws": curve.draws,
        "seed": seed,
        "undefined": undefined,
    }
    rank = np.arange(1, len(curve.rates) + 1)
    return Evaluation(metrics, details, {"cmc_rank": rank, "cmc_rate": curve.rates.cpu().numpy()})
