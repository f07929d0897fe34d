"""Comparisons of heads that multiply the target's angle, or whose margin needs norms or a state."""

from __future__ import annotations

import math
from functools import partial

import torch
from pytorch_metric_learning import losses as pml_losses
from torch import Tensor

from lossbench import heads, margins
from peers import formulas
from peers.measure import (
    CLASSES,
    DIM,
    Comparison,
    Loss,
    Other,
    cosine_head,
    cross_entropy,
    head_loss,
    of_head,
    pml,
    pml_loss,
    scored,
    whole_head,
    whole_scores,
)

UNPROTECTED = (
    "all classes pass a square root that is not protected at 0: any cosine of ±1 gives NaN, a rival's too"
)
SECTOR = "at cos = -1 it counts one sector too many: the slope has the wrong sign"


def a_softmax() -> Comparison:
    head, blended = (cosine_head(margins.multiplicative_angle, s=None, m=4, lam=lam) for lam in (0.0, 5.0))
    lam = "it has no λ: neither the blend with the plain cosine nor the annealing of the paper's recipe"
    straight = "straight-through: the gradient lacks |ψ'|, up to m² = 16; cosines are clamped to ±(1 - 1e-5)"
    plain = pml_loss(pml_losses.SphereFaceLoss, norm=10.0, margin=4)
    others = (
        pml(pml_losses.SphereFaceLoss, head, SECTOR, norm=10.0, margin=4),
        Other("PML SphereFaceLoss (ours: lam = 5)", plain, lam, ours=of_head(blended, norm=10.0)),
        Other("opensphere SphereFace", scored(formulas.opensphere_sphereface, s=10.0, m=4), straight),
    )
    return Comparison("A-Softmax", "m = 4, lam = 0, ‖x‖ = 10", of_head(head, norm=10.0), others)


def l_softmax() -> Comparison:
    margin = partial(margins.multiplicative_angle, m=3, lam=0.0)

    def ours(cosine: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(1.5 * 4 * margin(cosine, target), target)

    head, why = partial(heads.LargeMarginHead, margin=margin), f"{SECTOR}; no λ"
    other = pml(pml_losses.LargeMarginSoftmaxLoss, head, why, norm=4.0, length=1.5, margin=3)
    return Comparison("L-Softmax", "m = 3, lam = 0, ‖w‖ = 1.5, ‖x‖ = 4", ours, (other,))


def sphereface_r() -> Comparison:
    def opensphere(*, clip: bool) -> Loss:
        loss = scored(formulas.opensphere_sphereface, s=30.0, m=1.5, clip=clip)
        return lambda cosine, target: 50 / 30 * loss(cosine, target)

    head = cosine_head(margins.combined, s=30.0, m1=1.5, m2=0.0, m3=0.0)
    clipped = of_head(cosine_head(margins.clipped_angle, s=30.0, m=1.5))
    straight = "straight-through, the loss is multiplied by 50/s, cosines are clamped to ±(1 - 1e-5)"
    cut = "its margin is cut to a whole number: 1.5 is 1, no margin"
    truncated = pml_loss(pml_losses.SphereFaceLoss, norm=30.0, margin=1.5)
    others = (
        Other("opensphere SphereFaceR v0", opensphere(clip=False), straight),
        Other("opensphere SphereFaceR v1", opensphere(clip=True), straight, ours=clipped),
        Other("PML SphereFaceLoss(margin=1.5)", truncated, cut),
    )
    return Comparison("SphereFace-R", "s = 30, m = 1.5", of_head(head), others)


def adaface() -> Comparison:
    """Norms with a mean of 20 and a deviation of 4: 1e-3, 20, 24 and 40 have k = -1, 0, about h and 1."""
    knobs, mean, std = {"s": 64.0, "m": 0.4, "h": 0.333}, torch.tensor(20.0), torch.tensor(4.0)

    def at(norm: float, k: str, why: str) -> Other:
        head = heads.AdaFaceHead(DIM, CLASSES, alpha=0.01, **knobs)
        head.norm_mean.copy_(mean)
        head.norm_std.copy_(std)
        norms = torch.full((1, 1), norm, dtype=torch.float64)
        theirs = scored(formulas.adaface, norm=norms, mean=mean.double(), std=std.double(), **knobs)
        return Other(f"AdaFace's AdaFace (k = {k})", theirs, why, ours=head_loss(head, norm))

    held = "cosines are held within ±(1 - 1e-3), and angles within [1e-3, π - 1e-3]: no gradient beyond"
    others = (
        at(1e-3, "-1", f"{held}, which is cos < -cos m = -0.921; ours has slope 1 there"),
        at(20.0, "0", held),
        at(24.0, "0.333", f"{held}, which is cos > cos(m k) = 0.991"),
        at(40.0, "1", f"{held}, which is cos > cos m = 0.921; ours has slope 1 there"),
    )
    return Comparison("AdaFace", "s = 64, m = 0.4, h = 0.333", others[0].ours, others)


def magface() -> Comparison:
    bounds = {"norm_lower": 1.0, "norm_upper": 5.0, "m_lower": 0.45, "m_upper": 0.8}
    head, margin = partial(heads.MagFaceHead, s=64.0, **bounds), partial(formulas.magface_margin, **bounds)
    knobs = {"s": 64.0, "m": margin(torch.full((1, 1), 3.0, dtype=torch.float64))}

    def strict(cosine: Tensor, target: Tensor, norm: Tensor) -> Tensor:
        return formulas.magface(cosine, target, s=64.0, m=margin(norm), easy=False)

    zoo = f"past π - m no margin at all; {UNPROTECTED}"
    easy = f"no margin from 90 degrees on; {UNPROTECTED}"
    whole = (whole_head(head), whole_scores(strict))
    not_easy = scored(formulas.magface, easy=False, **knobs)
    others = (
        Other("FaceX-Zoo MagFace", scored(formulas.facexzoo_arcface, **knobs), zoo),
        Other("MagFace's MagLinear", scored(formulas.magface, easy=True, **knobs), easy),
        Other("MagFace's MagLinear(easy_margin=False)", not_easy, UNPROTECTED, whole=whole),
    )
    ours = of_head(head, norm=3.0)
    return Comparison("MagFace", "s = 64, m = 0.45 to 0.8 rad for norms 1 to 5, ‖x‖ = 3", ours, others)


def curricularface() -> Comparison:
    head = heads.CurricularFaceHead(DIM, CLASSES, partial(margins.additive_angle, m=0.5), s=64.0)
    head.t.fill_(0.3)
    why = (
        "past π - m rivals are hard beside cos(θ + m), in ours beside the lower score that the target has "
        "there (the rival at -0.95); the target's square root is not protected at 0"
    )
    theirs = scored(formulas.curricularface, s=64.0, m=0.5, t=head.t.item())
    other = Other("CurricularFace's own and FaceX-Zoo's", theirs, why)
    return Comparison("CurricularFace", "s = 64, m = 0.5 rad, t = 0.3", head_loss(head), (other,))


def adacos() -> Comparison:
    """A batch of one sample adapts the scale, and is then scored with it."""

    def ours(cosine: Tensor, target: Tensor) -> Tensor:
        head = heads.AdaCosHead(DIM, CLASSES).double()
        head.observe(cosine.detach(), target, torch.ones_like(cosine[:, :1]))
        return cross_entropy(head.untrained_scores(cosine, target), target)

    def theirs(cosine: Tensor, target: Tensor, *, median_of_all: bool) -> Tensor:
        scale = math.sqrt(2) * math.log(CLASSES - 1)
        return formulas.adacos_scale(cosine, target, scale, median_of_all=median_of_all) * cosine

    why = "the median is that of the angles to all classes, not to the targets; its margin, 0.5, is left out"
    others = (
        Other("FaceX-Zoo AdaCos", scored(theirs, median_of_all=False)),
        Other("pytorch-adacos AdaCos", scored(theirs, median_of_all=True), why),
    )
    return Comparison("AdaCos", "its scale after one sample", ours, others)


HEADS = (a_softmax, l_softmax, sphereface_r, adaface, magface, curricularface, adacos)
