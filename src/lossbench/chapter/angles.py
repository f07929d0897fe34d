"""Target cosines and decision boundaries of the margins, by the angle."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from scipy.optimize import brentq
from torch import Tensor

from lossbench.margins import additive_cosine, multiplicative_angle
from lossbench.report.style import COLOURS

Margin = Callable[[Tensor, Tensor], Tensor]


def unchanged(cosine: Tensor, target: Tensor) -> Tensor:
    """No margin: NormFace, and softmax where lengths are left aside."""
    return cosine


AM = partial(additive_cosine, m=0.35)
A_SOFTMAX = partial(multiplicative_angle, m=4, lam=0.0)
A_TRAINED = partial(multiplicative_angle, m=4, lam=5.0)
"""A-Softmax as the released face recipe ends: lambda never falls below 5."""

CURVES: tuple[tuple[str, Margin, str], ...] = (
    ("softmax", unchanged, COLOURS[6]),
    ("AM-Softmax m = 0.35", AM, COLOURS[0]),
    ("A-Softmax m = 4, lambda 5", A_TRAINED, COLOURS[2]),
    ("A-Softmax m = 4, lambda 0", A_SOFTMAX, COLOURS[1]),
)


def psi(margin: Margin, angle: Tensor) -> Tensor:
    """Target cosine (n,) with its margin, at angles (n,) in radians."""
    return margin(angle.cos()[:, None], angle.new_zeros(len(angle), dtype=torch.long))[:, 0]


def psi_slope(margin: Margin, angle: Tensor) -> Tensor:
    """Derivative of ``psi`` by the angle, by autograd; it can be differentiated again."""
    leaf = angle if angle.requires_grad else angle.clone().requires_grad_()
    return torch.autograd.grad(psi(margin, leaf).sum(), leaf, create_graph=True)[0]


def degrees(*values: float) -> Tensor:
    """Angles in radians, float64."""
    return torch.deg2rad(torch.tensor(values, dtype=torch.float64))


def at(margin: Margin, angle: float) -> float:
    """``psi`` of one angle in radians."""
    return psi(margin, torch.tensor([angle], dtype=torch.float64)).item()


def widest(margin: Margin, rival: float) -> float:
    """Largest angle to the own prototype at which ``psi`` still reaches the rival's cosine; in degrees."""
    level = math.cos(math.radians(rival))
    if at(margin, 0.0) < level:
        return math.nan
    return math.degrees(brentq(lambda angle: at(margin, angle) - level, 0.0, math.pi, xtol=1e-12))


def boundary(margin: Margin, apart: float) -> float:
    """Angle in degrees from the own prototype to the boundary, for prototypes so many degrees ``apart``.

    In their plane. Negative where the own prototype lies outside its region, NaN where there is no region.
    """
    whole = math.radians(apart)

    def lead(angle: float) -> float:
        return at(margin, abs(angle)) - math.cos(whole - angle)

    low = 0.0 if lead(0.0) >= 0 else whole / 2 - math.pi / 2
    return math.degrees(brentq(lead, low, whole / 2, xtol=1e-12)) if lead(low) >= 0 else math.nan
