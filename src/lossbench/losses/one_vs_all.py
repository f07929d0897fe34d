"""One binary cross-entropy per class, as UniFace and SphereFace2 (arXiv:2108.01513) use it."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


def one_vs_all_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, positive: float, negative: float
) -> Float[Tensor, " n"]:
    r"""Every class decides for itself whether the sample is one of its own: summed costs in nats.

    $L = w_+ \log(1 + e^{-z_y}) + w_- \sum_{j \ne y} \log(1 + e^{z_j})$ with weights positive $w_+ \ge 0$ and
    negative $w_- \ge 0$: the sum over the classes and not their mean. Unlike a softmax it is not blind to a
    constant added to all scores.

    >>> import torch
    >>> scores = torch.tensor([[3.2, 5.1, -1.7]])
    >>> round(one_vs_all_loss(scores, torch.tensor([0]), positive=1.0, negative=1.0).item(), 4)
    5.3138
    """
    check_range("positive", positive, low=0, cure="the weight of the target's own decision")
    check_range("negative", negative, low=0, cure="the weight of each wrong class's decision")
    column = target[:, None]
    # In place on softplus's own result: one (n, c) temporary, whose gradient needs the scores alone.
    wrong = F.softplus(scores).scatter_(1, column, 0.0).sum(1)
    return positive * F.softplus(-scores.gather(1, column))[:, 0] + negative * wrong
