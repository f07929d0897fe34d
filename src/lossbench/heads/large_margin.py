"""L-Softmax (Liu et al. 2016, arXiv:1612.02295): a margin on the angle, lengths left as they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor, nn

from lossbench.heads.linear import WEIGHT_STD
from lossbench.heads.scheduled import Margin, scheduled
from lossbench.validate import check_range


class LargeMarginHead(nn.Module):
    """scores = ‖w_j‖ ‖x‖ cos(x, w_j), without bias, the target's cosine changed by ``margin``.

    margin: (cosine (n, c), target (n,)) -> cosine (n, c); it is given the column of target cosines alone.

    Weights start at N(0, 0.01²), as a linear head's.
    """

    def __init__(self, dim: int, classes: int, margin: Margin) -> None:
        super().__init__()
        check_range("dim", dim, low=1, integer=True)
        check_range("classes", classes, low=1, integer=True)
        self.weight = nn.Parameter(torch.randn(classes, dim) * WEIGHT_STD)
        self.margin = scheduled(margin)

    def forward(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n c"]:
        scores = F.linear(embedding, self.weight)
        if target is None:
            return scores
        own = self.weight[target]
        length = (embedding.norm(dim=1) * own.norm(dim=1))[:, None]
        cosine = F.cosine_similarity(embedding, own)[:, None]
        changed = length * self.margin(cosine, torch.zeros_like(target))
        return scores.scatter(1, target[:, None], changed)

    def cosine(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Cosine between each embedding and each class weight."""
        return F.linear(F.normalize(embedding), F.normalize(self.weight))

    def untrained_scores(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: float = 1.0
    ) -> Float[Tensor, "n c"]:
        """Scores to expect before training, for the cosines to random prototypes: nearly equal."""
        return norm * WEIGHT_STD * self.weight.shape[1] ** 0.5 * cosine
