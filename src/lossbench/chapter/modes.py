"""Sections 3.3.4 and 3.3.5: a class with two modes, and what two templates or hidden units make of it."""

from __future__ import annotations

from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import digits, network, train
from lossbench.losses import cross_entropy_loss

SEEDS = range(3)
ONE_SIDED = (3, 5, 6, 7)
"""Digits that are least like their mirror images."""
_train = partial(train, loss=partial(cross_entropy_loss, tau=1.0), lr=0.3, steps=200)


def mirrored(images: Tensor) -> Tensor:
    """Images (n, 64) of 8x8 pixels, left for right."""
    return images.view(-1, 8, 8).flip(2).reshape(-1, 64)


def _both(role: str) -> tuple[Tensor, Tensor]:
    """Every digit as it is, then every digit in the mirror."""
    images, labels = digits()[role]
    return torch.cat([images, mirrored(images)]), labels.repeat(2)


def _linear(seed: int, each: int = 1) -> nn.Sequential:
    """Ten scores, the largest of ``each`` templates for every class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(64, 10 * each), nn.MaxPool1d(each))


def weights(model: nn.Sequential) -> Tensor:
    """Those of its first layer (templates, 64)."""
    return next(model.parameters()).detach()


def _start_in_modes(model: nn.Sequential, seed: int) -> None:
    """Put the two templates of a class at the means of the two clusters of its images."""
    images, labels = _both("train")
    draw = torch.Generator().manual_seed(seed)
    for label, pair in enumerate(weights(model).view(10, 2, 64)):
        own = images[labels == label]
        means = own[torch.randperm(len(own), generator=draw)[:2]]
        for _ in range(10):
            nearest = torch.cdist(own, means).argmin(1)
            means = torch.stack([own[nearest == mode].mean(0) for mode in range(2)])
        pair.copy_(means - own.mean(0))


class Trained(NamedTuple):
    """Models of one seed. facing: one template, one facing; the others see both, with one template, two,
    two that start at random (chance), or 20 hidden units (net)."""

    facing: nn.Sequential
    one: nn.Sequential
    two: nn.Sequential
    chance: nn.Sequential
    net: nn.Sequential


@cache
def trained(seed: int) -> Trained:
    models = Trained(
        _linear(seed), _linear(seed), _linear(seed, 2), _linear(seed, 2), network(seed, hidden=20)
    )
    _start_in_modes(models.two, seed)
    for number, model in enumerate(models):
        x, target = digits()["train"] if number == 0 else _both("train")
        _train(model, x=x, target=target)
    return models


def _cosine(one: Tensor, other: Tensor) -> float:
    """Mean over the rows."""
    return F.cosine_similarity(one, other).mean().item()


def _right(name: str) -> float:
    found = []
    for seed in SEEDS:
        x, target = digits()["test"] if name == "facing" else _both("test")
        right = getattr(trained(seed), name)(x).argmax(1) == target
        found.append(100 * right.double().mean().item())
    return sum(found) / len(found)


def _told_apart(name: str) -> float:
    """Mean share of the one-sided digits whose winning template tells which way they face, in per cent."""
    x, target = _both("test")
    facing, found = torch.arange(2).repeat_interleave(len(x) // 2), []
    for seed in SEEDS:
        templates = getattr(trained(seed), name)[0](x).detach().view(-1, 10, 2)
        winner = templates[torch.arange(len(x)), target].argmax(1)
        for label in ONE_SIDED:
            same = (winner == facing)[target == label].double().mean().item()
            found.append(100 * max(same, 1 - same))
    return sum(found) / len(found)


def _best_unit() -> float:
    """How well the best hidden unit ranks one facing of a digit over the other: mean area under the ROC."""
    x, target = _both("test")
    found = []
    for seed in SEEDS:
        hidden = trained(seed).net[:2](x).detach()
        for label in ONE_SIDED:
            own, other = hidden[target == label].chunk(2)
            above = (own[:, None] > other).double() + 0.5 * (own[:, None] == other).double()
            found.append(((above.mean((0, 1)) - 0.5).abs().max() + 0.5).item())
    return sum(found) / len(found)


@claim(
    "C-3.3.4-modes",
    says="One template for a class merges its modes, as horses facing left and right; hidden units can "
    "specialise on a mode and be combined.",
    verdict="holds with a condition",
    correct="That many templates do not help by themselves: two for each class specialise when they start in "
    "two modes; from small random numbers one of them wins nearly everywhere.",
    otherwise="not reproduced here",
)
def two_facings(work: Working) -> None:
    work.let("8x8 digits and their mirror images, one class for both; softmax, 200 steps, means over 3 seeds")
    facing, one, two, chance, net = map(_right, Trained._fields)
    work.let("right of 359 others with one facing, of 718 with both")
    work.true("one template loses by the second facing", one < facing - 2, f"{facing:.1f} to {one:.1f} %")
    merged = torch.cat([weights(trained(seed).one) for seed in SEEDS])
    single = torch.cat([weights(trained(seed).facing) for seed in SEEDS])
    own, before = _cosine(merged, mirrored(merged)), _cosine(single, mirrored(single))
    work.true("it is its own mirror image", own > 0.98, f"cosine {own:.3f}; with one facing {before:.2f}")
    average = _cosine(merged, single + mirrored(single))
    work.true("the mean of one facing's and its mirror image", average > 0.9, f"cosine {average:.2f}")
    work.true("two templates, started in two clusters, do better", two > one + 0.5, f"{two:.1f} %")
    apart, by_chance = map(_told_apart, ("two", "chance"))
    work.true("the one that wins tells the facing of 3, 5, 6, 7", apart > 95, f"{apart:.0f} %")
    work.true("from a random start it does not", by_chance < 75, f"{by_chance:.0f} %, {chance:.1f} % right")
    work.true("a net of 20 hidden units does better", net > one + 0.5, f"{net:.1f} %")
    area = _best_unit()
    work.true("one of its units tells the facing", area > 0.75, f"area under its ROC {area:.2f}")
    _draw(work)


def _draw(work: Working) -> None:
    models = trained(0)
    pairs = weights(models.two).view(10, 2, 64)
    rows = {
        "one facing": weights(models.facing),
        "both facings": weights(models.one),
        "first of two": pairs[:, 0],
        "second of two": pairs[:, 1],
    }
    panels = work.figure("fig-3.9-modes", 5.2, 5.0).subplots(len(rows), len(ONE_SIDED))
    for axes, label in zip(panels[0], ONE_SIDED, strict=True):
        axes.set_title(f"digit {label}", loc="center")
    for line, (name, shown) in zip(panels, rows.items(), strict=True):
        line[0].set_ylabel(name)
        for axes, label in zip(line, ONE_SIDED, strict=True):
            limit = shown[label].abs().max().item()
            axes.imshow(shown[label].view(8, 8).numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
