"""Verification over all pairs of embeddings seen, as a metric that Lightning and DDP can drive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lossbench.functional import FARS, RocCurve, far_name, pair_roc, pair_verification
from lossbench.metrics.rows import RowMetric


class VerificationROC(RowMetric):
    """AUC, EER and TAR at several FARs over all pairs of rows, exact and independent of the batches.

    Above 3,000 rows AUC is rounded to the digits that are certain: see ``pair_verification``.

    >>> metric = VerificationROC(fars=(1e-1,))
    >>> metric.update(torch.eye(2)[[0, 0, 1]], torch.tensor([5, 5, 8]))
    >>> {name: float(value) for name, value in metric.compute().items()}
    {'auc': 1.0, 'eer': 0.0, 'tar_far_1e_1': nan}
    """

    def __init__(self, fars: Sequence[float] = FARS, **kwargs: Any) -> None:
        """``fars``: false accept rates in (0, 1]; ``kwargs`` are those of ``torchmetrics.Metric``."""
        super().__init__(**kwargs)
        self.fars = {f"tar_far_{far_name(far)}": far for far in fars}

    def compute(self) -> dict[str, Tensor]:
        """Return float64 scalars auc, eer and tar_far_*; NaN where the pairs cannot tell."""
        found = pair_verification(*self.rows(), fars=list(self.fars.values()), hardest=0)
        values = {"auc": found.auc, "eer": found.eer}
        values |= {name: point.tar for name, point in zip(self.fars, found.points, strict=True)}
        device = found.line.tar.device
        return {
            name: torch.tensor(value, dtype=torch.float64, device=device) for name, value in values.items()
        }

    def curve(self) -> RocCurve:
        """Return the whole curve over all processes; each of them must call."""
        with self.sync_context():
            return pair_roc(*self.rows())
