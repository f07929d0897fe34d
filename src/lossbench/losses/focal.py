"""Focal loss over a softmax (Lin et al. 2017, arXiv:1708.02002, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


def focal_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, gamma: float
) -> Float[Tensor, " n"]:
    r"""Cross-entropy, in nats, weighted down where the target is already probable.

    $L = -(1-p_y)^\gamma \log p_y$ with p the softmax of the scores; gamma >= 0, and 0 is plain
    cross-entropy. The paper's loss is a sigmoid per class with a class weight alpha; here p is a softmax and
    no class is weighted.

    >>> import torch
    >>> scores = torch.tensor([[3.2, 5.1, -1.7]])
    >>> round(focal_loss(scores, torch.tensor([0]), gamma=2.0).item(), 4)
    1.5444
    """
    check_range("gamma", gamma, low=0, cure="0 is plain cross-entropy")
    column = target[:, None]
    # Not -inf: its log-sum-exp over no class at all would have no gradient.
    others = scores.scatter(1, column, torch.finfo(scores.dtype).min).logsumexp(1)
    against = others - scores.gather(1, column).squeeze(1)
    # p_y = sigmoid(-against) and 1 - p_y = sigmoid(against): both logarithms stay exact as p_y -> 1, where
    # (1 - p_y)**gamma itself has infinite slope for gamma < 1.
    return -(gamma * F.logsigmoid(against)).exp() * F.logsigmoid(-against)
