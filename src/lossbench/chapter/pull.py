"""Section 3.6.6: how far the margins pull a feature towards its prototype."""

from __future__ import annotations

import math

import numpy as np

from lossbench.chapter.angles import A_SOFTMAX, A_TRAINED, AM, CURVES, boundary, widest
from lossbench.chapter.claim import Working, claim
from lossbench.report.style import COLOURS


@claim(
    "C-AM-thetamax",
    says="The angle left to the own prototype is arccos(cos theta_j + m), about theta_j - m / sin theta_j.",
    verdict="holds with a condition",
    correct="From theta_j = arccos(1 - m), 49.46 degrees, on; the straight line is good near 90 degrees "
    "alone. The pull is not larger the harder the case: least at 100 degrees, as large at 180 as at 49.46.",
)
def angle_left(work: Working) -> None:
    work.let("60 degrees: arccos(0.5 + 0.35); 90 degrees: arccos(0 + 0.35)")
    found = [widest(AM, rival) for rival in (60, 90)]
    work.numbers("angle left at 60 and 90 degrees", found, [31.79, 69.51], within=0.01)
    lines = [rival - math.degrees(0.35 / math.sin(math.radians(rival))) for rival in (60, 90)]
    work.numbers("by the straight line", lines, [36.84, 69.95], within=0.01)
    left = [not math.isnan(widest(AM, rival)) for rival in (40, 49.45, 49.47, 60)]
    work.numbers("rival at 40, 49.45, 49.47, 60 degrees: 1 if an angle is left", left, [0, 0, 1, 1])
    pulls = [rival - widest(AM, rival) for rival in (49.4585, 60, 90, 150, 180)]
    wanted = [49.458, 28.212, 20.487, 28.93, 49.458]
    work.numbers("pull at 49.46, 60, 90, 150, 180 degrees", pulls, wanted, within=0.2)
    coarse = [rival - widest(AM, rival) for rival in range(50, 181, 2)]
    work.number("least pull in steps of 2 degrees at", 50 + 2 * coarse.index(min(coarse)), 100)
    rivals = [rival / 10 for rival in range(970, 1031)]
    least = min(rivals, key=lambda rival: rival - widest(AM, rival))
    work.number("least pull at", least, 100.1, within=0.1)
    work.number("it is", least - widest(AM, least), 20.16, within=0.01)
    _draw_pulls(work)


def _draw_pulls(work: Working) -> None:
    axes = work.figure("fig-3.20-pull", 6.4, 3.6).subplots()
    rivals = np.linspace(1, 180, 240)
    for name, margin, colour in CURVES[1:]:
        axes.plot(rivals, [rival - widest(margin, rival) for rival in rivals], color=colour, label=name)
    axes.plot(
        rivals,
        np.degrees(0.35 / np.sin(np.radians(rivals))),
        ls="--",
        color=COLOURS[0],
        lw=1.2,
        label="AM-Softmax, straight line",
    )
    axes.axvline(49.46, color="#888888", lw=1, ls=":", zorder=0)
    axes.text(
        47.5,
        110,
        "below: no angle left to AM",
        rotation=90,
        ha="right",
        va="center",
        color="#444444",
        fontsize=9,
    )
    axes.set(xlabel="angle to the nearest wrong prototype (degrees)", ylabel="pull inwards (degrees)")
    axes.set(xlim=(0, 180), ylim=(0, 165), xticks=range(0, 181, 30), yticks=range(0, 121, 30))
    axes.legend(loc="upper left", bbox_to_anchor=(0.28, 1.02))


@claim(
    "C-AM-numeric",
    says="Beside a rival at 60 or 90 degrees AM m = 0.35 leaves 31.8 or 69.5 degrees, A-Softmax m = 4 15 "
    "or 22.5.",
    verdict="holds with a condition",
    correct="A-Softmax at lambda = 0. At lambda = 5, where its face recipe ends, it leaves 38.7 and 66.9.",
)
def left_beside(work: Working) -> None:
    work.let("A-Softmax: psi(theta_y) = cos theta_j, that is theta_y = theta_j / 4 at lambda = 0")
    for name, margin, wanted in (
        ("AM m = 0.35", AM, (31.79, 69.51)),
        ("A-Softmax m = 4, lambda = 0", A_SOFTMAX, (15, 22.5)),
        ("A-Softmax m = 4, lambda = 5", A_TRAINED, (38.67, 66.92)),
    ):
        work.numbers(
            f"{name}: left at 60 and 90", [widest(margin, rival) for rival in (60, 90)], wanted, within=0.01
        )


@claim(
    "X-09",
    says="A-Softmax presses hard samples too much and easy ones little, yet over-tightens easy ones; the "
    "pull of AM is never extreme.",
    verdict="conflict",
    correct="By the chapter's own numbers A-Softmax takes 45 degrees from the hard and 67.5 from the easy "
    "case. At lambda = 5 it takes 21.3 and 23.1, less than AM's 28.2 from the hard one. AM takes all 49.46 "
    "degrees at its limit, and m / sin theta_j has no bound.",
)
def pressure(work: Working) -> None:
    for name, margin, wanted in (
        ("A-Softmax, lambda = 0: 3/4 of theta_j", A_SOFTMAX, (45, 67.5)),
        ("A-Softmax, lambda = 5", A_TRAINED, (21.33, 23.08)),
        ("AM m = 0.35", AM, (28.21, 20.49)),
    ):
        pulls = [rival - widest(margin, rival) for rival in (60, 90)]
        work.numbers(f"{name}: pull at 60 and 90", pulls, wanted, within=0.01)
    limit = math.degrees(math.acos(1 - 0.35))
    work.number("AM's pull at its limit of 49.46", limit - widest(AM, limit + 1e-9), 49.458, within=0.01)
    lines = [math.degrees(0.35 / math.sin(math.radians(rival))) for rival in (30, 10, 1)]
    work.numbers("m / sin theta_j at 30, 10, 1 degrees", lines, [40.1, 115.5, 1149], within=0.1)


@claim(
    "X-31",
    says="The rivals at 60 and 90 degrees lie so far from the true prototype.",
    verdict="conflict",
    correct="The formula takes theta_j from the feature to the wrong prototype. For prototypes 60 and 90 "
    "degrees apart AM leaves 9.5 and 30.7, A-Softmax 12 and 18, or 21.7 and 34.4 at lambda = 5.",
)
def between_prototypes(work: Working) -> None:
    work.let("with theta_j = A - theta_y: psi(theta_y) = cos(A - theta_y)")
    for name, margin, wanted in (
        ("AM", AM, (9.51, 30.67)),
        ("A-Softmax, lambda = 0", A_SOFTMAX, (12, 18)),
        ("A-Softmax, lambda = 5", A_TRAINED, (21.66, 34.39)),
    ):
        found = [boundary(margin, apart) for apart in (60, 90)]
        work.numbers(f"{name}: left for prototypes 60 and 90 apart", found, wanted, within=0.01)
        from_feature = [widest(margin, rival) for rival in (60, 90)]
        larger = all(one > other + 1 for one, other in zip(from_feature, found, strict=True))
        told = f"{from_feature[0]:.1f}, {from_feature[1]:.1f}"
        work.true(f"{name}: more for a feature 60 and 90 from the wrong one", larger, told)
    close = [boundary(margin, 60) for margin in (AM, A_SOFTMAX, A_TRAINED)]
    work.true("for the close pair AM is the strictest", close[0] == min(close))
