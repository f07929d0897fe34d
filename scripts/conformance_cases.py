"""Which of our losses is held against which other implementation, and why they differ where they do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import peers
import torch
import torch.nn.functional as F  # noqa: N812
from peers import Tensor
from pytorch_metric_learning import distances, losses, reducers
from torch import nn

from lossbench import embedding_losses, heads, margins
from lossbench.losses import cross_entropy_loss, hinge_mean_loss, one_vs_all_loss, squared_hinge_loss

COSINES = (-1.0, -0.99, -0.9, -0.5, 0.0, 0.3, 0.5, 0.9, 0.99, 1.0)
RIVALS = (0.7, 0.4, 0.1, -0.2, -0.6)
DIM = 8

# (cosines (1, c), the target's first; targets) -> loss (1,)
Loss = Callable[[Tensor, Tensor], Tensor]
# (embeddings, weights, targets) -> mean loss, its gradients on embeddings and weights
Whole = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]
cross_entropy = partial(cross_entropy_loss, tau=1.0)


@dataclass(frozen=True)
class Other:
    """Another implementation; why: one line where it differs. whole: ours and theirs from embeddings on."""

    name: str
    loss: Loss
    why: str = ""
    whole: tuple[Whole, Whole] | None = None


@dataclass(frozen=True)
class Comparison:
    """One of our losses beside others, at equal knobs."""

    name: str
    knobs: str
    ours: Loss
    others: tuple[Other, ...]
    cosines: tuple[float, ...] = COSINES
    dtype: torch.dtype = torch.float64


class Given(distances.CosineSimilarity):
    """pytorch-metric-learning's distance object, with the cosines handed in: all after them is its own."""

    def __init__(self, cosine: Tensor) -> None:
        super().__init__()
        self.cosine = cosine

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.cosine


def column(length: float) -> Tensor:
    """A vector of the given length."""
    return F.pad(torch.tensor([[length]], dtype=torch.float64), (0, DIM - 1))


def ours(head: heads.CosineHead, norm: float = 1.0) -> Loss:
    """A head of ours from the cosines on, and cross-entropy."""
    head = head.double()
    norms = torch.full((1, 1), norm, dtype=torch.float64)

    def loss(cosine: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(head.scale(norms) * head.margined(cosine, target, norms), target)

    return loss


def scored(rule: Callable[..., Tensor], **knobs: Any) -> Loss:
    """Cross-entropy of somebody's training scores."""
    return lambda cosine, target: cross_entropy(rule(cosine, target, **knobs), target)


def pml(kind: type[nn.Module], *, norm: float = 1.0, length: float = 1.0, **knobs: Any) -> Loss:
    """pytorch-metric-learning's loss of an embedding and class weights of these lengths, cosines as given."""

    def loss(cosine: Tensor, target: Tensor) -> Tensor:
        classes = cosine.shape[1]
        if "sub_centers" in knobs:
            lower = torch.full_like(cosine, -1.0)
            cosine = torch.stack([cosine, lower, lower], 2).flatten(1)
        inner = kind(num_classes=classes, embedding_size=DIM, distance=Given(cosine), **knobs)
        inner.W = nn.Parameter(column(length).T.expand(-1, cosine.shape[1]).clone())
        return inner(column(norm), target)[None]

    return loss


def whole_head(make: Callable[[int, int], nn.Module]) -> Whole:
    def run(x: Tensor, w: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        head = make(x.shape[1], int(target.max()) + 1).double()
        w = w.clone().requires_grad_()
        scores = torch.func.functional_call(head, {"weight": w}, (x, target))
        loss = cross_entropy(scores, target).mean()
        return loss, *torch.autograd.grad(loss, (x, w))

    return run


def whole_pml(kind: type[nn.Module], **knobs: Any) -> Whole:
    def run(x: Tensor, w: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        inner = kind(num_classes=int(target.max()) + 1, embedding_size=x.shape[1], **knobs)
        inner.W = nn.Parameter(w.T.clone())
        loss = inner(x, target)
        on_x, on_w = torch.autograd.grad(loss, (x, inner.W))
        return loss, on_x, on_w.T

    return run


def whole_scores(rule: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Whole:
    """Of scores that are computed from cosines, targets and norms."""

    def run(x: Tensor, w: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        w = w.clone().requires_grad_()
        cosine = F.linear(F.normalize(x), F.normalize(w))
        loss = F.cross_entropy(rule(cosine, target, x.norm(dim=1, keepdim=True)), target)
        return loss, *torch.autograd.grad(loss, (x, w))

    return run


def whole_embeddings(loss_function: Callable[[Tensor, Tensor], Tensor]) -> Whole:
    def run(x: Tensor, w: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        loss = loss_function(x, target).mean()
        return loss, *torch.autograd.grad(loss, (x,))

    return run


def pml_head(
    name: str,
    kind: type[nn.Module],
    head: Callable[[int, int], nn.Module],
    why: str = "",
    *,
    norm: float = 1.0,
    length: float = 1.0,
    **knobs: Any,
) -> Other:
    """pytorch-metric-learning's counterpart of a head, at given cosines and from embeddings on."""
    whole = (whole_head(head), whole_pml(kind, **knobs))
    return Other(f"PML {name}", pml(kind, norm=norm, length=length, **knobs), why, whole)
