"""Squared error on softmax probabilities (Brier 1950, Monthly Weather Review 78, pages 1-3)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


def mse_loss(scores: Float[Tensor, "n c"], target: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    r"""Squared distance between the softmax of the scores and the one-hot target, in [0, 2].

    $L = \sum_j (p_j - y_j)^2$: the sum over the classes and not their mean, so the Brier score of one
    sample. Its gradient on the scores vanishes at confident errors as it does at confident hits.

    >>> import torch
    >>> round(mse_loss(torch.tensor([[3.2, 5.1, -1.7]]), torch.tensor([0])).item(), 4)
    1.5122
    """
    others = scores.softmax(1).scatter(1, target[:, None], 0.0)
    # 1 - p_y is the sum of the others: no cancellation as p_y -> 1, and no one-hot matrix.
    return others.square().sum(1) + others.sum(1).square()
