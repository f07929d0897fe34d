r"""CurricularFace (Huang et al. 2020, arXiv:2004.00288): hard rivals score $c_j (t + c_j)$."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.heads.cosine import CosineHead
from lossbench.heads.scheduled import Margin

RATE = 0.01


class CurricularFaceHead(CosineHead):
    r"""scores = s cos(x, w) with ``margin`` on the target, and hard rivals weighted up as training goes on.

    A rival j is hard where $\cos\theta_j > T$, the target's cosine as ``margin`` leaves it; its cosine
    becomes $\cos\theta_j (t + \cos\theta_j)$. t starts at 0, which weighs hard rivals down (and turns
    negative cosines positive), and follows the targets as they get easier: $t \leftarrow 0.99\,t +
    0.01\,\overline{\cos\theta_y}$ with the mean over a training batch, without margin, before the batch is
    scored.

    margin: (cosine (n, c), target (n,)) -> cosine (n, c); the paper's is ArcFace's, $T = \cos(\theta_y + m)$.
    s: scale > 0.

    t carries no gradient, nor does the choice of hard rivals; a hard rival's own slope is $t +
    2\cos\theta_j$. Past $\theta_y = \pi - m$ the reference code holds rivals against $\cos(\theta_y + m)$,
    which rises again there; here against the lower value that the target really has.
    """

    t: Tensor

    def __init__(self, dim: int, classes: int, margin: Margin, *, s: float) -> None:
        super().__init__(dim, classes, margin, s=s)
        self.register_buffer("t", torch.tensor(0.0))

    def margined(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> Float[Tensor, "n c"]:
        column = target[:, None]
        own = super().margined(cosine.gather(1, column), torch.zeros_like(target), norm)
        rivals = torch.where(cosine > own, cosine * (self.t + cosine), cosine)
        return rivals.scatter(1, column, own)

    def observe(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> None:
        self.t.lerp_(cosine.gather(1, target[:, None]).mean(), RATE)
