"""Whether a hyperplane separates two classes: linear programmes, which decide it either way."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def separable(points: Tensor, target: Tensor, *, bias: bool = True) -> bool:
    """Whether some w x + b is above 0 on all points (n, d) of class 1 and below 0 on all of class 0."""
    rows = F.pad(points.double(), (0, 1), value=1.0) if bias else points.double()
    side = 2 * target.double() - 1
    # A separator can be scaled until every point scores 1 or more on its side.
    limits = -(side[:, None] * rows).numpy()
    return _feasible(rows.shape[1], A_ub=limits, b_ub=-np.ones(len(rows)), bounds=(None, None))


def hulls_meet(points: Tensor, target: Tensor) -> bool:
    """Whether the convex hulls of both classes meet: a mean of one's points is a mean of the other's."""
    side = 2 * target.double() - 1
    equal = torch.cat([(side[:, None] * points.double()).T, torch.stack([target == 0, target == 1]).double()])
    wanted = np.r_[np.zeros(points.shape[1]), 1.0, 1.0]
    return _feasible(len(points), A_eq=equal.numpy(), b_eq=wanted, bounds=(0, None))


def wins_somewhere(weight: Tensor, bias: Tensor, label: int) -> bool:
    """Whether any input at all gives class ``label`` the highest of the scores W x + b, by itself."""
    others = torch.arange(len(weight)) != label
    gap, rise = weight[label] - weight[others], bias[label] - bias[others]
    return _feasible(weight.shape[1], A_ub=-gap.numpy(), b_ub=rise.numpy() - 1e-6, bounds=(None, None))


def most_right(points: Tensor, target: Tensor) -> float:
    """Largest share of a few points that one hyperplane gets right, by trying every labelling."""
    labellings = torch.tensor(list(product((0, 1), repeat=len(points))))
    return max((each == target).double().mean().item() for each in labellings if separable(points, each))


def best_line(points: Tensor, target: Tensor, directions: int = 360) -> float:
    """Largest share of points (n, 2) that one straight line gets right, of ``directions`` and any offset."""
    best = 0.0
    for number in range(directions):
        turn = math.pi * (number + 0.5) / directions
        order = (points[:, 0] * math.cos(turn) + points[:, 1] * math.sin(turn)).argsort()
        ones = F.pad(target[order].cumsum(0), (1, 0))
        below = torch.arange(len(points) + 1)
        right = below - ones + ones[-1] - ones  # zeros below the line, ones above it
        best = max(best, right.max().item() / len(points), 1 - right.min().item() / len(points))
    return best


def _feasible(unknowns: int, **constraints: Any) -> bool:
    """Any: the keywords of scipy's linprog."""
    answer = linprog(np.zeros(unknowns), **constraints)
    if answer.status not in (0, 2):
        raise RuntimeError(f"linear programme of {unknowns} unknowns: {answer.message}")
    return answer.status == 0
