"""Turning an angle that is known by its cosine."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rotated(cosine: Float[Tensor, "n 1"], turn: Float[Tensor, "*#n"]) -> Float[Tensor, "n 1"]:
    r"""$\cos(\theta + g)$ of $\cos\theta$ with the exact gradient on both; the turn g is in radians.

    At $\cos\theta = \pm 1$, where the slope $\sin(\theta + g) / \sin\theta$ is infinite, its finite part
    $\cos g$ is taken.

    >>> rotated(torch.tensor([[1.0]]), torch.tensor(0.5))
    tensor([[0.8776]])
    """
    squared = 1 - cosine.square()
    inside = squared > 0
    # Not a clamp: sqrt is kept away from 0, where its slope is infinite, and the value stays exact.
    sine = torch.where(inside, torch.where(inside, squared, 1.0).sqrt(), 0.0)
    return cosine * turn.cos() - sine * turn.sin()


def rotated_falling(cosine: Float[Tensor, "n 1"], turn: Float[Tensor, "*#n"]) -> Float[Tensor, "n 1"]:
    r"""$\cos(\theta + g)$ as far as it falls with $\theta$, up to π - g; beyond, $\cos\theta - g\sin g$.

    The turn g is in [0, π/2) radians. The second part lies below the first, as in ArcFace's reference code.

    >>> rotated_falling(torch.tensor([[1.0], [-1.0]]), torch.tensor(0.5))
    tensor([[ 0.8776],
            [-1.2397]])
    """
    return torch.where(cosine >= -turn.cos(), rotated(cosine, turn), cosine - turn * turn.sin())


def with_slope(
    value: Float[Tensor, "n 1"], cosine: Float[Tensor, "n 1"], slope: Float[Tensor, "n 1"] | float
) -> Float[Tensor, "n 1"]:
    """``value`` exactly, with ``slope`` as its derivative by ``cosine``; neither carries a gradient itself.

    >>> cosine = torch.tensor([[0.5]], requires_grad=True)
    >>> with_slope(torch.tensor([[0.25]]), cosine, 3.0).backward()
    >>> cosine.grad
    tensor([[3.]])
    """
    return value + slope * (cosine - cosine.detach())
