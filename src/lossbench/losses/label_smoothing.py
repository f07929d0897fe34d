"""Cross-entropy against a smoothed target (Szegedy et al. 2016, arXiv:1512.00567, section 7)."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


def label_smoothing_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, smoothing: float
) -> Float[Tensor, " n"]:
    r"""Cross-entropy in nats against the target mixed with the uniform distribution over all C classes.

    $L = -\sum_j q_j \log p_j$ with $q = (1-\epsilon) 1_y + \epsilon/C$; smoothing $0 \le \epsilon < 1$, and 0
    is plain cross-entropy. The minimum is the entropy of q, not 0, and lies at finite scores: past
    $p_y = 1 - \epsilon + \epsilon/C$ a higher target score costs more.

    >>> import torch
    >>> scores = torch.tensor([[3.2, 5.1, -1.7]])
    >>> round(label_smoothing_loss(scores, torch.tensor([0]), smoothing=0.1).item(), 4)
    2.1404
    """
    check_range("smoothing", smoothing, low=0, high=1, open_high=True, cure="0 is plain cross-entropy")
    return F.cross_entropy(scores, target, reduction="none", label_smoothing=smoothing)
