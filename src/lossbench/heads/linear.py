"""The linear classifier: scores are inner products with one template per class, plus a bias."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor, nn

from lossbench.validate import check_range

WEIGHT_STD = 0.01


class LinearHead(nn.Module):
    """scores = W x + b. Targets change nothing: a linear head has no margin.

    bias_trick: append a constant 1 to the embedding instead: the last weight of each class is its bias.

    Weights start at N(0, 0.01²) and biases at 0, so that an untrained head gives nearly equal scores.
    """

    def __init__(self, dim: int, classes: int, bias: bool = True, bias_trick: bool = False) -> None:
        super().__init__()
        check_range("dim", dim, low=1, integer=True)
        check_range("classes", classes, low=1, integer=True)
        if bias and bias_trick:
            raise ValueError("bias_trick=True: the appended 1 is the bias; set bias=false")
        weight = torch.randn(classes, dim) * WEIGHT_STD
        self.dim = dim
        self.weight = nn.Parameter(F.pad(weight, (0, 1)) if bias_trick else weight)
        self.bias = nn.Parameter(torch.zeros(classes)) if bias else None

    def forward(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n c"]:
        if self.weight.shape[1] > self.dim:
            embedding = F.pad(embedding, (0, 1), value=1.0)
        return F.linear(embedding, self.weight, self.bias)

    def cosine(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Cosine between each embedding and each class weight; the bias plays no part."""
        return F.linear(F.normalize(embedding), F.normalize(self.weight[:, : self.dim]))

    def untrained_scores(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: float = 1.0
    ) -> Float[Tensor, "n c"]:
        """Scores to expect before training, for the cosines to random prototypes: nearly equal."""
        return norm * WEIGHT_STD * self.dim**0.5 * cosine
