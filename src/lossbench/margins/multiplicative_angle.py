r"""A-Softmax (Liu et al. 2017, arXiv:1704.08063): $(-1)^k \cos(m\theta_y) - 2k$, blended with the cosine."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


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
