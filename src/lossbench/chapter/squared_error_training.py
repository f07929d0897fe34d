"""Enrichment 3.6.3.1: what squared error and cross-entropy lead to when trained with."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache, partial

import torch
from torch import Tensor, nn

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import accuracy, descend, digits, fitted_shares, network, train
from lossbench.chapter.scores import Loss
from lossbench.losses import cross_entropy_loss, mse_loss
from lossbench.report.style import COLOURS

entropy_loss = partial(cross_entropy_loss, tau=1.0)
LOSSES: dict[str, Loss] = {"cross-entropy": entropy_loss, "squared error": mse_loss}


@claim(
    "X-26",
    says="Squared error is the wrong idea for classes; cross-entropy ensures calibrated output.",
    verdict="overstated",
    correct="On p it is the Brier score: strictly proper, least at the true frequencies as well; what "
    "differs is the slope in the scores. And a net trained with cross-entropy may need its temperature set.",
)
def brier(work: Working) -> None:
    work.let("ten samples that look alike, seven labelled 0, two 1, one 2")
    for name, loss in LOSSES.items():
        p = fitted_shares(loss, torch.tensor([0] * 7 + [1] * 2 + [2]))
        work.numbers(f"p at the least {name}", p.tolist(), [0.7, 0.2, 0.1], within=1e-5)
    images, targets = (part[:150] for part in _few())
    model = network(0)
    train(model, entropy_loss, images, targets, lr=0.3, steps=200)
    with torch.no_grad():
        sure = 100 * model(digits()["test"][0]).softmax(1).amax(1).mean().item()
    right = accuracy(model)
    work.let("a net trained on 150 digits with cross-entropy, 200 steps, then 359 others")
    work.true(
        "a net trained with cross-entropy is surer than right",
        sure > right + 1,
        f"mean p {sure:.1f} %, right {right:.1f} %",
    )


STEPS, SEEDS, IMAGES = 120, 3, 400
RATES = (0.1, 0.3, 1.0)


@claim(
    "C-3.6.3.1-mse-train",
    says="Squared error trains more slowly and less stably than cross-entropy.",
    verdict="holds with a condition",
    correct="From confident errors. For mild ones a tuned learning rate closes most of the gap; from very "
    "sure ones no rate tried brings squared error back.",
    otherwise="not reproduced here",
)
def training(work: Working) -> None:
    work.let("a net (64-32-10) is first taught to call every digit by the next one's name, its scores are")
    work.let("multiplied by 1/4 (mild errors) or 4 (sure errors), then it is trained on the true labels")
    work.let(
        f"{IMAGES} digits, {STEPS} steps, momentum 0.9, means over {SEEDS} seeds, accuracy on 359 others"
    )
    axes = work.figure("fig-3.6-squared-error-training", 7.2, 3.4).subplots(1, 2, sharey=True)
    for axis, (kind, factor) in zip(axes, (("mild", 0.25), ("sure", 4)), strict=True):
        entropy, curve = _recovery(entropy_loss, factor, RATES[0])
        axis.plot(curve, color=COLOURS[0], label=f"cross-entropy, rate {RATES[0]}")
        squared = []
        for rate, colour in zip(RATES, COLOURS[1:], strict=False):
            final, curve = _recovery(mse_loss, factor, rate)
            axis.plot(curve, color=colour, label=f"squared error, rate {rate:g}")
            squared.append(final)
            work.let(f"{kind} errors: squared error at rate {rate:g} ends at {final:.1f} %")
        axis.set(xlabel="step", title=f"from {kind} errors")
        gap, best = entropy - squared[0], max(squared)
        work.true(f"{kind} errors: cross-entropy recovers at rate 0.1", entropy > 80, f"{entropy:.1f} %")
        if kind == "mild":
            work.true("squared error falls behind at the same rate", gap > 5, f"{squared[0]:.1f} %")
            work.true(
                "its best rate makes up half of that or more", entropy - best < gap / 2, f"{best:.1f} %"
            )
        else:
            work.true("squared error does not at any rate", best < 20, f"at most {best:.1f} %")
    axes[0].set_ylabel("training accuracy (%)")
    axes[1].legend(loc="center right", fontsize=8)


def _recovery(loss: Loss, factor: float, lr: float) -> tuple[float, Tensor]:
    """Mean test accuracy after training from confident errors, and the training accuracy at each step."""
    images, labels = _few()
    final, curves = [], torch.zeros(SEEDS, STEPS)
    for seed in range(SEEDS):
        model, steps = deepcopy(_mistaught(seed)), iter(curves[seed])
        for parameter in model[2].parameters():
            parameter.data.mul_(factor)

        def cost(model: nn.Sequential = model, steps: Iterator[Tensor] = steps) -> Tensor:
            scores = model(images)
            next(steps).fill_(100 * (scores.argmax(1) == labels).float().mean())
            return loss(scores, labels).mean()

        descend(list(model.parameters()), cost, lr=lr, steps=STEPS)
        final.append(accuracy(model))
    return sum(final) / SEEDS, curves.mean(0)


@cache
def _mistaught(seed: int) -> nn.Sequential:
    images, labels = _few()
    model, wrong = network(seed, hidden=32), (labels + 1) % 10
    train(model, entropy_loss, images, wrong, lr=0.3, steps=100)
    return model


def _few() -> tuple[Tensor, Tensor]:
    images, labels = digits()["train"]
    return images[:IMAGES], labels[:IMAGES]
