"""UniFace (Zhou et al. 2023, "UniFace: Unified Cross-Entropy Loss for Deep Face Recognition", ICCV)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lossbench.heads.autocast import without_autocast
from lossbench.heads.cosine import CosineHead
from lossbench.heads.scheduled import Margin


class UniFaceHead(CosineHead):
    r"""scores = s cos(x, w) - b with one learned b, the target's cosine changed by ``margin``.

    margin: (cosine (n, c), target (n,)) -> cosine (n, c); the paper's is AM-Softmax's, on the cosine.
    s: scale > 0.

    With the one-vs-all loss, positive 1 and negative l, and a margin m on the cosine, this is the paper's
    $\log(1 + e^{-(s(\cos\theta_y - m) - b)}) + l \sum_{j \ne y} \log(1 + e^{s\cos\theta_j - b})$: each class
    decides for itself, all at the one cosine b / s. It is not cross-entropy, at m = 0 and l = 1 neither.
    Under a softmax b cancels: ``head=uniface loss=ce`` is AM-Softmax, and b stays where it is.

    b starts at log(10 C), as in the reference code where it samples no classes: at right angles the C - 1
    wrong classes then cost 0.1 together, which leaves room for cosines that scatter about 0. The reference
    code clamps scores to [-s, s], and so gives no gradient to targets with cos < m + b/s - 1; here all have
    theirs.
    """

    def __init__(self, dim: int, classes: int, margin: Margin, *, s: float) -> None:
        super().__init__(dim, classes, margin, s=s)
        self.bias = nn.Parameter(torch.tensor(math.log(10 * classes)))

    @without_autocast
    def forward(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n c"]:
        return super().forward(embedding, target) - self.bias

    def untrained_scores(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: float = 1.0
    ) -> Float[Tensor, "n c"]:
        return super().untrained_scores(cosine, target, norm) - self.bias
