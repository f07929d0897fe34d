"""Softmax cross-entropy with a temperature (Hinton et al. 2015, arXiv:1503.02531, section 2)."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


def cross_entropy_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, tau: float
) -> Float[Tensor, " n"]:
    r"""Negative log-likelihood of the target under a softmax of ``scores / tau``, in nats.

    $L = -\log \frac{e^{z_y/\tau}}{\sum_j e^{z_j/\tau}}$ with temperature tau > 0; tau = 1 is plain
    cross-entropy. No factor tau² is applied: the gradient on the scores is (p - y) / tau.

    >>> import torch
    >>> scores = torch.tensor([[3.2, 5.1, -1.7]])
    >>> round(cross_entropy_loss(scores, torch.tensor([0]), tau=1.0).item(), 4)
    2.0404
    """
    check_range("tau", tau, low=0, open_low=True, cure="the temperature divides the scores")
    return F.cross_entropy(scores if tau == 1 else scores / tau, target, reduction="none")
