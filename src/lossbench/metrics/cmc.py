"""Closed-set identification over the embeddings seen, as a metric that Lightning and DDP can drive."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lossbench.functional import CmcCurve, cmc_curve
from lossbench.metrics.rows import RowMetric
from lossbench.validate import check_range


class CMC(RowMetric):
    """Rates of ``cmc_curve`` at ranks 1 .. ranks; rows labelled -1 are distractors.

    The draws depend on the order in which the images of an identity arrive, which under DDP is process by
    process: with another number of processes other galleries are drawn.

    >>> import torch
    >>> metric = CMC(ranks=2)
    >>> metric.update(torch.eye(3)[[0, 0, 1, 1, 2]], torch.tensor([0, 0, 1, 1, -1]))
    >>> metric.compute().tolist()
    [1.0, 1.0]
    """

    higher_is_better = True

    def __init__(self, ranks: int = 100, draws: int = 10, seed: int = 0, **kwargs: Any) -> None:
        """``ranks``, ``draws`` and ``seed`` as in ``cmc_curve``; ``kwargs`` of ``torchmetrics.Metric``."""
        super().__init__(**kwargs)
        check_range("ranks", ranks, low=1)
        check_range("draws", draws, low=1)
        check_range("seed", seed, low=0)
        self.ranks, self.draws, self.seed = ranks, draws, seed

    def compute(self) -> Tensor:
        """Return the rates (ranks,) float64; NaN when no identity has two images."""
        return self._curve().rates

    def curve(self) -> CmcCurve:
        """Return the rates with probe and gallery counts over all processes; each of them must call."""
        with self.sync_context():
            return self._curve()

    def _curve(self) -> CmcCurve:
        return cmc_curve(*self.rows(), ranks=self.ranks, draws=self.draws, seed=self.seed)
