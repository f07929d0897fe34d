"""Comparisons of the losses without a softmax over classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from pytorch_metric_learning.losses import NTXentLoss, SupConLoss
from pytorch_metric_learning.reducers import DoNothingReducer
from torch import Tensor, nn

from lossbench import heads, margins
from lossbench.embedding_losses import info_nce_loss, sup_con_loss
from lossbench.losses import hinge_mean_loss, one_vs_all_loss, squared_hinge_loss
from peers import formulas
from peers.measure import CLASSES, COSINES, DIM, Comparison, Loss, Other, Whole, head_loss, whole_embeddings

# At ±1 the slope by which a cosine is made of embeddings is infinite.
INSIDE = COSINES[1:-1]


def sphereface2() -> Comparison:
    head = heads.SphereFace2Head(DIM, CLASSES, m=0.4, s=8.0, t=3.0)
    ours = head_loss(head, loss=partial(one_vs_all_loss, positive=0.7 * 50 / 8, negative=0.3 * 50 / 8))
    knobs = {"s": 8.0, "m": 0.4, "t": 3.0, "lam": 0.7, "factor": 50.0}
    theirs = partial(formulas.opensphere_sphereface2, bias=float(head.bias.detach()), **knobs)
    why = "straight-through: the gradient lacks the slope of the stretch, 3 ((cos + 1)/2)²"
    other = Other("opensphere SphereFace2", theirs, why)
    return Comparison("SphereFace2", "s = 8, m = 0.4, t = 3, λ = 0.7, equal b", ours, (other,))


def uniface() -> Comparison:
    head = heads.UniFaceHead(DIM, CLASSES, partial(margins.additive_cosine, m=0.4), s=64.0)
    ours = head_loss(head, loss=partial(one_vs_all_loss, positive=1.0, negative=1.0))
    theirs = partial(formulas.uniface, s=64.0, m=0.4, l=1.0, bias=float(head.bias.detach()))
    why = "scores are clamped to ±s: targets with cos < m + b/s - 1 = -0.536 have no gradient"
    other = Other("UniFace's own", theirs, why)
    return Comparison("UniFace", "s = 64, m = 0.4, l = 1, equal b", ours, (other,))


def hinge() -> Comparison:
    def of_scores(loss: Callable[..., Tensor], **knobs: float | str) -> Loss:
        return lambda cosine, target: loss(4 * cosine, target, **knobs)

    theirs = partial(of_scores, F.multi_margin_loss, margin=1.0, reduction="none")
    squared = of_scores(squared_hinge_loss, delta=1.0)
    all_classes = "torch divides by the number C of classes, ours by C - 1"
    undivided = "torch divides by the number C of classes, ours by nothing"
    others = (
        Other("torch multi_margin_loss", theirs(p=1), all_classes),
        Other(
            "torch multi_margin_loss(p=2) (ours: squared_hinge_loss)", theirs(p=2), undivided, ours=squared
        ),
    )
    ours = of_scores(hinge_mean_loss, delta=1.0)
    return Comparison("Mean hinge", "scores = 4 cos, delta = 1, C = 6", ours, others)


def first(loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """The loss of the first of a batch; the second is its positive, the others are one class of their own."""

    def of_cosines(cosine: Tensor, target: Tensor) -> Tensor:
        away = (1 - cosine[0] ** 2).sqrt()
        others = torch.cat([cosine.T, away.diag()], 1)
        anchor = F.pad(torch.ones_like(cosine[:, :1]), (0, len(others)))
        labels = torch.tensor([0, 0] + [1] * (len(others) - 1))
        return loss(torch.cat([anchor, others]), labels)[:1]

    return of_cosines


def of_pml(kind: type[nn.Module], tau: float) -> Loss:
    inner = kind(temperature=tau, reducer=DoNothingReducer())
    return first(lambda x, target: inner(x, target)["loss"]["losses"])


def whole(ours: Callable[..., Tensor], kind: type[nn.Module], tau: float) -> tuple[Whole, Whole]:
    theirs = kind(temperature=tau)
    return whole_embeddings(partial(ours, tau=tau)), whole_embeddings(lambda x, target: theirs(x, target))


def sup_con() -> Comparison:
    ours = first(partial(sup_con_loss, tau=0.1))
    why = (
        "the means differ: PML leaves out samples without a positive, which count 0 in ours, "
        "and has loss 0 for a batch of one class"
    )
    pml = Other("PML SupConLoss", of_pml(SupConLoss, 0.1), why, whole=whole(sup_con_loss, SupConLoss, 0.1))
    theirs = first(partial(formulas.supcontrast, tau=0.1, base=0.07))
    own = Other("SupContrast SupConLoss", theirs, "times τ over a base temperature of 0.07")
    return Comparison("SupCon", "tau = 0.1", ours, (pml, own), cosines=INSIDE)


def info_nce() -> Comparison:
    ours = first(partial(info_nce_loss, tau=0.07))
    why = "the means differ: PML's is over pairs, ours over samples; equal for classes of equal size"
    pml = Other("PML NTXentLoss", of_pml(NTXentLoss, 0.07), why, whole=whole(info_nce_loss, NTXentLoss, 0.07))
    return Comparison("InfoNCE", "tau = 0.07", ours, (pml,), cosines=INSIDE)


def info_nce_single_precision() -> Comparison:
    ours = first(partial(info_nce_loss, tau=0.01))
    why = "probabilities are rounded: no loss above 87.3, none below 1e-7, and no gradient there"
    pml = Other("PML NTXentLoss", of_pml(NTXentLoss, 0.01), why)
    return Comparison("InfoNCE, float32", "tau = 0.01", ours, (pml,), cosines=INSIDE, dtype=torch.float32)


LOSSES = (sphereface2, uniface, hinge, sup_con, info_nce, info_nce_single_precision)
