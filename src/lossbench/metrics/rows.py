"""The state shared by metrics over embeddings: every row seen, gathered from all processes."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lossbench.functional.cosine import check_rows


class RowMetric(Metric):
    """Keeps the embeddings as given, and their labels; ``rows`` returns all of them."""

    is_differentiable = False
    full_state_update = False

    embedding: list[Tensor] | Tensor
    label: list[Tensor] | Tensor

    def __init__(self, **kwargs: Any) -> None:
        """``kwargs`` are those of ``torchmetrics.Metric``."""
        super().__init__(**kwargs)
        self.add_state("embedding", default=[], dist_reduce_fx="cat")
        self.add_state("label", default=[], dist_reduce_fx="cat")

    def update(self, embedding: Tensor, label: Tensor) -> None:
        """Keep embedding (b, d) and label (b,) of integers; ValueError for other shapes."""
        check_rows(embedding, label)
        if isinstance(self.embedding, list) and isinstance(self.label, list):
            self.embedding.append(embedding.detach())
            self.label.append(label.detach())

    def rows(self) -> tuple[Tensor, Tensor]:
        """Return all embeddings (n, d) and labels (n,); RuntimeError before any update."""
        if isinstance(self.embedding, list) and not self.embedding:
            raise RuntimeError(f"{type(self).__name__} has seen no row: call update(embedding, label) first")
        return dim_zero_cat(self.embedding), dim_zero_cat(self.label)
