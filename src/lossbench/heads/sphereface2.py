"""SphereFace2 (Wen et al. 2021, arXiv:2108.01513), type C: one-vs-all scores with a margin on both sides."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lossbench.heads.autocast import without_autocast
from lossbench.heads.cosine import CosineHead
from lossbench.validate import check_range


class SphereFace2Head(CosineHead):
    r"""scores = s (g(cos x, w) - m) + b for the target, s (g(cos x, w) + m) + b for the others.

    $g(c) = 2 \left(\frac{c + 1}{2}\right)^t - 1$ stretches the upper cosines; b, one for all classes, is
    learned. Without targets the scores are s g(cos) + b.

    s: scale > 0, the paper's r. m: margin in [0, 1), in units of g. t: exponent >= 1; 1 is the cosine itself.

    The paper's loss is the one-vs-all loss with weights $\lambda \, l_w / s$ and $(1 - \lambda) \, l_w / s$,
    λ = 0.7. The factor $l_w$ = 50 is its reference code's, where the number of classes cancels against a mean
    over them.

    b starts where, at right angles, the C - 1 wrong classes pull it down as strongly as the target pulls it
    up; there the untrained loss is least. The reference code balances them with λ's weights, which is about
    log(λ / (1 - λ)) = 0.85 more. Its gradient on the cosine is straight-through, that of s c; here it is the
    exact one, $g'(c) = t \left(\frac{c + 1}{2}\right)^{t - 1}$ times that.
    """

    def __init__(self, dim: int, classes: int, *, m: float, s: float, t: float) -> None:
        check_range("m", m, low=0, high=1, open_high=True, cure="a margin on both sides of the threshold")
        check_range("s", s, low=0, open_low=True, cure="the scale multiplies stretched cosines")
        check_range("t", t, low=1, cure="below 1 the slope at cos = -1 is infinite")
        super().__init__(dim, classes, s=s)
        self.m = m
        self.t = t
        self.bias = nn.Parameter(torch.tensor(_balance(max(classes - 1, 1), s * m) - s * (2 * 0.5**t - 1)))

    @without_autocast
    def forward(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n c"]:
        cosine, norm = self.cosine(embedding), embedding.norm(dim=1, keepdim=True)
        similarity = self._similarity(cosine) if target is None else self.margined(cosine, target, norm)
        return self.scale(norm) * similarity + self.bias

    def margined(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> Float[Tensor, "n c"]:
        column = target[:, None]
        similarity = self._similarity(cosine).add_(self.m)
        return similarity.scatter_add_(1, column, cosine.new_full(column.shape, -2 * self.m))

    def untrained_scores(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: float = 1.0
    ) -> Float[Tensor, "n c"]:
        return super().untrained_scores(cosine, target, norm) + self.bias

    def _similarity(self, cosine: Tensor) -> Tensor:
        # Rounding takes cosines below -1, where a broken power would be NaN. The gradient needs the power's
        # base alone: the rest is in place.
        return ((cosine + 1) / 2).clamp_min(0).pow(self.t).mul_(2).sub_(1)


def _balance(rivals: int, push: float) -> float:
    """x with sigmoid(push - x) = rivals * sigmoid(push + x), the positive root of a quadratic in e^x."""
    half = 0.5 * math.log(rivals)
    # Past e^709 there is no float; a push of 600 is beyond every use.
    return -half - math.asinh(math.sinh(half) * math.exp(min(push, 600.0)))
