"""A multilayer perceptron for vectors and small images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from lossbench.validate import check_range


class MLP(nn.Module):
    """Linear layers with ReLU between them; the embedding itself is linear.

    hidden: widths of the hidden layers; dim: embedding size; dropout: share of the embedding set to zero.
    """

    def __init__(self, shape: Sequence[int], *, hidden: Sequence[int], dim: int, dropout: float) -> None:
        super().__init__()
        for width in (*hidden, dim):
            check_range("hidden or dim", width, low=1, integer=True)
        check_range("dropout", dropout, low=0, high=1, open_high=True)
        widths = [prod(shape), *hidden, dim]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1], nn.Dropout(dropout))
        self.dim = dim

    def forward(self, rows: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        return self.layers(rows)
