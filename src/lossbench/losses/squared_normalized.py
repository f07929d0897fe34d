"""Squared scores normalised to probabilities (de Brébisson and Vincent 2015, arXiv:1511.05042)."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


def squared_normalized_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, eps: float
) -> Float[Tensor, " n"]:
    r"""Negative log-likelihood of the target, in nats, under shares of squared scores.

    $L = -\log p_y$ with $p_j = \frac{z_j^2 + \epsilon}{\sum_k (z_k^2 + \epsilon)}$, the paper's
    log-spherical softmax; eps > 0 in the squared unit of the scores. Blind to signs: z and -z cost the same,
    so a negative target score is pushed further down. eps alone keeps a target score of zero finite; the
    slope near it reaches 1/sqrt(eps).

    >>> import torch
    >>> scores, target = torch.tensor([[3.2, 5.1, -1.7]]), torch.tensor([0])
    >>> [round(squared_normalized_loss(z, target, eps=1e-6).item(), 4) for z in (scores, -scores)]
    [1.3408, 1.3408]
    """
    check_range("eps", eps, low=0, open_low=True, cure="it keeps the loss finite at a target score of 0")
    column = target[:, None]
    squares = scores.square() + eps
    own = squares.gather(1, column).squeeze(1)
    return (squares.scatter(1, column, 0.0).sum(1) / own).log1p()
