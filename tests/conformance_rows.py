"""What each row of the conformance table has to be, in plain Python from the formulas of both sides."""

from __future__ import annotations

import math
from math import acos, cos, exp, log, log1p, pi, sin, sqrt

RIVALS = (0.7, 0.4, 0.1, -0.2, -0.95)
SMALLEST = 2.0**-126
NO_WORDS: dict = {}
NO_SLOPE = {-1.0: "0", 1.0: "0"}
INFINITE = {-1.0: "inf", 1.0: "inf"}
UNPROTECTED = {-1.0: "NaN", 1.0: "inf"}
# For an even m; both slopes are 0 at 0.
WRONG_SIGN = {-1.0: -1, 0.0: 1}

# A side of a row: cosine -> (the target's score, its slope by the cosine, the rivals' scores).


def at(scale, rule):
    """A side before its scale; ``rule`` gives the rivals too where they are not as they came."""

    def side(c):
        z, slope, *rivals = rule(c)
        return scale * z, scale * slope, [scale * rival for rival in (rivals or [RIVALS])[0]]

    return side


def entropy(z, slope, rivals):
    others = sum(map(exp, rivals))
    return log(others + exp(z)) - z, -slope * others / (others + exp(z))


def row(theirs, ours, *, words=NO_WORDS, factor=1.0):
    """cosine -> theirs / ours, of the loss and of the gradient; for the latter also a word."""

    def ratios(c):
        (loss, gradient), (our_loss, our_gradient) = entropy(*theirs(c)), entropy(*ours(c))
        if c in words:
            shown = words[c]
        elif abs(our_gradient) < 1e-12:
            shown = "ours 0"
        else:
            shown = factor * gradient / our_gradient if gradient else "0"
        return factor * loss / our_loss, shown

    return ratios


def turned(c, m):
    return cos(acos(c) + m), (sin(acos(c) + m) / sin(acos(c)) if abs(c) < 1 else cos(m))


def arcface(c, m):
    return turned(c, m) if c >= -cos(m) else (c - m * sin(m), 1.0)


def dropped_past(c, m, least):
    return turned(c, m) if c > least else (c, 1.0)


def folded(c, m1, m2=0.0, m3=0.0):
    """(-1)^k cos φ - 2k - m3 of φ = m1 θ + m2."""
    phase = m1 * acos(c) + m2
    k = math.floor(phase / pi)
    slope = m1 * abs(sin(phase)) / sin(acos(c)) if abs(c) < 1 else m1**2 * abs(cos(phase))
    return (-1) ** k * cos(phase) - 2 * k - m3, slope


def held_angle(c, m, eps):
    """AdaFace's repository: the slope ends where cosine or angle are held."""
    held = min(max(c, eps - 1), 1 - eps)
    angle = min(max(acos(held) + m, eps), pi - eps)
    free = held == c and eps < acos(c) + m < pi - eps
    return cos(angle), sin(angle) / sin(acos(c)) if free else 0.0


def adaface(c, m, k):
    angle = acos(c) - m * k
    if 0 <= angle <= pi:
        z, slope = turned(c, -m * k)
    else:
        z, slope = cos(min(max(angle, 0), pi)), 1.0
    return z - m * (1 + k), slope


def adaface_repository(c, m, k):
    z, slope = held_angle(c, -m * k, 1e-3)
    return z - m * (1 + k), slope


def curricular(c, m, t, limit):
    z, slope = arcface(c, m)
    return z, slope, [r * (t + r) if r > limit(c) else r for r in RIVALS]


def adacos(c, *, all_angles):
    start = sqrt(2) * log(5)
    angles = sorted(map(acos, (c, *RIVALS)))
    median = angles[2] if all_angles else acos(c)
    return log(sum(exp(start * r) for r in RIVALS)) / cos(min(pi / 4, median))


def adacos_scores(c, *, all_angles):
    return at(adacos(c, all_angles=all_angles), plain)(c)


def plain(c):
    return c, 1.0


def clamped(eps):
    return lambda c: min(max(c, eps - 1), 1 - eps)


def straight(rule, eps=0.0):
    return lambda c: (rule(clamped(eps)(c))[0], 1.0)


def capped(c):
    loss = entropy(*at(64, plain)(c))[0]
    return min(loss, -log(1e-30)) / loss, 1


def sphereface2(c):
    slope = 3 * ((c + 1) / 2) ** 2
    return 1, 1 / slope if slope else "ours 0"


def uniface(c):
    bias = log(60)
    others = sum(log1p(exp(max(64 * r - bias, -64))) for r in RIVALS)
    score = 64 * (c - 0.4) - bias
    ours, theirs = (log1p(exp(-z)) + others for z in (score, max(score, -64)))
    return theirs / ours, 1 if score > -64 else "0"


def hinge(factor):
    return lambda c: (factor, factor) if 4 * (max(RIVALS) - c) + 1 > 0 else (1, 1)


def single_precision(c):
    if c > 0.5:
        return 0 if c == 0.9 else 1, "0"
    loss = 100 * (max(RIVALS) - c)
    return (-log(SMALLEST) / loss, "0") if loss > 88 else (1, 1)


ARC, SOFT, COS = at(64, lambda c: arcface(c, 0.5)), at(64, plain), at(30, lambda c: (c - 0.35, 1.0))
ZOO = at(64, lambda c: dropped_past(c, 0.5, -cos(0.5)))
EASY = at(64, lambda c: dropped_past(c, 0.5, 0))
IN_PLACE = at(64, straight(lambda c: turned(c, 0.5)))
SPHERE4, SPHERE15 = at(10, lambda c: folded(c, 4)), at(30, lambda c: folded(c, 1.5))
CLIPPED = at(30, lambda c: folded(c, 1.5) if 1.5 * acos(c) <= pi else (-1.0, 0.0))
BLENDED = at(10, lambda c: ((5 * c + folded(c, 4)[0]) / 6, (5 + folded(c, 4)[1]) / 6))
COMBINED = at(64, lambda c: folded(c, 1.0, 0.3, 0.2))
MAGNITUDE = at(64, lambda c: arcface(c, 0.625))
OPENED = at(10, straight(lambda c: folded(c, 4), 1e-5))

# By our loss and the other: what the whole row has to be. Rows that are not here agree at every cosine.
ROWS = {
    ("Cross-entropy", "insightface DistCrossEntropy"): capped,
    ("AM-Softmax", "FaceX-Zoo MV_Softmax (AM)"): row(
        at(30, lambda c: (c - 0.35 if c > 0.35 else c, 1.0)), COS
    ),
    ("AM-Softmax", "AdaFace's CosFace"): row(
        at(30, lambda c: (clamped(1e-4)(c) - 0.35, 1.0)), COS, words=NO_SLOPE
    ),
    ("ArcFace", "PML ArcFaceLoss"): row(ARC, ARC, words=INFINITE),
    ("ArcFace", "PML ArcFaceLoss(margin=0.5)"): row(
        at(64, lambda c: arcface(c, math.radians(0.5))), ARC, words=INFINITE
    ),
    ("ArcFace", "insightface (1, 0.5, 0)"): row(IN_PLACE, ARC),
    ("ArcFace", "OML ArcFaceLoss"): row(ARC, ARC, words=UNPROTECTED),
    ("ArcFace", "FaceX-Zoo ArcFace"): row(ZOO, ARC, words=UNPROTECTED),
    ("ArcFace", "FaceX-Zoo MV_Softmax (arc)"): row(EASY, ARC, words=UNPROTECTED),
    ("ArcFace", "AdaFace's ArcFace"): row(at(64, lambda c: held_angle(c, 0.5, 1e-4)), ARC),
    ("ArcFace, straight-through", "insightface (1, 0.5, 0)"): row(
        IN_PLACE, at(64, straight(lambda c: arcface(c, 0.5)))
    ),
    ("Sub-center ArcFace", "PML SubCenterArcFaceLoss"): row(ARC, ARC, words=INFINITE),
    ("Combined margin", "insightface (1, 0.3, 0.2)"): row(at(64, lambda c: (c - 0.2, 1.0)), COMBINED),
    ("Combined margin", "PML ArcFaceLoss (ours: 1, 0.5, 0)"): row(
        ARC, at(64, lambda c: folded(c, 1.0, 0.5)), words=INFINITE
    ),
    ("Combined margin", "PML SphereFaceLoss (ours: 4, 0, 0)"): row(
        SPHERE4, SPHERE4, words={-1.0: -1, 0.0: 1}
    ),
    ("A-Softmax", "PML SphereFaceLoss"): row(SPHERE4, SPHERE4, words={-1.0: -1, 0.0: 1}),
    ("A-Softmax", "PML SphereFaceLoss (ours: lam = 5)"): row(
        SPHERE4, BLENDED, words={-1.0: -32 / 7, 0.0: "0"}
    ),
    ("A-Softmax", "opensphere SphereFace"): row(OPENED, SPHERE4),
    ("L-Softmax", "PML LargeMarginSoftmaxLoss"): lambda c: (1, -1 if c == -1 else 1),
    ("SphereFace-R", "opensphere SphereFaceR v0"): row(
        at(30, straight(lambda c: folded(c, 1.5), 1e-5)), SPHERE15, factor=5 / 3
    ),
    ("SphereFace-R", "opensphere SphereFaceR v1"): row(
        at(30, straight(lambda c: (cos(min(max(1.5 * acos(c), 1e-5), 3.14159)), 1.0), 1e-5)),
        CLIPPED,
        factor=5 / 3,
    ),
    ("SphereFace-R", "PML SphereFaceLoss(margin=1.5)"): row(at(30, plain), SPHERE15),
    **{
        ("AdaFace", f"AdaFace's AdaFace (k = {name})"): row(
            at(64, lambda c, k=k: adaface_repository(c, 0.4, k)), at(64, lambda c, k=k: adaface(c, 0.4, k))
        )
        for name, k in {"-1": -1, "0": 0, "0.333": 0.333 * 4 / 4.001, "1": 1}.items()
    },
    ("MagFace", "FaceX-Zoo MagFace"): row(
        at(64, lambda c: dropped_past(c, 0.625, -cos(0.625))), MAGNITUDE, words=UNPROTECTED
    ),
    ("MagFace", "MagFace's MagLinear"): row(
        at(64, lambda c: dropped_past(c, 0.625, 0)), MAGNITUDE, words=UNPROTECTED
    ),
    ("MagFace", "MagFace's MagLinear(easy_margin=False)"): row(MAGNITUDE, MAGNITUDE, words=UNPROTECTED),
    ("CurricularFace", "CurricularFace's own and FaceX-Zoo's"): row(
        at(64, lambda c: curricular(c, 0.5, 0.3, lambda c: turned(c, 0.5)[0])),
        at(64, lambda c: curricular(c, 0.5, 0.3, lambda c: arcface(c, 0.5)[0])),
        words=UNPROTECTED,
    ),
    ("AdaCos", "pytorch-adacos AdaCos"): row(
        lambda c: adacos_scores(c, all_angles=True), lambda c: adacos_scores(c, all_angles=False)
    ),
    ("SphereFace2", "opensphere SphereFace2"): sphereface2,
    ("UniFace", "UniFace's own"): uniface,
    ("Mean hinge", "torch multi_margin_loss"): hinge(5 / 6),
    ("Mean hinge", "torch multi_margin_loss(p=2) (ours: squared_hinge_loss)"): hinge(1 / 6),
    ("SupCon", "SupContrast SupConLoss"): lambda c: (1 / 0.7, 1 / 0.7),
    ("InfoNCE, float32", "PML NTXentLoss"): single_precision,
}
