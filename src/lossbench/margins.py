"""Margins: pure functions (cosine, target) -> cosine with the target's entry changed."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


def additive_cosine(
    cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, m: float
) -> Float[Tensor, "n c"]:
    r"""Subtract ``m`` from the target's cosine: AM-Softmax.

    $\psi(\theta_y) = \cos\theta_y - m$, m in [0, 1) in units of cosine. Wang et al. 2018, "Additive Margin
    Softmax for Face Verification", arXiv:1801.05599, eq. 6; the same as CosFace, arXiv:1801.09414, eq. 4.

    >>> additive_cosine(torch.tensor([[0.5, 0.25]]), torch.tensor([0]), m=0.25)
    tensor([[0.2500, 0.2500]])
    """
    check_range("m", m, low=0, high=1, open_high=True, cure="a cosine margin; did you pass degrees?")
    column = target[:, None]
    return cosine.scatter_add(1, column, cosine.new_full(column.shape, -m))


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
    squared = 1 - own.square()
    inside = squared > 0
    # Not a clamp: sqrt is kept away from 0, where its slope is infinite, and the value stays exact.
    sine = torch.where(inside, torch.where(inside, squared, 1.0).sqrt(), 0.0)
    turned = own * math.cos(m) - sine * math.sin(m)
    changed = torch.where(own >= -math.cos(m), turned, own - m * math.sin(m))
    return cosine.scatter(1, column, changed)


def multiplicative_angle(
    cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, m: int, lam: float
) -> Float[Tensor, "n c"]:
    r"""Multiply the target's angle by ``m``, blended with the plain cosine: A-Softmax.

    $\psi_\lambda = \frac{\lambda\cos\theta_y + \psi(\theta_y)}{1 + \lambda}$ with
    $\psi(\theta) = (-1)^k \cos(m\theta) - 2k$ on $[k\pi/m, (k+1)\pi/m]$, k = 0 … m - 1: continuous, never
    increasing, from 1 to 1 - 2m. m ≥ 1 is a whole number, lam ≥ 0 has no unit (0 is the pure margin). Liu
    et al. 2017, "SphereFace", arXiv:1704.08063, section 3.2; the blend is that of arXiv:1612.02295.

    cos(mθ) is a polynomial in the cosine, so no arccos is taken and the gradient is exact and finite at ±1.

    >>> multiplicative_angle(torch.tensor([[0.5, 0.25]]), torch.tensor([0]), m=2, lam=0.0)
    tensor([[-0.5000,  0.2500]])
    """
    check_range("m", m, low=1, integer=True, cure="A-Softmax multiplies the angle by a whole number")
    check_range("lam", lam, low=0, cure="lam blends the margin with the plain cosine")
    column = target[:, None]
    own = cosine.gather(1, column)
    sector = (own.detach().clamp(-1, 1).acos() * m / math.pi).floor().clamp_(max=m - 1)
    sign = 1 - 2 * sector.remainder(2)
    psi = sign * _chebyshev(own, m) - 2 * sector
    return cosine.scatter(1, column, (lam * own + psi) / (1 + lam))


def _chebyshev(cosine: Tensor, m: int) -> Tensor:
    """cos(m θ) from cos θ."""
    before, now = torch.ones_like(cosine), cosine
    for _ in range(m - 1):
        before, now = now, 2 * cosine * now - before
    return now
