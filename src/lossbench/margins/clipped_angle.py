r"""SphereFace-R v1 (Liu et al. 2022, arXiv:2109.05565): $\cos(\min(m\theta_y, \pi))$."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.margins.angle import with_slope
from lossbench.margins.combined import phase_slope
from lossbench.validate import check_range


def clipped_angle(
    cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, m: float
) -> Float[Tensor, "n c"]:
    r"""Multiply the target's angle by ``m``, to π at most: SphereFace-R v1.

    $\psi(\theta_y) = \cos(\min(m\theta_y, \pi))$, m ≥ 1 without unit. Liu et al. 2022, "SphereFace Revived",
    arXiv:2109.05565. Its own code trains straight-through, with slope 1, and multiplies the loss by 50/s.

    The gradient $m \sin(m\theta_y) / \sin\theta_y$ is exact; at $\cos\theta_y = 1$ it is m². Beyond
    $\theta_y = \pi/m$ it is 0: targets that hard pull no more. For m = 2 that begins at 90 degrees, where
    untrained embeddings are.

    >>> clipped_angle(torch.tensor([[0.5, 0.25], [-0.9, 0.25]]), torch.tensor([0, 0]), m=2.0)
    tensor([[-0.5000,  0.2500],
            [-1.0000,  0.2500]])
    """
    check_range("m", m, low=1, cure="it multiplies the angle; 1 leaves it alone")
    column = target[:, None]
    own = cosine.gather(1, column)
    phase = m * own.detach().clamp(-1, 1).acos()
    slope = torch.where(phase <= math.pi, phase_slope(own.detach(), phase, m), 0.0)
    return cosine.scatter(1, column, with_slope(phase.clamp_max(math.pi).cos(), own, slope))
