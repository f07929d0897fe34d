r"""AM-Softmax (Wang et al. 2018, arXiv:1801.05599): $\cos\theta_y - m$."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


def additive_cosine(
    cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, m: float
) -> Float[Tensor, "n c"]:
    r"""Subtract ``m`` from the target's cosine: AM-Softmax.

    $\psi(\theta_y) = \cos\theta_y - m$, m in [0, 1) in units of cosine. Wang et al. 2018, "Additive Margin
    Softmax for Face Verification", arXiv:1801.05599, eq. 6; the same as CosFace, arXiv:1801.09414, eq. 4.

    >>> import torch
    >>> additive_cosine(torch.tensor([[0.5, 0.25]]), torch.tensor([0]), m=0.25)
    tensor([[0.2500, 0.2500]])
    """
    check_range("m", m, low=0, high=1, open_high=True, cure="a cosine margin; did you pass degrees?")
    column = target[:, None]
    return cosine.scatter_add(1, column, cosine.new_full(column.shape, -m))
