"""Section 3.6.6: the angular margin of A-Softmax and its surrogate psi."""

from __future__ import annotations

import math
from functools import partial

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from lossbench.chapter.angles import AM, Margin, degrees, psi, psi_slope
from lossbench.chapter.claim import Working, claim
from lossbench.margins import multiplicative_angle
from lossbench.report.style import COLOURS

FINE = torch.linspace(0, math.pi, 18001, dtype=torch.float64)


def _margin(m: int, lam: float = 0.0) -> Margin:
    return partial(multiplicative_angle, m=m, lam=lam)


@claim(
    "C-AM-raw",
    says="cos(m theta) is not monotone on 0-180 degrees for a whole m >= 2, so psi takes its place.",
    verdict="holds",
)
def raw(work: Working) -> None:
    lowest, rising = [], []
    for m in (2, 3, 4):
        steps = (m * FINE).cos().diff()
        lowest.append(math.degrees(FINE[int((steps > 0).nonzero()[0])].item()))
        rising.append((steps > 0).double().mean().item())
    work.let("cos(m theta) has its first minimum at 180/m degrees and rises from there")
    work.numbers("first minimum for m = 2, 3, 4, degrees", lowest, [90, 60, 45], within=0.01)
    work.numbers("share of the angles at which it rises", rising, [1 / 2, 1 / 3, 1 / 2], within=1e-3)
    for m in (2, 3, 4):
        before = math.pi / m >= FINE
        gap = (psi(_margin(m), FINE[before]) - (m * FINE[before]).cos()).abs().max().item()
        work.true(f"psi is cos({m} theta) up to {180 / m:g} degrees", gap < 1e-9, f"off by {gap:.0e}")
        rise = psi(_margin(m), FINE).diff().max().item()
        work.true(f"and never rises, m = {m}", rise < 1e-12, f"at most {max(rise, 0):.0e} in a step")


@claim(
    "C-AM-psi",
    says="psi = (-1)^k cos(m theta) - 2k on sector k; the blend (lambda cos + psi)/(lambda + 1) goes from "
    "nearly cos to psi.",
    verdict="holds",
)
def surrogate(work: Working) -> None:
    for m in (1, 2, 4):
        gap = (psi(_margin(m), FINE) - _by_hand(m)).abs().max().item()
        work.true(f"m = {m}: the library's margin is the formula", gap < 1e-9, f"off by {gap:.0e}", step=True)
    own = psi(_margin(1), FINE)
    work.true("m = 1 is cos theta", torch.allclose(own, FINE.cos(), rtol=0, atol=1e-12))
    ends = psi(_margin(4), degrees(0, 180)).tolist()
    work.numbers("m = 4 goes from 1 to 1 - 2m", ends, [1, -7])
    borders = degrees(45, 90, 135)
    gap = (psi(_margin(4), borders - 1e-9) - psi(_margin(4), borders + 1e-9)).abs().max().item()
    work.true("no jump at 45, 90, 135 degrees", gap < 1e-7, f"{gap:.0e}")
    work.let("blend at 60 degrees, m = 4: (lambda 0.5 + psi)/(lambda + 1), psi = -cos 240 - 2 = -1.5")
    blends = [psi(_margin(4, lam), degrees(60)).item() for lam in (0.0, 5.0, 1000.0)]
    work.numbers("lambda = 0, 5, 1000", blends, [-1.5, 1 / 6, 498.5 / 1001])
    left, right = work.figure("fig-3.19-psi", 7.2, 3.3).subplots(1, 2)
    turned = FINE[::25].rad2deg()
    left.plot(turned, (4 * FINE[::25]).cos(), color="#888888", ls="--", label="cos 4θ")
    for axes, curves in (
        (left, (("psi, m = 4", _margin(4), COLOURS[1]),)),
        (right, ((f"lambda {lam:g}", _margin(4, lam), COLOURS[i]) for i, lam in enumerate((1000, 20, 5, 0)))),
    ):
        for name, margin, colour in curves:
            axes.plot(turned, psi(margin, FINE[::25]), color=colour, label=name)
        axes.set(xlabel="angle θ to the own prototype (degrees)", xticks=range(0, 181, 45), ylim=(-7.4, 1.4))
        axes.legend(loc="lower left")
    left.set_ylabel("target cosine")


def _by_hand(m: int) -> Tensor:
    sector = (FINE * m / math.pi).floor().clamp(max=m - 1)
    return (-1.0) ** sector * (m * FINE).cos() - 2 * sector


@claim(
    "C-AM-agrad",
    says="A-Softmax's slope is m times as steep, and its variance grows as m².",
    verdict="overstated",
    correct="m is its greatest slope, at lambda = 0. The variance grows as m² for angles uniform on 0-180 "
    "degrees, not for random directions: these lie near 90 degrees, where the slope is 0 for an even m.",
)
def steepness(work: Working) -> None:
    work.let("psi' = -m |sin(m theta)|, cos' = -sin theta")
    greatest = [_greatest(_margin(m)) for m in (1, 2, 3, 4)]
    work.numbers("greatest slope for m = 1, 2, 3, 4", greatest, [1, 2, 3, 4])
    work.number("m = 4 with lambda = 5", _greatest(_margin(4, 5.0)), 1.4412, within=1e-3)
    right = [round(-psi_slope(_margin(m), degrees(90)).item(), 9) for m in (1, 2, 3, 4)]
    work.numbers("slope at 90 degrees", right, [1, 0, 3, 0], within=1e-6)
    work.let("uniform angle: variance m² (1/2 - 4/pi²)")
    uniform = [_variance(_margin(m), 2) for m in (1, 2, 3, 4)]
    work.numbers("variance, uniform angle", uniform, [m * m * (0.5 - 4 / math.pi**2) for m in (1, 2, 3, 4)])
    work.let("random directions in d dimensions: the angle has density sin^(d-2)")
    solid = [_variance(_margin(m), 3) for m in (1, 2, 3, 4)]
    work.numbers("variance, d = 3", solid, [0.0498, 0.3556, 0.8317, 1.4955])
    high = [_variance(_margin(m), 512) for m in (1, 2, 3, 4)]
    work.numbers("variance, d = 512", high, [1.9e-6, 0.0112, 0.0014, 0.173], within=5e-4)


def _greatest(margin: Margin) -> float:
    return psi_slope(margin, FINE).abs().max().item()


def _variance(margin: Margin, dim: int) -> float:
    """Of the slope at the angle between random directions in ``dim`` dimensions."""
    weight = FINE.sin() ** (dim - 2)
    weight[[0, -1]] /= 2  # the trapezoid rule, which matters for d = 2 alone
    weight = weight / weight.sum()
    slope = psi_slope(margin, FINE).detach()
    mean = (weight * slope).sum()
    return (weight * (slope - mean).square()).sum().item()


@claim(
    "X-07",
    says="A-Softmax's target oscillates: its slope reverses, with kinks between the sectors.",
    verdict="conflict",
    correct="That is cos(m theta), which the chapter itself replaces by psi. psi never rises, and its "
    "slopes meet at 0 at the borders: plateaus, where only the curvature jumps from m² to -m².",
)
def oscillation(work: Working) -> None:
    reverse = [(-(m * FINE).sin() > 1e-9).double().mean().item() for m in (2, 3, 4)]
    work.numbers("cos(m theta): share of angles with a rising slope", reverse, [0.5, 1 / 3, 0.5], within=1e-3)
    rising = [round(psi_slope(_margin(m), FINE).max().item(), 9) for m in (2, 3, 4)]
    work.numbers("psi, m = 2, 3, 4: its most rising slope", rising, [0, 0, 0], within=1e-6)
    borders = degrees(45, 90, 135)
    sides = [psi_slope(_margin(4), borders + step).abs().max().item() for step in (-1e-7, 1e-7)]
    work.numbers("m = 4: slope left and right of 45, 90, 135 degrees", sides, [0, 0], within=1e-5)
    curves = [_curvature(_margin(4), borders + step) for step in (-1e-5, 1e-5)]
    work.numbers("curvature left and right of a border", curves, [16, -16], within=1e-3)
    axes = work.figure("fig-3.19-slope", 6.4, 3.6).subplots()
    turned = FINE[::12]
    for name, margin, colour in (
        ("softmax, AM-Softmax", AM, COLOURS[0]),
        ("A-Softmax m = 4, lambda 5", _margin(4, 5.0), COLOURS[2]),
        ("A-Softmax m = 4, lambda 0", _margin(4), COLOURS[1]),
    ):
        axes.plot(turned.rad2deg(), psi_slope(margin, turned).detach(), color=colour, label=name)
    axes.plot(turned.rad2deg(), -4 * (4 * turned).sin(), color="#888888", ls="--", lw=1.2, label="cos 4θ")
    axes.axhline(0, color="#888888", lw=0.8, zorder=0)
    axes.set(xlabel="angle θ to the own prototype (degrees)", ylabel="slope of the target cosine")
    axes.set(xticks=range(0, 181, 45), ylim=(-4.4, 7), yticks=range(-4, 5, 2))
    axes.legend(loc="upper center", ncols=2)


def _curvature(margin: Margin, angle: Tensor) -> float:
    leaf = angle.clone().requires_grad_()
    return torch.autograd.grad(psi_slope(margin, leaf).sum(), leaf)[0].mean().item()


@claim(
    "X-16",
    says="The A-Softmax row has m of about 1.5, while m is a whole number.",
    verdict="note",
    correct="Taken over from the paper: trained with m = 4 and lambda = 5, whose blended curve looks like "
    "cos(1.5 theta).",
)
def blended(work: Working) -> None:
    work.let("cos(m theta) closest by least squares to (5 cos theta + psi)/6, m = 4")
    found = [_closest(limit) for limit in (45, 90)]
    work.numbers("m on 0-45 and on 0-90 degrees", found, [1.58, 1.37], within=0.01)
    work.true("1.5 lies between", found[1] < 1.5 < found[0])


def _closest(limit: float) -> float:
    angle = torch.linspace(0, math.radians(limit), 2000, dtype=torch.float64)
    wanted = psi(_margin(4, 5.0), angle)
    return minimize_scalar(
        lambda m: ((m * angle).cos() - wanted).square().mean().item(), bounds=(1, 4), method="bounded"
    ).x
