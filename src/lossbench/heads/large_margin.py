"""L-Softmax (Liu et al. 2016, arXiv:1612.02295): a margin on the angle, lengths left as they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.heads.autocast import without_autocast
from lossbench.heads.linear import LinearHead
from lossbench.heads.scheduled import Margin, scheduled


class LargeMarginHead(LinearHead):
    """scores = ‖w_j‖ ‖x‖ cos(x, w_j), without bias, the target's cosine changed by ``margin``.

    margin: (cosine (n, c), target (n,)) -> cosine (n, c); it is given the column of target cosines alone.
    """

    def __init__(self, dim: int, classes: int, margin: Margin) -> None:
        super().__init__(dim, classes, bias=False)
        self.margin = scheduled(margin)

    @without_autocast
    def forward(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n c"]:
        scores = super().forward(embedding)
        if target is None:
            return scores
        own = self.weight[target]
        length = (embedding.norm(dim=1) * own.norm(dim=1))[:, None]
        cosine = F.cosine_similarity(embedding, own)[:, None]
        changed = length * self.margin(cosine, torch.zeros_like(target))
        return scores.scatter(1, target[:, None], changed)
