"""Temperature scaling after training (Guo et al. 2017, arXiv:1706.04599, section 4.2)."""

from __future__ import annotations

import math

from torch import Tensor

_WIDEST = math.log(1e6)
_CELLS = 2**22


def fit_temperature(scores: Tensor, target: Tensor) -> float | None:
    """Return the temperature tau at which softmax(scores / tau) gives the targets the highest likelihood.

    scores: (n, c). target: (n,) class of each row. The negative log-likelihood is convex in 1 / tau, so there
    is one answer; it changes no ranking and no accuracy. None where no tau in [1e-6, 1e6] is best: every
    target scores highest (the likelihood rises for ever as tau falls), or scores say nothing of the targets.

    >>> scores = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    >>> round(fit_temperature(scores, torch.tensor([0, 0, 0, 1])), 3)  # 4 / log 3: right three times in four
    3.641
    """
    scores = scores.double()
    low, high = -_WIDEST, _WIDEST  # of log(1 / tau)
    if _slope(scores, target, math.exp(low))[0] >= 0 or _slope(scores, target, math.exp(high))[0] <= 0:
        return None
    at = 0.0
    for _ in range(100):
        sharpness = math.exp(at)
        slope, curve = _slope(scores, target, sharpness)
        low, high = (at, high) if slope < 0 else (low, at)
        # Newton's step in log(1 / tau), or half the bracket where that would leave it.
        step = at - slope / (curve * sharpness + slope) if curve * sharpness + slope > 0 else math.nan
        following = step if low < step < high else (low + high) / 2
        if abs(following - at) < 1e-12:
            break
        at = following
    return math.exp(-at)


def _slope(scores: Tensor, target: Tensor, sharpness: float) -> tuple[float, float]:
    """First and second derivative of the mean negative log-likelihood by 1 / tau."""
    first = second = 0.0
    rows = max(1, _CELLS // scores.shape[1])
    for part, own in zip(scores.split(rows), target.split(rows), strict=True):
        # Distances from the best score: the mean then loses no digits to a common level.
        part = part - part.amax(1, keepdim=True)
        p = (sharpness * part).softmax(1)
        mean = (p * part).sum(1)
        first += float((mean - part.gather(1, own[:, None]).squeeze(1)).sum())
        second += float(((p * part.square()).sum(1) - mean.square()).sum())
    return first / len(scores), second / len(scores)
