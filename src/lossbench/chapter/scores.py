"""The chapter's example scores, and what a loss makes of a row of scores."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

NAMES = ("cat", "car", "frog")
SCORES = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]], dtype=torch.float64)
TARGET = torch.tensor([0, 1, 2])

Loss = Callable[[Tensor, Tensor], Tensor]


def row(*scores: float) -> Tensor:
    """Scores of one sample, (1, c) float64."""
    return torch.tensor([scores], dtype=torch.float64)


def cost(loss: Loss, scores: Tensor, target: int = 0) -> float:
    """Loss of one row of scores."""
    return loss(scores, torch.tensor([target])).item()


def slope(loss: Loss, scores: Tensor, target: int = 0) -> Tensor:
    """Gradient of the summed loss on the scores (n, c), every row having the same target."""
    leaf = scores.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, torch.full((len(leaf),), target)).sum(), leaf)
    return gradient


def shares(loss: Loss, scores: Tensor) -> Tensor:
    """Probabilities (c,) of all classes that a negative log-likelihood implies for one row of scores."""
    classes = scores.shape[1]
    return (-loss(scores.expand(classes, classes), torch.arange(classes))).exp()
