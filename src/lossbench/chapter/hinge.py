"""Section 3.6.4: the multiclass hinge loss."""

from __future__ import annotations

import torch

from lossbench.chapter.claim import Working, claim
from lossbench.losses import crammer_singer_loss, cross_entropy_loss, hinge_loss, squared_hinge_loss

NAMES = ("cat", "car", "frog")
SCORES = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]], dtype=torch.float64)
TARGET = torch.tensor([0, 1, 2])


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
    hinge = hinge_loss(SCORES, TARGET, delta=1.0)
    work.numbers("hinge of cat, car, frog", hinge.tolist(), [2.9, 0.0, 12.9])
    work.number("mean", float(hinge.mean()), 15.8 / 3)
    entropy = cross_entropy_loss(SCORES, TARGET, tau=1.0)
    work.numbers("cross-entropy beside it", entropy.tolist(), [2.0404, 0.0791, 6.1565])
    squared = squared_hinge_loss(SCORES, TARGET, delta=1.0)
    work.numbers("squared hinge", squared.tolist(), [8.41, 0.0, 83.25])
    work.numbers("Crammer-Singer", crammer_singer_loss(SCORES, TARGET, delta=1.0).tolist(), [2.9, 0.0, 6.6])


@claim(
    "X-02",
    says="Scaling the scores does not change the hinge loss (3.6.5, caption of 3.18).",
    verdict="overstated",
    correct="Only a factor of at least 1 while every margin is satisfied leaves it at 0.",
)
def scaling(work: Working) -> None:
    def loss(scores: list[float], factor: float) -> float:
        return float(hinge_loss(factor * torch.tensor([scores]).double(), torch.tensor([0]), delta=1.0))

    work.number("all margins satisfied, factor 2", loss([10, -2, 3], 2), 0.0)
    work.number("the cat image as it is", loss([3.2, 5.1, -1.7], 1), 2.9)
    work.number("the cat image, factor 2", loss([3.2, 5.1, -1.7], 2), 4.8)
    work.number("[10, 9.5, 9.5] as it is", loss([10, 9.5, 9.5], 1), 1.0)
    work.number("[10, 9.5, 9.5], factor 2", loss([10, 9.5, 9.5], 2), 0.0)
    work.number("a satisfied [2, 0.5, 0.5], factor 0.5", loss([2, 0.5, 0.5], 0.5), 0.5)
