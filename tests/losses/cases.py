"""One row per loss and per margin: its yaml, its knobs, and an oracle straight off the formula.

An oracle sees one sample: scores or cosines as a list of floats and the target's index. It is slow and
obvious, in double precision, and shares nothing with the code under test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """name: yaml in conf/. oracle: (row, target, **knobs) -> a loss, or for a margin the changed row."""

    name: str
    function: str
    oracle: Callable
    knobs: dict[str, float] = field(default_factory=dict)
    kinks: Callable | None = None


def cross_entropy(scores, target, *, tau):
    exponentials = [math.exp((score - max(scores)) / tau) for score in scores]
    return -math.log(exponentials[target] / sum(exponentials))


def hinge(scores, target, *, delta):
    return sum(max(0.0, score - scores[target] + delta) for j, score in enumerate(scores) if j != target)


def label_smoothing(scores, target, *, smoothing):
    costs = [cross_entropy(scores, j, tau=1.0) for j in range(len(scores))]
    return (1 - smoothing) * costs[target] + smoothing * sum(costs) / len(costs)


def focal(scores, target, *, gamma):
    probabilities = softmax(scores)
    wrong = sum(p for j, p in enumerate(probabilities) if j != target)
    return -(wrong**gamma) * math.log(probabilities[target])


def mse(scores, target):
    return sum((p - (j == target)) ** 2 for j, p in enumerate(softmax(scores)))


def softmax(scores):
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [exponential / sum(exponentials) for exponential in exponentials]


def squared_normalized(scores, target, *, eps):
    return -math.log((scores[target] ** 2 + eps) / sum(score**2 + eps for score in scores))


def hinge_mean(scores, target, *, delta):
    return hinge(scores, target, delta=delta) / (len(scores) - 1) if len(scores) > 1 else 0.0


def hinge_all(scores, target, *, delta):
    return sum(max(0.0, score - scores[target] + delta) for score in scores)


def squared_hinge(scores, target, *, delta):
    wrong = [score for j, score in enumerate(scores) if j != target]
    return sum(max(0.0, score - scores[target] + delta) ** 2 for score in wrong)


def crammer_singer(scores, target, *, delta):
    wrong = [score for j, score in enumerate(scores) if j != target]
    return max(0.0, delta + max(wrong) - scores[target]) if wrong else 0.0


def one_vs_all(scores, target, *, positive, negative):
    wrong = sum(math.log1p(math.exp(score)) for j, score in enumerate(scores) if j != target)
    return positive * math.log1p(math.exp(-scores[target])) + negative * wrong


def additive_cosine(cosine, target, *, m):
    return [c - m if j == target else c for j, c in enumerate(cosine)]


def additive_angle(cosine, target, *, m):
    def changed(c):
        angle = math.acos(c)
        return math.cos(angle + m) if angle + m <= math.pi else c - m * math.sin(m)

    return [changed(c) if j == target else c for j, c in enumerate(cosine)]


def multiplicative_angle(cosine, target, *, m, lam):
    def changed(c):
        angle = math.acos(c)
        k = min(int(m * angle / math.pi), m - 1)
        psi = (-1) ** k * math.cos(m * angle) - 2 * k
        return (lam * c + psi) / (1 + lam)

    return [changed(c) if j == target else c for j, c in enumerate(cosine)]


def combined(cosine, target, *, m1, m2, m3):
    def changed(c):
        phase = m1 * math.acos(c) + m2
        k = math.floor(phase / math.pi)
        return (-1) ** k * math.cos(phase) - 2 * k - m3

    return [changed(c) if j == target else c for j, c in enumerate(cosine)]


def clipped_angle(cosine, target, *, m):
    return [math.cos(min(m * math.acos(c), math.pi)) if j == target else c for j, c in enumerate(cosine)]


LOSSES = [
    Case("ce", "cross_entropy_loss", cross_entropy, {"tau": 1.0}),
    Case("temperature", "cross_entropy_loss", cross_entropy, {"tau": 0.5}),
    Case("label_smoothing", "label_smoothing_loss", label_smoothing, {"smoothing": 0.1}),
    Case("focal", "focal_loss", focal, {"gamma": 2.0}),
    Case("focal", "focal_loss", focal, {"gamma": 0.5}),
    Case("mse", "mse_loss", mse),
    Case("squared_normalized", "squared_normalized_loss", squared_normalized, {"eps": 1e-6}),
    Case("hinge", "hinge_loss", hinge, {"delta": 1.0}),
    Case("hinge_mean", "hinge_mean_loss", hinge_mean, {"delta": 1.0}),
    Case("hinge_all", "hinge_all_loss", hinge_all, {"delta": 1.0}),
    Case("squared_hinge", "squared_hinge_loss", squared_hinge, {"delta": 1.0}),
    Case("crammer_singer", "crammer_singer_loss", crammer_singer, {"delta": 1.0}),
    Case("one_vs_all", "one_vs_all_loss", one_vs_all, {"positive": 1.0, "negative": 1.0}),
    Case("one_vs_all", "one_vs_all_loss", one_vs_all, {"positive": 0.875, "negative": 0.375}),
]


MARGINS = [
    Case("amsoftmax", "additive_cosine", additive_cosine, {"m": 0.35}),
    Case("amsoftmax", "additive_cosine", additive_cosine, {"m": 0.0}),
    Case("arcface", "additive_angle", additive_angle, {"m": 0.5}),
    Case("arcface", "additive_angle", additive_angle, {"m": 0.0}),
    Case("asoftmax", "multiplicative_angle", multiplicative_angle, {"m": 4, "lam": 5.0}),
    Case("asoftmax", "multiplicative_angle", multiplicative_angle, {"m": 4, "lam": 0.0}),
    Case("asoftmax", "multiplicative_angle", multiplicative_angle, {"m": 3, "lam": 0.0}),
    Case("asoftmax", "multiplicative_angle", multiplicative_angle, {"m": 2, "lam": 0.0}),
    Case("asoftmax", "multiplicative_angle", multiplicative_angle, {"m": 1, "lam": 0.0}),
    Case("arcface_straight_through", "additive_angle_straight_through", additive_angle, {"m": 0.5}),
    Case("combined", "combined", combined, {"m1": 1.0, "m2": 0.3, "m3": 0.2}),
    Case("combined", "combined", combined, {"m1": 2.6, "m2": 0.4, "m3": 0.0}),
    Case("combined", "combined", combined, {"m1": 1.0, "m2": 0.0, "m3": 0.0}),
    Case("sphereface_r", "combined", combined, {"m1": 1.5, "m2": 0.0, "m3": 0.0}),
    Case("sphereface_r_v1", "clipped_angle", clipped_angle, {"m": 1.5}),
    Case("sphereface_r_v1", "clipped_angle", clipped_angle, {"m": 1.0}),
]
