r"""ArcFace (Deng et al. 2019, arXiv:1801.07698): $\cos(\theta_y + m)$."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.margins.angle import rotated_falling, with_slope
from lossbench.validate import check_range


def additive_angle(
    cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, m: float
) -> Float[Tensor, "n c"]:
    r"""Add ``m`` to the target's angle: ArcFace.

    $\psi(\theta_y) = \cos(\theta_y + m)$ for $\theta_y \le \pi - m$; beyond, $\cos\theta_y - m\sin m$, which
    lies lower still and goes on falling. m in [0, π/2) radians. Deng et al. 2019, arXiv:1801.07698, eq. 3;
    the part beyond π - m is that of its reference code.

    The gradient is the exact one, $\sin(\theta_y + m) / \sin\theta_y$, unlike the straight-through gradient
    of code that changes the angles in place. At $\cos\theta_y = 1$, where it is infinite, its finite part
    $\cos m$ is taken.

    >>> additive_angle(torch.tensor([[1.0, 0.25]]), torch.tensor([0]), m=0.5)
    tensor([[0.8776, 0.2500]])
    """
    check_range("m", m, low=0, high=math.pi / 2, open_high=True, cure="an angle in radians, not degrees")
    column = target[:, None]
    own = cosine.gather(1, column)
    return cosine.scatter(1, column, rotated_falling(own, own.new_full((), m)))


def additive_angle_straight_through(
    cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, m: float
) -> Float[Tensor, "n c"]:
    r"""``additive_angle`` by value, with slope 1 on the target's cosine: ArcFace changed in place.

    m in [0, π/2) radians. Widespread code (insightface's arcface_torch) changes the angles in place, out of
    autograd's sight. The margin then raises the loss, but its gradient lacks the factor
    $\sin(\theta_y + m) / \sin\theta_y$: for m = 0.5 that is 1.03 at a cosine of 0.3 and 4.24 at 0.99.

    >>> cosine = torch.tensor([[0.99, 0.25]], requires_grad=True)
    >>> additive_angle_straight_through(cosine, torch.tensor([0]), m=0.5)[0, 0].backward()
    >>> cosine.grad
    tensor([[1., 0.]])
    """
    column = target[:, None]
    own = cosine.gather(1, column)
    changed = additive_angle(own.detach(), torch.zeros_like(target), m=m)
    return cosine.scatter(1, column, with_slope(changed, own, 1.0))
