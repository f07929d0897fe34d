"""No head at all: embedding losses look at the embeddings themselves."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn


class EmbeddingHead(nn.Module):
    """Hand the embedding on, for a loss that takes the head's place (InfoNCE, SupCon, triplets, proxies).

    dim, classes: sizes of the embedding and of the training set, which such a head has no use for.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()

    def forward(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n d"]:
        return embedding
