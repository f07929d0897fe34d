"""Section 3.6.5: cross-entropy beside the hinge, and what scaling the scores does to both."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import accuracy, digits, network, train
from lossbench.chapter.scores import SCORES, Loss, cost, row, slope
from lossbench.losses import cross_entropy_loss, focal_loss, hinge_loss
from lossbench.report.style import COLOURS

ROWS = ((10.0, -2.0, 3.0), (10.0, 9.0, 9.0), (10.0, -100.0, -100.0))

entropy_loss = partial(cross_entropy_loss, tau=1.0)
exact_loss = partial(focal_loss, gamma=0.0)


def _hinge(scores: Tensor, target: Tensor) -> Tensor:
    return hinge_loss(scores, target, delta=1.0)


@claim(
    "C-3.6.5-double",
    says="The target's score goes from 10 to 20 in three rows: cross-entropy falls, the hinge stays 0.",
    verdict="holds",
)
def doubling(work: Working) -> None:
    doubled = [(20.0, *others) for _, *others in ROWS]
    before, after = ([cost(exact_loss, row(*z)) for z in rows] for rows in (ROWS, doubled))
    wanted = ((9.17605e-4, 4.16783e-8), (0.551445, 3.34028e-5), (3.37782e-48, 1.53353e-52))
    for z, first, second, pair in zip(ROWS, before, after, wanted, strict=True):
        work.let(f"{_told(z)}: log(1 + exp({z[1]:g} - s_y) + exp({z[2]:g} - s_y))")
        work.number(f"{_told(z)}: cross-entropy", first, pair[0], within=1e-5 * pair[0])
        work.number("with 20", second, pair[1], within=1e-5 * pair[1])
    hinges = [[cost(_hinge, row(*z)) for z in rows] for rows in (ROWS, doubled)]
    work.numbers("hinge before and after", [*hinges[0], *hinges[1]], [0.0] * 6, within=0.0)
    work.let("the third row is exactly 0 by log-sum-exp in float64; log1p of exp(-110) keeps it")
    work.number("third row by log-sum-exp", cost(entropy_loss, row(*ROWS[2])), 0.0, within=0.0)
    _draw_doubling(work, before, after)


def _told(scores: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{score:g}' for score in scores)}]"


def _draw_doubling(work: Working, before: list[float], after: list[float]) -> None:
    axes = work.figure("fig-3.18-doubling", 6.4, 2.9).subplots()
    for place, (first, second) in enumerate(zip(before, after, strict=True)):
        axes.annotate(
            "", (second, place), (first, place), arrowprops={"arrowstyle": "->", "color": "#888888"}
        )
    places = range(3)
    axes.plot(before, places, "o", color=COLOURS[0], label="cross-entropy, target's score 10")
    axes.plot(after, places, "o", color=COLOURS[1], label="cross-entropy, target's score 20")
    axes.plot([], [], " ", label="hinge: 0 in all six")
    axes.set(xscale="log", xlim=(1e-54, 10), ylim=(2.5, -0.5), xlabel="loss (nats, logarithmic)")
    axes.set_yticks(places, [_told(z) for z in ROWS])
    axes.legend(loc="lower center", bbox_to_anchor=(0.42, 1.0), ncols=2, fontsize=9)


@claim(
    "C-3.6.5-sens",
    says="Once the margins hold the hinge is flat; cross-entropy keeps falling as the target's score grows.",
    verdict="holds",
)
def sensitivity(work: Working) -> None:
    own = torch.linspace(-2, 12, 281, dtype=torch.float64)
    scores = torch.stack([own, torch.full_like(own, 3), torch.full_like(own, -2)], 1)
    target = torch.zeros(281, dtype=torch.long)
    work.let("scores (s, 3, -2), label 0: margins of 1 hold from s = 4 on")
    entropy, hinge = entropy_loss(scores, target), _hinge(scores, target)
    entropy_slope, hinge_slope = (slope(loss, scores)[:, 0] for loss in (entropy_loss, _hinge))
    work.true("cross-entropy falls at every step from s = -2 to 12", bool((entropy.diff() < 0).all()))
    gap = (entropy_slope + 1 - scores.softmax(1)[:, 0]).abs().max().item()
    work.true("its slope is -(1 - p_y), never 0", gap < 1e-10 and bool((entropy_slope < 0).all()),
              f"{entropy_slope[-1]:.1e} at 12")  # fmt: skip
    past = own > 4
    work.number("largest hinge past s = 4", hinge[past].abs().max().item(), 0.0, within=0.0)
    work.number("largest slope there", hinge_slope[past].abs().max().item(), 0.0, within=0.0)
    falling = [slope(_hinge, row(s, 3, -2))[0, 0].item() for s in (-1.5, 1, 5)]
    work.numbers("hinge slope at s = -1.5, 1, 5", falling, [-2.0, -1.0, 0.0])
    upper, lower = work.figure("fig-3.18-sensitivity", 6.4, 4.6).subplots(2, 1, sharex=True)
    for axes, one, other, name in (
        (upper, entropy, hinge, "loss"), (lower, entropy_slope, hinge_slope, "slope in the target's score")
    ):  # fmt: skip
        axes.plot(own, one, color=COLOURS[0], label="cross-entropy")
        axes.plot(own, other, color=COLOURS[1], label="hinge, margin 1")
        axes.axvline(4, color="#888888", lw=1, ls=":", zorder=0)
        axes.set_ylabel(name)
    upper.legend(loc="upper right")
    lower.set_xlabel("target's score s, in scores (s, 3, -2); dotted: all margins hold")


@claim(
    "C-3.6.5-scale",
    says="Scaling the scores changes cross-entropy but not the hinge.",
    verdict="overstated",
    correct="The hinge stays only at 0 and for a factor of at least 1: see X-02 for the other cases.",
)
def scaling(work: Working) -> None:
    work.let("[10, -2, 3] times c, label 0: log(1 + exp(-12 c) + exp(-7 c))")
    for factor, wanted in ((0.5, 0.0321536), (1, 9.17605e-4), (2, 8.3157e-7)):
        found = cost(entropy_loss, factor * row(10, -2, 3))
        work.number(f"cross-entropy at c = {factor:g}", found, wanted, within=1e-4 * wanted)
    work.numbers(
        "hinge at c = 0.5, 1, 2", [cost(_hinge, factor * row(10, -2, 3)) for factor in (0.5, 1, 2)], [0, 0, 0]
    )
    violated = [cost(_hinge, factor * SCORES[:1]) for factor in (0.5, 1, 2)]
    work.numbers("hinge of the cat image, a margin violated, at c = 0.5, 1, 2", violated, [1.95, 2.9, 4.8])


@claim(
    "X-02",
    says="Scaling the scores does not change the hinge loss (3.6.5, caption of 3.18).",
    verdict="overstated",
    correct="Only a factor of at least 1 while every margin is satisfied leaves it at 0.",
)
def scaled_hinge(work: Working) -> None:
    def loss(scores: tuple[float, ...], factor: float) -> float:
        return cost(_hinge, factor * row(*scores))

    work.let("figure 3.18 raises one score, it does not scale: [10, -2, 3] times 2 is [20, -4, 6]")
    work.number("all margins satisfied, factor 2", loss((10, -2, 3), 2), 0.0)
    work.number("the cat image as it is", loss((3.2, 5.1, -1.7), 1), 2.9)
    work.number("the cat image, factor 2", loss((3.2, 5.1, -1.7), 2), 4.8)
    work.number("[10, 9.5, 9.5] as it is", loss((10, 9.5, 9.5), 1), 1.0)
    work.number("[10, 9.5, 9.5], factor 2", loss((10, 9.5, 9.5), 2), 0.0)
    work.number("a satisfied [2, 0.5, 0.5], factor 0.5", loss((2, 0.5, 0.5), 0.5), 0.5)


@claim(
    "X-01",
    says="Scaling has no effect under losses of relative scores such as cross-entropy (3.2.1).",
    verdict="overstated",
    correct="On the predicted class, the reason given. Differences of scores scale too, so the loss and its "
    "gradient change, as 3.6.5 says itself.",
)
def relative_scores(work: Working) -> None:
    z = row(2, -1, 0.5)
    first = [(factor * z).argmax().item() for factor in (0.5, 1, 2)]
    work.numbers("predicted class of [2, -1, 0.5] times 0.5, 1, 2", first, [0, 0, 0])
    work.let("differences: 2 - (-1) = 3 and 2 - 0.5 = 1.5; at 0.5 they are 1.5 and 0.75")
    costs = [cost(entropy_loss, factor * z) for factor in (0.5, 1, 2)]
    work.numbers("its cross-entropy", costs, [0.5280, 0.2413, 0.0509])
    slopes = [slope(entropy_loss, factor * z)[0, 0].item() for factor in (0.5, 1, 2)]
    work.numbers("its slope in the target's score", slopes, [-0.41020, -0.21440, -0.04967])
    shifted = cost(entropy_loss, z + 5)
    work.number("5 added to all scores instead: no effect", shifted, 0.2413)


@claim(
    "C-3.6-concl",
    says="The hinge needs regularisation, as many W have no loss; deep nets are trained with cross-entropy.",
    verdict="holds with a condition",
    correct="Cross-entropy needs it or an early stop as well: on separable data it has no least W, but falls "
    "for ever as W grows.",
    otherwise="not reproduced here",
)
def conclusion(work: Working) -> None:
    centres = torch.tensor([[3.0, 0], [-1.5, 2.6], [-1.5, -2.6]], dtype=torch.float64)
    target = torch.arange(60) % 3
    x = centres[target] + 0.5 * torch.randn(60, 2, dtype=torch.float64)
    work.let("three separable blobs, 60 points, each class's centre as its row of W, times a factor")
    factors = (1, 2, 4)
    flat, falling = (
        [loss(k * x @ centres.T, target).mean().item() for k in factors] for loss in (_hinge, exact_loss)
    )
    work.numbers("hinge of W, 2W, 4W", flat, [0, 0, 0])
    told = ", ".join(f"{value:.1e}" for value in falling)
    work.true("cross-entropy of the same goes on falling", falling[0] > falling[1] > falling[2] > 0, told)
    work.let("nets 64-64-10 on 400 digits, 100 steps at the better of rates 0.03 and 0.1, means over 3 seeds")
    entropy, hinge = (
        max(_digits_right(loss, rate) for rate in (0.03, 0.1)) for loss in (entropy_loss, _hinge)
    )
    told = f"{entropy:.1f} and {hinge:.1f} % of 359 others"
    work.true(
        "a small net gets no fewer right with cross-entropy than with the hinge", entropy >= hinge, told
    )


def _digits_right(loss: Loss, lr: float) -> float:
    images, labels = (part[:400] for part in digits()["train"])
    found = 0.0
    for seed in range(3):
        model = network(seed)
        train(model, loss, images, labels, lr=lr, steps=100)
        found += accuracy(model) / 3
    return found
