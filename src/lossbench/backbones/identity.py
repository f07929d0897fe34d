"""No backbone: pixels or coordinates are the embedding, so a linear head is the textbook's classifier."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from jaxtyping import Float
from torch import Tensor, nn


class Identity(nn.Module):
    """Flatten (n, ...) to (n, dim). No parameters."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.dim = prod(shape)

    def forward(self, rows: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        return rows.flatten(1)
