"""What other well-known code computes on cosines, written anew from descriptions of what it does.

Only the order of operations is theirs, since what the gradient does at the edges hangs on it: no NaN, no zero
and no jump is put in by hand. Knobs have our names and units; the results are training scores, where the
docstring does not say that it is a loss.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# Where it was read: file and commit; "notes": ours, of the repository as it was in 2026.
SOURCES = {
    "insightface": "recognition/arcface_torch/losses.py (notes) and partial_fc_v2.py 531cb1e",
    "OML": "oml/losses/arcface.py 07a1904",
    "FaceX-Zoo": "head/ 4380d48, a82aab3 (MV_Softmax), f8f3cf1 (AdaCos, CurricularFace)",
    "AdaFace": "head.py 9cb9816; its ArcFace and CosFace (notes)",
    "MagFace": "models/magface.py 719001a",
    "CurricularFace": "head/metrics.py d380265",
    "pytorch-adacos": "metrics.py 21cbea9",
    "opensphere": "model/head/ 54e73b5 (SphereFace), 22b3d90 (SphereFace-R), 9d53d28 (SphereFace2)",
    "UniFace": "head.py d3f1a60",
    "SupContrast": "losses.py 02f458c",
}


def at_target(scores: Tensor, target: Tensor, changed: Tensor) -> Tensor:
    """The matrix ``changed`` in the target's column, ``scores`` elsewhere: nothing else of it counts."""
    return torch.where(F.one_hot(target, scores.shape[1]).bool(), changed, scores)


def own(cosine: Tensor, target: Tensor) -> Tensor:
    return cosine.gather(1, target[:, None])


def turned(cosine: Tensor, m: float | Tensor) -> Tensor:
    """cos(θ + m) by a square root that nothing keeps from 0, where its slope is infinite."""
    m = torch.as_tensor(m, dtype=cosine.dtype)
    return cosine * m.cos() - (1 - cosine**2).sqrt() * m.sin()


def insightface(cosine: Tensor, target: Tensor, *, s: float, m1: float, m2: float, m3: float) -> Tensor:
    """Looks at m3 first; else it needs m1 = 1 and changes the angles where autograd does not look."""
    cosine = cosine.clamp(-1, 1)
    if m3 > 0:
        return s * at_target(cosine, target, cosine - m3)
    if m1 != 1:
        raise RuntimeError("insightface has no rule for this m1")
    with torch.no_grad():
        angle = cosine.acos()
        angle[torch.arange(len(target)), target] += m2
        cosine.copy_(angle.cos())
    return s * cosine


def insightface_cross_entropy(scores: Tensor, target: Tensor) -> Tensor:
    """No probability is reported below 1e-30; the gradient is p - y all the same."""
    plain = F.cross_entropy(scores, target, reduction="none")
    reported = -own(scores.softmax(1), target)[:, 0].clamp_min(1e-30).log()
    return plain + (reported - plain).detach()


def oml_arcface(cosine: Tensor, target: Tensor, *, s: float, m: float | Tensor) -> Tensor:
    """Every class is turned, without a clamp; past π - m the cosine less m sin m."""
    m = torch.as_tensor(m, dtype=cosine.dtype)
    changed = torch.where(cosine > -m.cos(), turned(cosine, m), cosine - m * m.sin())
    return s * at_target(cosine, target, changed)


def facexzoo_arcface(cosine: Tensor, target: Tensor, *, s: float, m: float | Tensor) -> Tensor:
    """Every class is turned; past π - m the plain cosine: its second margin is 0 unless told otherwise."""
    cosine, least = cosine.clamp(-1, 1), -torch.as_tensor(m, dtype=cosine.dtype).cos()
    return s * at_target(cosine, target, torch.where(cosine > least, turned(cosine, m), cosine))


def magface(cosine: Tensor, target: Tensor, *, s: float, m: Tensor, easy: bool) -> Tensor:
    """easy, as it is unless told otherwise: from 90 degrees on the plain cosine; else as OML, but clamped."""
    cosine = cosine.clamp(-1, 1)
    if not easy:
        return oml_arcface(cosine, target, s=s, m=m)
    return s * at_target(cosine, target, torch.where(cosine > 0, turned(cosine, m), cosine))


def magface_margin(
    norm: Tensor, *, norm_lower: float, norm_upper: float, m_lower: float, m_upper: float
) -> Tensor:
    share = (norm.clamp(norm_lower, norm_upper) - norm_lower) / (norm_upper - norm_lower)
    return m_lower + (m_upper - m_lower) * share


def facexzoo_am_softmax(cosine: Tensor, target: Tensor, *, s: float, m: float) -> Tensor:
    cosine = cosine.clamp(-1, 1)
    return s * at_target(cosine, target, cosine - m)


def facexzoo_mv_softmax(cosine: Tensor, target: Tensor, *, s: float, m: float, angle: bool) -> Tensor:
    """With weight 1 on hard rivals; no margin where it would take a cosine below 0, or past 90 degrees."""
    plain = own(cosine, target)
    margined, least = (turned(plain, m), 0.0) if angle else (plain - m, m)
    return s * cosine.scatter(1, target[:, None], torch.where(plain > least, margined, plain))


def clamped(cosine: Tensor, eps: float) -> Tensor:
    return cosine.clamp(eps - 1, 1 - eps)


def adaface_cosface(cosine: Tensor, target: Tensor, *, s: float, m: float) -> Tensor:
    cosine = clamped(cosine, 1e-4)
    return s * at_target(cosine, target, cosine - m)


def adaface_arcface(cosine: Tensor, target: Tensor, *, s: float, m: float) -> Tensor:
    """Angles are held within [eps, π - eps] after the margin."""
    angle = clamped(cosine, 1e-4).acos()
    return s * at_target(angle, target, angle + m).clamp(1e-4, math.pi - 1e-4).cos()


def adaface_statistics(norm: Tensor, mean: Tensor, std: Tensor, *, alpha: float) -> tuple[Tensor, Tensor]:
    held = norm.clamp(1e-3, 100)
    return alpha * held.mean() + (1 - alpha) * mean, alpha * held.std() + (1 - alpha) * std


def adaface(
    cosine: Tensor, target: Tensor, norm: Tensor, mean: Tensor, std: Tensor, *, s: float, m: float, h: float
) -> Tensor:
    """Angles are held within [eps, π - eps] after the angular part of the margin."""
    eps = 1e-3
    k = (h * (norm.detach().clamp(1e-3, 100) - mean) / (std + eps)).clamp(-1, 1)
    angle = clamped(cosine, eps).acos()
    cosine = at_target(angle, target, angle - m * k).clamp(eps, math.pi - eps).cos()
    return s * at_target(cosine, target, cosine - m * (1 + k))


def curricularface(cosine: Tensor, target: Tensor, *, s: float, m: float, t: float) -> Tensor:
    """Rivals are held against cos(θ + m), past π - m too, where the target's score is another."""
    cosine = cosine.clamp(-1, 1)
    plain = own(cosine, target)
    sum_of_angles = turned(plain, m)
    changed = torch.where(plain > -math.cos(m), sum_of_angles, plain - m * math.sin(m))
    weighed = torch.where(cosine > sum_of_angles, cosine * (t + cosine), cosine)
    return s * weighed.scatter(1, target[:, None], changed)


def adacos_scale(cosine: Tensor, target: Tensor, scale: float, *, median_of_all: bool) -> Tensor:
    """median_of_all: of the angles to all classes, as pytorch-adacos has it; FaceX-Zoo takes the targets'."""
    cosine = cosine.detach()
    rivals = (scale * cosine).exp().scatter(1, target[:, None], 0.0).sum() / len(cosine)
    angle = clamped(cosine, 1e-7).acos()
    median = angle.median() if median_of_all else own(angle, target).median()
    return rivals.log() / median.clamp_max(math.pi / 4).cos()


def opensphere_sphereface(
    cosine: Tensor, target: Tensor, *, s: float, m: float, clip: bool = False
) -> Tensor:
    """Any m; what the margin adds to a cosine is a constant to autograd. clip: angles end at 3.14159 (v1)."""
    with torch.no_grad():
        angle = clamped(cosine, 1e-5).acos()
        angle = at_target(angle, target, m * angle)
        angle = angle.clamp(1e-5, 3.14159) if clip else angle
        turns = (angle / math.pi).floor()
        added = (-1) ** turns * angle.cos() - 2 * turns - cosine
    return s * (cosine + added)


def opensphere_sphereface2(
    cosine: Tensor, target: Tensor, *, s: float, m: float, t: float, bias: float, lam: float, factor: float
) -> Tensor:
    """Type C as a loss, the sum over classes; stretch and margin are constants to autograd."""
    truth = F.one_hot(target, cosine.shape[1]).to(cosine.dtype)
    with torch.no_grad():
        added = 2 * ((cosine + 1) / 2) ** t - 1 - m * (2 * truth - 1) - cosine
    weight = factor / s * (lam * truth + (1 - lam) * (1 - truth))
    scores = s * (cosine + added) + bias
    return F.binary_cross_entropy_with_logits(scores, truth, weight, reduction="none").sum(1)


def uniface(cosine: Tensor, target: Tensor, *, s: float, m: float, l: float, bias: float) -> Tensor:  # noqa: E741
    """As a loss; scores are clamped to [-s, s] after the bias."""
    drawn = (-(s * (cosine - m) - bias).clamp(-s, s)).exp().log1p()
    pushed = l * (s * cosine - bias).clamp(-s, s).exp().log1p()
    return at_target(pushed, target, drawn).sum(1)


def supcontrast(embedding: Tensor, target: Tensor, *, tau: float, base: float) -> Tensor:
    """SupCon as a loss, times tau / base."""
    unit = F.normalize(embedding)
    itself = torch.eye(len(unit), dtype=torch.bool)
    logits = (unit @ unit.T / tau).masked_fill(itself, -1e9)
    positive = (target[:, None] == target) & ~itself
    log_probability = logits.log_softmax(1)
    return -(tau / base) * (positive * log_probability).sum(1) / positive.sum(1)
