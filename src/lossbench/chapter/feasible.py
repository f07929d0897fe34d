"""Section 3.6.6: which margins and scales can work at all."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import descend
from lossbench.diagnostics import infeasible_margin
from lossbench.feasibility import largest_margin, least_scale, loss_floor
from lossbench.heads import CosineHead
from lossbench.losses import cross_entropy_loss
from lossbench.margins import additive_cosine
from lossbench.report.style import COLOURS
from lossbench.suggest import MARGINS, SCALES

entropy_loss = partial(cross_entropy_loss, tau=1.0)


@claim(
    "C-AM-bound",
    says="Too large a margin cannot be attained.",
    verdict="holds",
)
def attainable(work: Working) -> None:
    work.let(
        "best: features on their own prototypes, cosine 1; then m <= 1 - cos of the nearest two prototypes"
    )
    work.let("C <= d + 1: simplex, 1 + 1/(C-1); circle: 1 - cos(360/C); up to 2d: axes, 1")
    for classes, dim, wanted in ((10, 64, 10 / 9), (10, 2, 0.19098), (6, 3, 1.0), (10, 3, 0.5957)):
        found = _widest_gap(classes, dim)
        within = 0.003 if (classes, dim) == (10, 3) else 1e-3
        work.number(f"C = {classes}, d = {dim}: by optimisation", found, wanted, within=within)
        bound, tight = largest_margin(classes, dim)
        if tight:
            work.number("its closed form", bound, wanted, step=True)
        else:
            work.true("no closed form, below the general bound of 1", found < bound, step=True)
    for dim, wanted in ((2, True), (64, False)):
        head = CosineHead(dim, 10, margin=partial(additive_cosine, m=0.35), s=30)
        told = infeasible_margin(head, dim=dim, classes=10)
        work.true(
            f"m = 0.35 for ten classes in {dim} dimensions",
            (told is not None) == wanted,
            "cannot be attained" if told else "can",
        )
    _draw_bounds(work)


def _widest_gap(classes: int, dim: int, starts: int = 12) -> float:
    """1 - the largest cosine between two of the best spread prototypes found."""
    found = torch.randn(starts, classes, dim, dtype=torch.float64)
    pairs = torch.triu_indices(classes, classes, 1)

    def cosines(prototypes: Tensor) -> Tensor:
        unit = F.normalize(prototypes, dim=2)
        return (unit @ unit.mT)[:, pairs[0], pairs[1]]

    def largest(prototypes: Tensor, sharpness: int) -> Tensor:
        return ((sharpness * cosines(prototypes)).logsumexp(1) / sharpness).sum()

    for sharpness in (5, 15, 50, 150, 500, 1500):
        found = F.normalize(found.detach(), dim=2).requires_grad_()
        descend([found], partial(largest, found, sharpness), lr=1 / sharpness, steps=80)
    return 1 - cosines(found.detach()).amax(1).min().item()


def _draw_bounds(work: Working) -> None:
    axes = work.figure("fig-3.21-feasible", 6.4, 3.6).subplots()
    for dim, colour, last in ((2, COLOURS[0], 20), (3, COLOURS[1], 20), (8, COLOURS[2], 16)):
        counts = range(2, last + 1)
        bounds = [largest_margin(classes, dim) for classes in counts]
        found = [
            bound if tight else _widest_gap(classes, dim, 4)
            for classes, (bound, tight) in zip(counts, bounds, strict=True)
        ]
        # Without one of its prototypes no arrangement gets worse.
        falling = np.maximum.accumulate(found[::-1])[::-1]
        axes.plot(counts, falling, ".-", color=colour, label=f"d = {dim}")
    axes.axhline(0.35, color="#888888", ls="--", lw=1, zorder=0)
    axes.text(1.6, 0.37, "m = 0.35", color="#444444")
    axes.set(xlabel="classes", ylabel="largest attainable margin m", ylim=(0, 2.05), xticks=range(2, 21, 2))
    axes.legend()


@claim(
    "C-AM-s",
    says="s rescales the scores for numerical stability and control of gradients.",
    verdict="note",
    correct="And reach: at s = 1 the loss of ten classes cannot fall below 1.377 (10,572 classes: 8.266), "
    "nor p rise above 0.25, even where every class is right. A mean p of 0.9 needs s >= 3.96 and 11.46.",
)
def floor(work: Working) -> None:
    work.let("best cosines 1 and -1/(C-1): L >= log(1 + (C-1) exp(-s C/(C-1)))")
    work.numbers(
        "floor at s = 1, C = 10 and 10,572",
        [loss_floor(10, 1), loss_floor(10572, 1)],
        [1.37702, 8.26595],
        within=1e-4,
    )
    work.let(f"untrained: log 10 = {math.log(10):.3f}, log 10,572 = {math.log(10572):.3f}")
    for s in (1.0, 4.0):
        work.number(
            f"C = 10, s = {s:g}: prototypes and features optimised freely",
            _trained_loss(s),
            loss_floor(10, s),
        )
    work.let("s >= (C-1)/C log((C-1) P / (1 - P))")
    scales = [least_scale(classes, 0.9) for classes in (10, 10572)]
    work.numbers("least s for a mean p of 0.9", scales, [3.955, 11.462], within=1e-3)
    reached = [math.exp(-loss_floor(classes, s)) for classes, s in zip((10, 10572), scales, strict=True)]
    work.numbers("p that is possible there", reached, [0.9, 0.9])


def _trained_loss(s: float) -> float:
    """Least mean loss of ten features and ten prototypes in ten dimensions."""
    target = torch.arange(10)
    both = F.normalize(torch.randn(2, 10, 10, dtype=torch.float64), dim=2).requires_grad_()

    def cost() -> Tensor:
        x, w = F.normalize(both, dim=2)
        return entropy_loss(s * x @ w.T, target).mean()

    descend([both], cost, lr=2.0, steps=2000)
    return cost().item()


@claim(
    "C-AM-sm",
    says="Typical are s from 30 to 64 and m from 0.2 to 0.5; a grid of s 16, 30, 64 and m 0.25 to 0.45 is "
    "enough.",
    verdict="holds with a condition",
    correct="As far as can be told without training: all of it is attainable for 10,572 people in 512 "
    "dimensions. For ten classes in two dimensions 0.2 is already too much, in three 0.6.",
)
def typical(work: Working) -> None:
    scales = [least_scale(classes, 0.9) for classes in (10572, 1_000_000)]
    work.numbers(
        "least s for a mean p of 0.9, 10,572 and 1,000,000 classes", scales, [11.462, 16.012], within=1e-3
    )
    work.true(
        "the grid's least s is enough for the first alone",
        scales[0] < min(SCALES) < scales[1],
        f"{min(SCALES):g}",
    )
    unit = F.normalize(torch.randn(3000, 512))
    gap = 1 - (unit @ unit.T).fill_diagonal_(-1).max().item()
    work.true(
        "the nearest of 3,000 random prototypes in 512 dimensions leave a margin beyond 0.5",
        gap > 0.5 >= max(MARGINS),
        f"{gap:.2f}",
    )
    small = [_widest_gap(10, dim) for dim in (2, 3)]
    work.numbers("ten classes in 2 and 3 dimensions: m at most", small, [0.19098, 0.5957], within=0.003)
