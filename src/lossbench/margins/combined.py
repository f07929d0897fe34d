r"""The combined margin (Deng et al. 2019, arXiv:1801.07698, eq. 4): $\cos(m_1\theta_y + m_2) - m_3$."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.margins.angle import with_slope
from lossbench.validate import check_range


def combined(
    cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, m1: float, m2: float, m3: float
) -> Float[Tensor, "n c"]:
    r"""Multiply the target's angle by ``m1``, add ``m2`` to it, subtract ``m3`` from its cosine, all at once.

    $\psi(\theta_y) = (-1)^k \cos\varphi - 2k - m_3$ with $\varphi = m_1\theta_y + m_2$ and
    $k = \lfloor\varphi/\pi\rfloor$. m1 ≥ 1 without unit, m2 in [0, π/2) radians, m3 in [0, 1) in units of
    cosine. Deng et al. 2019, arXiv:1801.07698, eq. 4, is $\cos\varphi - m_3$: k = 0. Past φ = π that would
    rise again with the angle; it is continued as A-Softmax does, without a jump and never rising.

    (1, 0, m3) is AM-Softmax, (1, m2, 0) ArcFace up to $\theta_y = \pi - m_2$, (m1, 0, 0) A-Softmax without
    blend, and for m1 that is no whole number SphereFace-R v0 (Liu et al. 2022, arXiv:2109.05565). Widespread
    code (insightface's arcface_torch) drops m1 and m2 where m3 > 0. SphereFace-R's own code trains
    straight-through, with slope 1.

    The gradient $m_1 |\sin\varphi| / \sin\theta_y$ is exact. At $\cos\theta_y = \pm 1$, where it is infinite
    or 0/0, it is $m_1^2 |\cos\varphi|$: the limit where there is one, else the finite part, without its sign.

    >>> combined(torch.tensor([[1.0, 0.25]]), torch.tensor([0]), m1=1.0, m2=0.3, m3=0.2)
    tensor([[0.7553, 0.2500]])
    """
    check_range("m1", m1, low=1, cure="it multiplies the angle; 1 leaves it alone")
    check_range("m2", m2, low=0, high=math.pi / 2, open_high=True, cure="an angle in radians, not degrees")
    check_range("m3", m3, low=0, high=1, open_high=True, cure="a cosine margin; did you pass degrees?")
    column = target[:, None]
    own = cosine.gather(1, column)
    angle = own.detach().clamp(-1, 1).acos()
    phase = m1 * angle + m2
    turns = (phase / math.pi).floor()
    value = (1 - 2 * turns.remainder(2)) * phase.cos() - 2 * turns - m3
    return cosine.scatter(1, column, with_slope(value, own, phase_slope(own.detach(), phase, m1)))


def phase_slope(cosine: Float[Tensor, "n 1"], phase: Float[Tensor, "n 1"], m1: float) -> Float[Tensor, "n 1"]:
    r"""Size of the derivative of $\cos\varphi$ by $\cos\theta$, for a phase φ that is m1 θ and a constant."""
    squared = 1 - cosine.square()
    inside = squared > 0
    sine = torch.where(inside, squared, 1.0).sqrt()
    return torch.where(inside, m1 * phase.sin().abs() / sine, m1**2 * phase.cos().abs())
