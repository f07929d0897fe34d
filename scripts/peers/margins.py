"""Comparisons of cross-entropy, and of margins that are added to the target's angle or cosine."""

from __future__ import annotations

import math
from functools import partial

from pytorch_metric_learning import losses as pml_losses
from torch import Tensor

from lossbench import heads, margins
from peers import formulas
from peers.measure import Comparison, Loss, Other, cosine_head, cross_entropy, of_head, pml, pml_loss, scored

UNPROTECTED = (
    "all classes pass a square root that is not protected at 0: any cosine of ±1 gives NaN, a rival's too"
)
INFINITE = "the arccos has infinite slope at cos = ±1, which is NaN on the embedding"
RISES = "past π - m it goes on with cos(θ + m), which rises again: the hardest targets cost less"


def softmax() -> Comparison:
    def capped(cosine: Tensor, target: Tensor) -> Tensor:
        return formulas.insightface_cross_entropy(64 * cosine, target)

    def ours(cosine: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(64 * cosine, target)

    why = "the value ends at -log 1e-30 = 69.08, the gradient does not"
    others = (Other("insightface DistCrossEntropy", capped, why),)
    return Comparison("Cross-entropy", "scores = 64 cos", ours, others)


def normface() -> Comparison:
    head = cosine_head(None, s=30.0)
    other = pml(pml_losses.NormalizedSoftmaxLoss, head, temperature=1 / 30)
    return Comparison("NormFace", "s = 30", of_head(head), (other,))


def am_softmax() -> Comparison:
    knobs = {"s": 30.0, "m": 0.35}
    head = cosine_head(margins.additive_cosine, **knobs)
    insightface = scored(formulas.insightface, s=30.0, m1=1.0, m2=0.0, m3=0.35)
    mv_softmax = scored(formulas.facexzoo_mv_softmax, angle=False, **knobs)
    dropped = "hard rivals weigh 1; no margin where cos <= m: as a target passes m, its loss jumps up by s m"
    clamped = "cosines are clamped to ±(1 - 1e-4): no gradient beyond"
    others = (
        pml(pml_losses.CosFaceLoss, head, scale=30, margin=0.35),
        Other("insightface (1, 0, 0.35)", insightface),
        Other("FaceX-Zoo AM_Softmax", scored(formulas.facexzoo_am_softmax, **knobs)),
        Other("FaceX-Zoo MV_Softmax (AM)", mv_softmax, dropped),
        Other("AdaFace's CosFace", scored(formulas.adaface_cosface, **knobs), clamped),
    )
    return Comparison("AM-Softmax", "s = 30, m = 0.35", of_head(head), others)


def arcface() -> Comparison:
    knobs = {"s": 64.0, "m": 0.5}
    head = cosine_head(margins.additive_angle, **knobs)
    degrees = "its margin is in degrees: 0.5 is 0.0087 rad, next to no margin"
    straight = (
        "straight-through: angles change out of autograd's sight, and the gradient lacks sin(θ + m)/sin θ, "
        f"1.03 at 0.3, 1.87 at 0.9, 4.24 at 0.99; {RISES}"
    )
    mv = "hard rivals weigh 1; no margin from 90 degrees on; the target's square root is not protected at 0"
    dead = "angles are held below π - 1e-4: no gradient past π - m, cos < -0.878, nor for |cos| > 1 - 1e-4"
    mv_softmax = scored(formulas.facexzoo_mv_softmax, angle=True, **knobs)
    facexzoo, oml = scored(formulas.facexzoo_arcface, **knobs), scored(formulas.oml_arcface, **knobs)
    others = (
        pml(pml_losses.ArcFaceLoss, head, INFINITE, scale=64, margin=math.degrees(0.5)),
        Other("PML ArcFaceLoss(margin=0.5)", pml_loss(pml_losses.ArcFaceLoss, scale=64, margin=0.5), degrees),
        Other("insightface (1, 0.5, 0)", insightface_arcface(), straight),
        Other("OML ArcFaceLoss", oml, f"no clamp, and {UNPROTECTED}"),
        Other("FaceX-Zoo ArcFace", facexzoo, f"past π - m no margin at all; {UNPROTECTED}"),
        Other("FaceX-Zoo MV_Softmax (arc)", mv_softmax, mv),
        Other("AdaFace's ArcFace", scored(formulas.adaface_arcface, **knobs), dead),
    )
    return Comparison("ArcFace", "s = 64, m = 0.5 rad", of_head(head), others)


def insightface_arcface() -> Loss:
    return scored(formulas.insightface, s=64.0, m1=1.0, m2=0.5, m3=0.0)


def straight_through() -> Comparison:
    head = cosine_head(margins.additive_angle_straight_through, s=64.0, m=0.5)
    other = Other("insightface (1, 0.5, 0)", insightface_arcface(), RISES)
    return Comparison("ArcFace, straight-through", "s = 64, m = 0.5 rad", of_head(head), (other,))


def sub_center_arcface() -> Comparison:
    margin = partial(margins.additive_angle, m=0.5)
    head = partial(heads.SubCenterHead, margin=margin, s=64.0, k=3, drop_angle=1.309, drop_after=None)
    knobs = {"scale": 64, "margin": math.degrees(0.5), "sub_centers": 3}
    other = pml(pml_losses.SubCenterArcFaceLoss, head, f"margin in degrees; {INFINITE}", **knobs)
    return Comparison("Sub-center ArcFace", "s = 64, m = 0.5 rad, k = 3", of_head(head), (other,))


def combined() -> Comparison:
    def ours(s: float | None, m1: float, m2: float, m3: float) -> Loss:
        return of_head(cosine_head(margins.combined, s=s, m1=m1, m2=m2, m3=m3), norm=10.0)

    unread = "where m3 > 0 it reads neither m1 nor m2: this is cos θ - 0.2, and so is (1.2, 0.4, 0.2)"
    past = f"past π - m ours goes on as A-Softmax does, -cos(θ + m) - 2, not cos θ - m sin m; {INFINITE}"
    sign = "at cos = -1 it counts one sector too many: the slope has the wrong sign"
    insightface = scored(formulas.insightface, s=64.0, m1=1.0, m2=0.3, m3=0.2)
    cosface = pml_loss(pml_losses.CosFaceLoss, scale=30, margin=0.35)
    arcface = pml_loss(pml_losses.ArcFaceLoss, scale=64, margin=math.degrees(0.5))
    sphereface = pml_loss(pml_losses.SphereFaceLoss, norm=10.0, margin=4)
    others = (
        Other("insightface (1, 0.3, 0.2)", insightface, unread),
        Other("PML CosFaceLoss (ours: 1, 0, 0.35)", cosface, ours=ours(30.0, 1.0, 0.0, 0.35)),
        Other("PML ArcFaceLoss (ours: 1, 0.5, 0)", arcface, past, ours=ours(64.0, 1.0, 0.5, 0.0)),
        Other("PML SphereFaceLoss (ours: 4, 0, 0)", sphereface, sign, ours=ours(None, 4.0, 0.0, 0.0)),
    )
    return Comparison("Combined margin", "(m1, m2, m3) as named", ours(64.0, 1.0, 0.3, 0.2), others)


MARGINS = (softmax, normface, am_softmax, arcface, straight_through, sub_center_arcface, combined)
