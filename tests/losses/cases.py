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


def additive_cosine(cosine, target, *, m):
    return [c - m if j == target else c for j, c in enumerate(cosine)]


LOSSES = [
    Case("ce", "cross_entropy_loss", cross_entropy, {"tau": 1.0}),
    Case("temperature", "cross_entropy_loss", cross_entropy, {"tau": 0.5}),
    Case("hinge", "hinge_loss", hinge, {"delta": 1.0}),
]

MARGINS = [
    Case("amsoftmax", "additive_cosine", additive_cosine, {"m": 0.35}),
    Case("amsoftmax", "additive_cosine", additive_cosine, {"m": 0.0}),
]
