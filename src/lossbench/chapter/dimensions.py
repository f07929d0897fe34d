"""Sections 3.4.3 and 3.4.4: the perceptron and XOR, and how dimensions change what is separable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from scipy.stats import binom
from torch import Tensor

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import train
from lossbench.chapter.geometry import CORNERS, IS_XOR, Scores, entropy_loss, fitted, net, shade
from lossbench.chapter.linear import linear_head
from lossbench.chapter.separation import most_right, separable
from lossbench.report.style import COLOURS

GATES = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "xor": IS_XOR.tolist()}


def perceptron(target: Sequence[int], start: Sequence[int] = (0, 0, 0)) -> tuple[list[int], int | None]:
    """Mistakes in each round over the four corners, and the earlier round whose weights came back, if any.

    It ends with a round without mistakes, or when the weights before a round were there before: from then
    on everything repeats.
    """
    rows = [(*map(int, corner), 1) for corner in CORNERS.tolist()]
    weights, mistakes, seen = tuple(start), list[int](), dict[tuple[int, ...], int]()
    while weights not in seen:
        seen[weights] = len(mistakes)
        wrong = 0
        for row, wanted in zip(rows, target, strict=True):
            fires = sum(w * x for w, x in zip(weights, row, strict=True)) > 0
            if fires != wanted:
                wrong += 1
                weights = tuple(w + (2 * wanted - 1) * x for w, x in zip(weights, row, strict=True))
        mistakes.append(wrong)
        if not wrong:
            return mistakes, None
    return mistakes, seen[weights]


@claim("C-3.4.3-perceptron", says="The perceptron cannot learn XOR.", verdict="holds")
def xor(work: Working) -> None:
    work.let("on a mistake w gains ± (x, y, 1); from w = (0, 0, 0), corners in the order 00, 01, 10, 11")
    for gate, target in GATES.items():
        mistakes, back = perceptron(target)
        work.let(f"{gate}: mistakes in each round: {', '.join(map(str, mistakes))}")
        if gate != "xor":
            work.true(f"{gate}: a round without mistakes", back is None, f"the {len(mistakes)}th")
            continue
        work.true("xor: the weights come back, so it repeats for ever", back is not None,
                  f"before round {len(mistakes) + 1} those of round {(back or 0) + 1}")  # fmt: skip
        repeated = mistakes[back or 0 :]
        work.true("with mistakes in each round", min(repeated) > 0, f"{min(repeated)} or more")
    starts = list(product(range(-3, 4), repeat=3))
    stuck = sum(perceptron(GATES["xor"], start)[1] is not None for start in starts)
    work.number(f"of {len(starts)} other starts: without end", stuck, len(starts))
    work.number("most that a line gets right", most_right(CORNERS, IS_XOR), 0.75)
    work.true("with x y as a third input, a plane exists", separable(_with_product(CORNERS), IS_XOR))
    _draw_xor(work)


def _draw_xor(work: Working) -> None:
    line = linear_head(torch.tensor([[0.0, 0], [1, 1]]).double(), torch.tensor([0.0, -0.5]).double())
    product_head = fitted(_with_product(CORNERS), IS_XOR)
    model = net(0)
    train(model, entropy_loss, CORNERS, IS_XOR, lr=0.1, steps=400)
    drawn: dict[str, Scores] = {
        "a line: 3 of 4": line,
        "x y as an input": lambda points: product_head(_with_product(points)),
        "net 2-16-2": model,
    }
    panels = work.figure("fig-3.12-xor", 6.8, 2.6).subplots(1, 3)
    for axes, (name, scores) in zip(panels, drawn.items(), strict=True):
        shade(axes, scores, -0.5, 1.5)
        for (x, y), label in zip(CORNERS.tolist(), IS_XOR.tolist(), strict=True):
            axes.plot(x, y, "os"[label], color=COLOURS[label], ms=10, mec="white")
        axes.set_title(name, loc="center")


def _with_product(points: Tensor) -> Tensor:
    return torch.cat([points, points.prod(1, keepdim=True)], 1)


def separable_share(points: int, size: int) -> float:
    """Share of all labellings of points in general position that a hyperplane with bias can part.

    2^(1 - n) sum over k <= d of (n - 1 over k) (Cover 1965, "Geometrical and statistical properties of
    systems of linear inequalities").
    """
    return float(binom.cdf(size, points - 1, 0.5))


def _counted(points: int, size: int) -> int:
    """How many labellings of random points a hyperplane parts, by a linear programme for each."""
    drawn = torch.randn(points, size)
    return sum(separable(drawn, torch.tensor(each)) for each in product((0, 1), repeat=points))


def _sampled(points: int, size: int, draws: int) -> float:
    parted = (separable(torch.randn(points, size), torch.randint(2, (points,))) for _ in range(draws))
    return sum(parted) / draws


@claim(
    "C-3.4.4-highdim",
    says="Geometry in many dimensions defies what two or three dimensions teach.",
    verdict="holds",
)
def many_dimensions(work: Working) -> None:
    work.let(
        "n points in general position have 2 sum over k <= d of (n - 1 over k) labellings that are parted"
    )
    counted = [_counted(points, 2) for points in (3, 4, 5, 6)]
    work.numbers("in the plane, n = 3, 4, 5, 6: of 8, 16, 32, 64", counted, [8, 14, 22, 32])
    share = [2**points * separable_share(points, 2) for points in (3, 4, 5, 6)]
    work.numbers("by the formula", share, [8, 14, 22, 32])
    work.number("11 random points of 10 dimensions, 100 random labellings: parted", _sampled(11, 10, 100), 1)
    half = _sampled(22, 10, 200)
    work.true("22 points, n = 2 (d + 1), 200 labellings: about half", abs(half - 0.5) < 0.12, f"{half:.3f}")
    work.let("d = 3072, as CIFAR-10: 3073 images whatever their labels, of 6146 half of the labellings, "
             f"of 7000 a share of {separable_share(7000, 3072):.0e}")  # fmt: skip
    for size, wanted in ((2, 52.0), (3072, 1.034)):
        one, other = torch.randn(2, 2000, size).double()
        angles = torch.cosine_similarity(one, other).clamp(-1, 1).acos() * 180 / math.pi
        work.number(f"angle of two random directions, d = {size}: SD in degrees", angles.std().item(), wanted,
                    within=wanted / 10)  # fmt: skip
    _draw_cover(work)


def _draw_cover(work: Working) -> None:
    axes = work.figure("fig-3.4.4-separable", 6.4, 3.4).subplots()
    for size, colour in ((2, COLOURS[2]), (10, COLOURS[1]), (3072, COLOURS[0])):
        counts = range(1, 3 * (size + 1) + 1, max(1, size // 50))
        shares = [separable_share(n, size) for n in counts]
        axes.plot([n / (size + 1) for n in counts], shares, color=colour, label=f"d = {size}")
    for size, colour in ((2, COLOURS[2]), (10, COLOURS[1])):
        for ratio in (4 / 3, 5 / 3, 2, 7 / 3, 8 / 3):
            n = round(ratio * (size + 1))
            axes.plot(n / (size + 1), _sampled(n, size, 100), "o", ms=4, color=colour)
    axes.set(
        xlabel="points per parameter, n / (d + 1)", ylabel="labellings parted (share)", ylim=(-0.03, 1.05)
    )
    axes.legend(title="line: formula, dot: 100 draws")
