r"""AdaFace (Kim et al. 2022, arXiv:2204.00964): $\cos(\theta_y - m k) - (m + m k)$, k from the norm ‖x‖."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.heads.cosine import CosineHead
from lossbench.margins.angle import rotated, with_slope
from lossbench.validate import check_range

SHORTEST, LONGEST = 1e-3, 100.0
EPS = 1e-3


class AdaFaceHead(CosineHead):
    r"""scores = s cos(x, w), but $s (\cos(\theta_y - m k) - (m + m k))$ for the target; k follows the norm.

    $k = \mathrm{clip}(h (\lVert x\rVert - \mu) / (\sigma + 0.001), -1, 1)$: the norm stands for the quality
    of the image. k = -1 is ArcFace with the margin m, k = 0 AM-Softmax, k = 1 lowers the target's cosine by
    2m and its angle by m. Norms count as at least 0.001 and at most 100, and carry no gradient here. mu and
    sigma, at first 20 and 100, follow the mean and the standard deviation (n - 1) of the norms of each
    training batch before it is scored; one sample alone has no deviation and leaves sigma as it is.

    m: margin in [0, 1), in units of cosine and in radians. h: >= 0 without unit; 0.333 puts two norms in
    three within k = ±0.333. alpha: rate of mu and sigma in (0, 1]; the paper's is 0.01, that of the reference
    code's head, unless told otherwise, 1: the batch alone. s: scale > 0.

    $\theta_y - m k$ is held in [0, π], as in the reference code, where the easiest and the hardest targets
    thus lose their gradient (and all cosines and angles stay 0.001 off their ends). Here a held target has
    slope 1, that of its plain cosine; every other target has its exact gradient.
    """

    norm_mean: Tensor
    norm_std: Tensor

    def __init__(self, dim: int, classes: int, *, m: float, h: float, alpha: float, s: float) -> None:
        super().__init__(dim, classes, s=s)
        check_range(
            "m", m, low=0, high=1, open_high=True, cure="a margin on cosine and angle, not in degrees"
        )
        check_range("h", h, low=0, cure="0 gives all norms the same margin, that of AM-Softmax")
        check_range("alpha", alpha, low=0, high=1, open_low=True, cure="the rate of the norms' statistics")
        self.m = m
        self.h = h
        self.alpha = alpha
        self.register_buffer("norm_mean", torch.tensor(20.0))
        self.register_buffer("norm_std", torch.tensor(100.0))

    def margined(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> Float[Tensor, "n c"]:
        column = target[:, None]
        own = cosine.gather(1, column)
        quality = self.quality(norm)
        turned = _rotated_within(own, -self.m * quality)
        return cosine.scatter(1, column, turned - self.m * (1 + quality))

    def quality(self, norm: Float[Tensor, "n 1"]) -> Float[Tensor, "n 1"]:
        """k in [-1, 1]: how far a norm is above the norms seen so far."""
        apart = norm.detach().clamp(SHORTEST, LONGEST) - self.norm_mean
        return (self.h * apart / (self.norm_std + EPS)).clamp(-1, 1)

    def observe(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> None:
        held = norm.clamp(SHORTEST, LONGEST)
        self.norm_mean.lerp_(held.mean(), self.alpha)
        if len(held) > 1:
            self.norm_std.lerp_(held.std(), self.alpha)


def _rotated_within(cosine: Float[Tensor, "n 1"], turn: Float[Tensor, "n 1"]) -> Float[Tensor, "n 1"]:
    """cos(θ + g) with θ + g held in [0, π]; slope 1 where it is held."""
    forth = turn > 0
    held = torch.where(forth, cosine < -turn.cos(), cosine > turn.cos())
    end = 1 - 2 * forth.to(cosine.dtype)
    return torch.where(held, with_slope(end, cosine, 1.0), rotated(cosine, turn))
