"""Section 3.6.6: target logits of the margins, and the regions they leave on the circle."""

from __future__ import annotations

import math
from functools import partial

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Wedge

from lossbench.chapter.angles import (
    A_SOFTMAX,
    A_TRAINED,
    AM,
    CURVES,
    Margin,
    boundary,
    degrees,
    psi,
    psi_slope,
    unchanged,
)
from lossbench.chapter.claim import Working, claim
from lossbench.margins import additive_angle, multiplicative_angle
from lossbench.report.style import COLOURS

A_TWO = partial(multiplicative_angle, m=2, lam=0.0)
QUARTER = torch.deg2rad(torch.linspace(0, 90, 9001, dtype=torch.float64))


@claim(
    "C-AM-fig19",
    says="On 0-90 degrees AM's target is smooth and strictly falling, unlike A-Softmax's oscillating "
    "pieces (Figure 3.19).",
    verdict="conflict",
    correct="All of them fall. A-Softmax has pieces and plateaus and does not oscillate (X-07); as "
    "trained, with lambda = 5, it falls strictly too.",
)
def curves(work: Working) -> None:
    work.let("largest step upwards on a grid of 0.01 degrees; slope at the borders of the pieces")
    for name, margin in (
        ("AM m = 0.35", AM),
        ("A-Softmax m = 2, lambda 0", A_TWO),
        ("A-Softmax m = 4, lambda 0", A_SOFTMAX),
        ("A-Softmax m = 4, lambda 5", A_TRAINED),
    ):
        steps = psi(margin, QUARTER).diff()
        work.true(
            f"{name} falls all the way", bool((steps < 0).all()), f"by {-steps.max():.0e} a step at least"
        )
    borders = [psi_slope(margin, degrees(45)).item() for margin in (A_SOFTMAX, A_TRAINED, AM)]
    work.numbers(
        "slope at 45 degrees: A, lambda 0; lambda 5; AM",
        [round(one, 9) for one in borders],
        [0, -5 / 6 * math.sqrt(0.5), -math.sqrt(0.5)],
        within=1e-6,
    )
    left, right = psi(AM, degrees(0, 90)).tolist()
    work.numbers("AM at 0 and 90 degrees: 1 - m and -m", [left, right], [0.65, -0.35])
    _draw_curves(work)


def _draw_curves(work: Working) -> None:
    axes = work.figure("fig-3.19-target", 6.6, 4.2).subplots()
    angle = torch.deg2rad(torch.linspace(0, 180, 721, dtype=torch.float64))
    shown: list[tuple[str, Margin, str, str]] = [
        (name, margin, colour, "-") for name, margin, colour in CURVES
    ]
    shown.append(("A-Softmax m = 2, lambda 0", A_TWO, COLOURS[5], "-"))
    shown.append(("ArcFace m = 0.5", partial(additive_angle, m=0.5), COLOURS[3], "--"))
    for name, margin, colour, line in shown:
        axes.plot(angle.rad2deg(), psi(margin, angle), line, color=colour, label=name)
    axes.axvspan(90, 180, color="#F2F2F2", zorder=-1)
    axes.text(92, 1.15, "past the printed range", color="#444444", fontsize=9)
    axes.set(xlabel="angle θ to the own prototype (degrees)", ylabel="target score over s")
    axes.set(xlim=(0, 180), ylim=(-4.1, 1.45), xticks=range(0, 181, 30))
    axes.legend(loc="lower left", fontsize=9)


@claim(
    "C-AM-fig20",
    says="Softmax parts classes at the bisector, A-Softmax by a margin that moves, AM by a fixed gap in "
    "cosine (Figure 3.20).",
    verdict="holds",
)
def concept(work: Working) -> None:
    aparts = (60, 90, 120)
    for name, margin, wanted in (
        ("softmax", unchanged, (0, 0, 0)),
        ("A-Softmax m = 4, lambda = 0", A_SOFTMAX, (0.3090, 0.6420, 1.0180)),
        ("AM m = 0.35", AM, (0.35, 0.35, 0.35)),
    ):
        found = [_gap(margin, apart) for apart in aparts]
        work.numbers(f"{name}: cosine gap at the boundary, prototypes 60, 90, 120 apart", found, wanted)
    figure = work.figure("fig-3.20-circle", 7.2, 4.9)
    grid = figure.subplots(2, 3)
    shown: list[tuple[str, Margin]] = [
        ("softmax", unchanged), ("A-Softmax m = 4", A_SOFTMAX), ("AM m = 0.35", AM)
    ]  # fmt: skip
    for row, apart in zip(grid, (60, 120), strict=True):
        for axes, (title, one) in zip(row, shown, strict=True):
            _draw_circle(axes, one, apart)
            axes.set_title(f"{title}, {apart}° apart", fontsize=10, loc="center")


def _gap(margin: Margin, apart: float) -> float:
    place = boundary(margin, apart)
    return round(math.cos(math.radians(place)) - math.cos(math.radians(apart - place)), 9)


def _draw_circle(axes: Axes, margin: Margin, apart: float) -> None:
    """Where a feature satisfies the margin of either class, by trying every direction."""
    ways = [90 + apart / 2, 90 - apart / 2]
    turn = torch.arange(0, 360, 0.25, dtype=torch.float64)
    angles = [torch.deg2rad(180 - (180 - (turn - way).remainder(360)).abs()) for way in ways]
    lead = [psi(margin, own) - other.cos() for own, other in (angles, angles[::-1])]
    axes.add_patch(Wedge((0, 0), 1, 0, 360, width=0.3, color="#E2E2E2", lw=0))
    for ahead, way, colour in zip(lead, ways, COLOURS, strict=False):
        # Counted from the far side, so that no arc is cut in two.
        own = turn[ahead > 0]
        own = way - 180 + (own - (way - 180)).remainder(360)
        axes.add_patch(Wedge((0, 0), 1, own.min().item(), own.max().item(), width=0.3, color=colour, lw=0))
        tip = (0.98 * math.cos(math.radians(way)), 0.98 * math.sin(math.radians(way)))
        axes.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "#222222", "lw": 1.4})
    told = f"{boundary(margin, apart):.1f}° to the boundary\ncosine gap {_gap(margin, apart):.2f}"
    axes.text(0, -0.1, told, ha="center", va="top", fontsize=8.5)
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    axes.axis("off")
