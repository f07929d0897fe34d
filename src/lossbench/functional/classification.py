"""Closed-set classification: rank of the target, likelihood and calibration of scores."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.validate import check_range

_CELLS = 2**22


class Calibration(NamedTuple):
    """Expected calibration error (Guo et al. 2017, eq. 3) and its bins; an empty bin has NaN means."""

    ece: float
    confidence: Tensor
    accuracy: Tensor
    samples: Tensor


def target_rank(scores: Tensor, target: Tensor) -> Tensor:
    """Return (n,) int64: 1 + the number of other classes that score as high as the target or higher.

    scores: (n, c). target: (n,) class of each row. Ties count against the sample, so a collapsed model that
    scores all classes alike ranks every target last instead of first.

    >>> target_rank(torch.tensor([[2.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 0])).tolist()
    [1, 2]
    """
    own = scores.gather(1, target.unsqueeze(1))
    return (scores >= own).count_nonzero(dim=1)


def log_confidence(scores: Tensor, target: Tensor, *, tau: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return log softmax(scores / tau) of the target and of the best class, each (n,) float64, in nats.

    scores: (n, c). target: (n,). tau: temperature > 0.
    """
    check_range("tau", tau, open_low=True, low=0)
    rows = max(1, _CELLS // max(scores.shape[1], 1))
    parts = [_log_confidence(s, t, tau) for s, t in zip(scores.split(rows), target.split(rows), strict=True)]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _log_confidence(scores: Tensor, target: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    logits = scores.double() / tau
    logits -= logits.amax(dim=1, keepdim=True)
    total = logits.logsumexp(dim=1)
    return logits.gather(1, target.unsqueeze(1)).squeeze(1) - total, -total


def calibration(confidence: Tensor, correct: Tensor, *, bins: int = 15) -> Calibration:
    """Return sum over bins of count/n * |accuracy - mean confidence|, and the bins.

    confidence: (n,) probability of the best class. correct: (n,) bool. Bins are the ``bins`` equal parts of
    (0, 1], each without its lower and with its upper limit.

    >>> round(calibration(torch.tensor([0.9, 0.8]), torch.tensor([True, False]), bins=2).ece, 6)
    0.35
    """
    check_range("bins", bins, low=1)
    confidence = confidence.double()
    limits = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=confidence.device)[1:-1]
    cell = torch.bucketize(confidence, limits)
    count = cell.bincount(minlength=bins)
    sure = torch.zeros(bins, dtype=torch.float64, device=cell.device).index_add_(0, cell, confidence)
    right = torch.zeros_like(sure).index_add_(0, cell, correct.double())
    return Calibration(float((right - sure).abs().sum()) / len(cell), sure / count, right / count, count)
