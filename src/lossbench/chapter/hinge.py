"""Section 3.6.4: the multiclass hinge loss."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.scores import NAMES, SCORES, TARGET, cost, row, slope
from lossbench.losses import (
    crammer_singer_loss,
    cross_entropy_loss,
    hinge_loss,
    squared_hinge_loss,
)


@claim(
    "C-3.6.4-hinge",
    says="L = sum over j != y of max(0, s_j - s_y + 1): 0 when the margins hold, else linear.",
    verdict="holds",
)
def slopes(work: Working) -> None:
    for name, scores, target, wanted in zip(
        NAMES, SCORES, TARGET.tolist(), ([-1, 1, 0], [0, 0, 0], [1, 1, -2]), strict=True
    ):
        violated = sum(float(s) - float(scores[target]) + 1 > 0 for j, s in enumerate(scores) if j != target)
        work.let(f"{name}: {violated} violated, each with slope +1, and -{violated} for its own score")
        found = slope(_hinge, scores[None], target)[0]
        work.numbers(f"slope of the {name} image by autograd", found.tolist(), wanted)
    work.number("scores (2, 1, -5): margins 1 and 7 hold", cost(_hinge, row(2, 1, -5)), 0.0)
    falling = [cost(_hinge, row(own, 1, -5)) for own in (1.5, 1.0, 0.5)]
    work.numbers("own score 1.5, 1, 0.5 beside 1", falling, [0.5, 1.0, 1.5])
    doubled = cost(partial(hinge_loss, delta=2.0), row(2, 1, -5))
    work.number("scores (2, 1, -5) with a margin of 2", doubled, 1.0)


def _hinge(scores: Tensor, target: Tensor) -> Tensor:
    return hinge_loss(scores, target, delta=1.0)


@claim(
    "C-3.6.4-ex",
    says="The losses of the three example images are 2.9, 0 and 12.9; their mean is 5.27.",
    verdict="holds",
)
def example(work: Working) -> None:
    for name, scores, target in zip(NAMES, SCORES.tolist(), TARGET.tolist(), strict=True):
        terms = [
            f"max(0, {score:g} - {scores[target]:g} + 1)" for j, score in enumerate(scores) if j != target
        ]
        work.let(f"{name}: {' + '.join(terms)}")
    hinge = _hinge(SCORES, TARGET)
    work.numbers("hinge of cat, car, frog", hinge.tolist(), [2.9, 0.0, 12.9])
    work.number("mean", float(hinge.mean()), 15.8 / 3)
    entropy = cross_entropy_loss(SCORES, TARGET, tau=1.0)
    work.numbers("cross-entropy beside it", entropy.tolist(), [2.0404, 0.0791, 6.1565])
    squared = squared_hinge_loss(SCORES, TARGET, delta=1.0)
    work.numbers("squared hinge", squared.tolist(), [8.41, 0.0, 83.25])
    work.numbers("Crammer-Singer", crammer_singer_loss(SCORES, TARGET, delta=1.0).tolist(), [2.9, 0.0, 6.6])


@claim(
    "X-15",
    says="L_cat begins with max(0, s_cat - s_cat + 1).",
    verdict="slip",
    correct="s_car - s_cat + 1; the numbers on the next line are right.",
)
def first_term(work: Working) -> None:
    cat, car, frog = SCORES[0].tolist()
    printed = max(0, cat - cat + 1) + max(0, frog - cat + 1)
    meant = max(0, car - cat + 1) + max(0, frog - cat + 1)
    work.let(f"as printed: max(0, {cat} - {cat} + 1) + max(0, {frog} - {cat} + 1)")
    work.number("as printed", printed, 1.0)
    work.let(f"as meant: max(0, {car} - {cat} + 1) + max(0, {frog} - {cat} + 1)")
    work.number("as meant", meant, 2.9)
    work.number("hinge of the cat image", cost(_hinge, SCORES[:1]), 2.9)
