"""How a loss of ours is held against another: from the cosines on, and whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from pytorch_metric_learning.distances import CosineSimilarity
from torch import Tensor, nn

from lossbench.fusion import fuse
from lossbench.heads import CosineHead
from lossbench.losses import cross_entropy_loss

COSINES = (-1.0, -0.99, -0.9, -0.5, 0.0, 0.3, 0.5, 0.9, 0.99, 1.0)
# The last is hard for CurricularFace beside one value of an opposite target and not beside the other.
RIVALS = (0.7, 0.4, 0.1, -0.2, -0.95)
DIM, CLASSES = 8, 1 + len(RIVALS)
AGREE = 1e-6
# Below this a number counts as 0, from which only rounding keeps it.
NOTHING = 1e-12

# (cosines (1, c), the target's first; targets) -> loss (1,)
Loss = Callable[[Tensor, Tensor], Tensor]
# (embeddings, weights, targets) -> the mean loss, its gradient on embeddings, and on weights where it has any
Whole = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]

cross_entropy = partial(cross_entropy_loss, tau=1.0)


@dataclass(frozen=True)
class Other:
    """Another implementation; why: one line where it differs.

    ours: what it is held against, where that is not the comparison's.
    whole: ours and theirs from the embeddings on. centers: of each class, among the weights.
    """

    name: str
    loss: Loss
    why: str = ""
    ours: Loss | None = None
    whole: tuple[Whole, Whole] | None = None
    centers: int = 1


@dataclass(frozen=True)
class Comparison:
    """One of our losses beside others."""

    name: str
    knobs: str
    ours: Loss
    others: tuple[Other, ...]
    cosines: tuple[float, ...] = COSINES
    dtype: torch.dtype = torch.float64


def measure(loss: Loss, cosine: float, dtype: torch.dtype = torch.float64) -> tuple[float, float]:
    """Loss at this target cosine, and its derivative by it."""
    cosines = torch.tensor([[cosine, *RIVALS]], dtype=dtype, requires_grad=True)
    value = loss(cosines, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(value.sum(), cosines)
    return value.item(), gradient[0, 0].item()


def ratio(theirs: float, ours: float) -> float:
    """theirs / ours: 1 where both are 0, infinite where only ours is."""
    theirs, ours = (0.0 if abs(number) < NOTHING else number for number in (theirs, ours))
    if theirs == ours:
        return 1.0
    return theirs / ours if ours else math.copysign(math.inf, theirs)


def whole_difference(ours: Whole, theirs: Whole, *, centers: int) -> float:
    """Largest difference of loss and gradients on random embeddings, relative to the largest entry."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, DIM, generator=generator, dtype=torch.float64).requires_grad_()
    w = torch.randn(10 * centers, DIM, generator=generator, dtype=torch.float64)
    target = torch.arange(60) % 10
    pairs = zip(ours(x, w, target), theirs(x, w, target), strict=True)
    return max(((b - a).abs().max() / a.abs().max()).item() for a, b in pairs)


def head_loss(head: CosineHead, norm: float = 1.0, loss: Loss = cross_entropy) -> Loss:
    """A head of ours from the cosines on."""
    head = head.double()
    return lambda cosine, target: loss(head.untrained_scores(cosine, target, norm), target)


def of_head(make: Callable[[int, int], CosineHead], norm: float = 1.0) -> Loss:
    return head_loss(make(DIM, CLASSES), norm)


def cosine_head(margin: Callable[..., Tensor] | None, *, s: float | None, **knobs: float) -> partial:
    """(dim, classes) -> a cosine head with this margin."""
    return partial(CosineHead, margin=margin and partial(margin, **knobs), s=s)


def scored(rule: Callable[..., Tensor], **knobs: Any) -> Loss:
    """Cross-entropy of training scores."""
    return lambda cosine, target: cross_entropy(rule(cosine, target, **knobs), target)


class Given(CosineSimilarity):
    """pytorch-metric-learning's distance object, told the cosines: all that follows is its own."""

    def __init__(self, cosine: Tensor) -> None:
        super().__init__()
        self.cosine = cosine

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.cosine


def pml_loss(kind: type[nn.Module], *, norm: float = 1.0, length: float = 1.0, **knobs: Any) -> Loss:
    """A classification loss of pytorch-metric-learning, for an embedding and class weights of these lengths.

    Further sub-centres of a class are opposite to the embedding.
    """

    def loss(cosine: Tensor, target: Tensor) -> Tensor:
        centers = knobs.get("sub_centers", 1)
        cosine = F.pad(cosine[:, :, None], (0, centers - 1), value=-1.0).flatten(1)
        inner = kind(num_classes=CLASSES, embedding_size=DIM, distance=Given(cosine), **knobs)
        axis = F.pad(torch.ones(1, 1, dtype=torch.float64), (0, DIM - 1))
        inner.W = nn.Parameter(length * axis.T.repeat(1, cosine.shape[1]))
        return inner(norm * axis, target)[None]

    return loss


def pml(
    kind: type[nn.Module],
    head: Callable[[int, int], nn.Module],
    why: str = "",
    *,
    norm: float = 1.0,
    length: float = 1.0,
    **knobs: Any,
) -> Other:
    """pytorch-metric-learning's counterpart of a head, at given cosines and whole."""
    whole = (whole_head(head), whole_pml(kind, **knobs))
    loss = pml_loss(kind, norm=norm, length=length, **knobs)
    return Other(f"PML {kind.__name__}", loss, why, whole=whole, centers=knobs.get("sub_centers", 1))


def whole_head(make: Callable[[int, int], nn.Module]) -> Whole:
    """A head of ours and cross-entropy as they are trained, in one pass where there is one."""

    def run(x: Tensor, w: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        head = make(x.shape[1], int(target.max()) + 1).double()
        head.weight = nn.Parameter(w.clone())
        fused = fuse(head, cross_entropy)
        loss = fused(x, target) if fused else cross_entropy(head(x, target), target)
        return loss.mean(), *torch.autograd.grad(loss.mean(), (x, head.weight))

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
    """Cross-entropy of scores made of cosines, targets and norms."""

    def run(x: Tensor, w: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        w = w.clone().requires_grad_()
        cosine = F.linear(F.normalize(x), F.normalize(w))
        loss = cross_entropy(rule(cosine, target, x.norm(dim=1, keepdim=True)), target).mean()
        return loss, *torch.autograd.grad(loss, (x, w))

    return run


def whole_embeddings(function: Callable[[Tensor, Tensor], Tensor]) -> Whole:
    """A loss on embeddings alone."""

    def run(x: Tensor, w: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        loss = function(x, target).mean()
        return loss, *torch.autograd.grad(loss, (x,))

    return run
