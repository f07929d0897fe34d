"""Cosine heads: NormFace (Wang et al. 2017, arXiv:1704.06369) and every margin on the target's cosine."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor, nn

from lossbench.validate import check_range

Margin = Callable[[Tensor, Tensor], Tensor]


class CosineHead(nn.Module):
    """scores = s cos(x, w), the target's cosine changed by ``margin`` when targets are given.

    margin: (cosine (n, c), target (n,)) -> cosine (n, c), or None for NormFace.
    s: scale > 0, the inverse of a softmax temperature; None for the embedding's own norm ‖x‖, that is without
        feature normalisation, as in A-Softmax.

    A zero embedding has cosine 0 to every class. Weights start as random directions of length about 1.
    """

    def __init__(self, dim: int, classes: int, margin: Margin | None = None, *, s: float | None) -> None:
        super().__init__()
        check_range("dim", dim, low=1, integer=True)
        check_range("classes", classes, low=1, integer=True)
        if s is not None:
            check_range("s", s, low=0, open_low=True, cure="the scale multiplies cosines; 30 is common")
        self.weight = nn.Parameter(torch.randn(classes, dim) / dim**0.5)
        self.margin = margin
        self.s = s

    def forward(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n c"]:
        cosine = self.cosine(embedding)
        scale = embedding.norm(dim=1, keepdim=True) if self.s is None else self.s
        return scale * (cosine if target is None else self._margined(cosine, target))

    def cosine(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Cosine between each embedding and each class weight."""
        return F.linear(F.normalize(embedding), F.normalize(self.weight))

    def untrained_scores(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: float = 1.0
    ) -> Float[Tensor, "n c"]:
        """Training scores for the cosines to random prototypes that an untrained head would see.

        norm: length of the embeddings, which is the scale where the head has none of its own.
        """
        return (norm if self.s is None else self.s) * self._margined(cosine, target)

    def _margined(self, cosine: Tensor, target: Tensor) -> Tensor:
        return cosine if self.margin is None else self.margin(cosine, target)
