"""Section 3.6.5: the loss before training, what it tells of faults, and what other heads begin with."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import digits, network, train
from lossbench.chapter.scores import cost, row
from lossbench.heads import LinearHead
from lossbench.losses import cross_entropy_loss, hinge_loss
from lossbench.report.style import COLOURS

LOG_10 = math.log(10)

entropy_loss = partial(cross_entropy_loss, tau=1.0)


def _hinge(scores: Tensor, target: Tensor) -> Tensor:
    return hinge_loss(scores, target, delta=1.0)


@claim(
    "C-3.6.5-init",
    says="Before training cross-entropy is about log C (2.3 for ten classes) and the hinge about C - 1 (9).",
    verdict="holds with a condition",
    correct="For scores that start nearly equal. Both are also the least that random starts give on average; "
    "wider weights or cosine heads begin higher (D-init).",
)
def start(work: Working) -> None:
    work.number("-log(1/10)", cost(entropy_loss, torch.zeros(1, 10).double()), 2.302585)
    work.number("hinge of ten equal scores", cost(_hinge, torch.zeros(1, 10).double()), 9.0)
    x, target = torch.randn(500, 128), torch.arange(500) % 10
    head = LinearHead(128, 10)
    with torch.no_grad():
        for name, loss, wanted in (("cross-entropy", entropy_loss, LOG_10), ("hinge", _hinge, 9.0)):
            found = loss(head(x), target).mean().item()
            what = f"linear head, weights of SD 0.01, 128 features: {name}"
            work.number(what, found, wanted, within=0.05 * wanted)
        images, labels = digits()["train"]
        found = entropy_loss(network(0)(images), labels).mean().item()
        work.number("network 64-64-10 on digits, torch's own start", found, LOG_10, within=0.05 * LOG_10)
        work.let("Jensen: the mean over starts that treat all classes alike is never below log C, nor C - 1")
        widths = (0.01, 0.1, 0.3, 1.0)
        rows = [x @ (width * torch.randn(128, 10)) for width in widths]
        means = [[loss(scores, target).mean().item() for scores in rows] for loss in (entropy_loss, _hinge)]
    for name, each in zip(("cross-entropy", "hinge"), means, strict=True):
        told = ", ".join(f"{value:.2f}" for value in each)
        work.true(f"weights of SD 0.01, 0.1, 0.3, 1: {name} rises", each == sorted(each), told)


def _mean_loss(scores: Tensor, target: Tensor) -> float:
    return entropy_loss(scores, target).mean().item()


def _fresh() -> tuple[Tensor, Tensor]:
    """Scores of an untrained net on the digits (n, 10), and labels."""
    images, labels = digits()["train"]
    return network(0)(images).detach(), labels


def _trained() -> tuple[Tensor, Tensor]:
    images, labels = digits()["train"]
    model = network(0)
    train(model, entropy_loss, images, labels, lr=0.3, steps=100)
    return model(images).detach(), labels


def _leaking(labels: Tensor) -> Tensor:
    """The digits with ten pixels replaced by these labels."""
    return torch.cat([F.one_hot(labels, 10), digits()["train"][0][:, 10:]], 1)


def _faults() -> dict[str, tuple[float, bool]]:
    """Fault -> loss before training with it, and whether that is off log 10."""
    scores, labels = _fresh()
    known, _ = _trained()
    shuffled = labels[torch.randperm(len(labels))]
    uneven = torch.cat([torch.nonzero(labels == 0)[:, 0].repeat(10), torch.arange(len(labels))])
    return {
        "no fault": (_mean_loss(scores, labels), False),
        "weights already trained": (_mean_loss(known, labels), True),
        "trained, labels off by one": (_mean_loss(known, (labels + 1) % 10), True),
        "scores x50": (_mean_loss(50 * scores, labels), True),
        "index in place of one-hot": (_as_index(scores, labels), True),
        "logarithm left out": (-scores.softmax(1).gather(1, labels[:, None]).mean().item(), True),
        "label written into the image": (_mean_loss(network(0)(_leaking(labels)).detach(), labels), False),
        "labels shuffled": (_mean_loss(scores, shuffled), False),
        "one class ten times as often": (_mean_loss(scores[uneven], labels[uneven]), False),
        "scores x0.001": (_mean_loss(0.001 * scores, labels), False),
        "softmax twice": (_mean_loss(scores.softmax(1), labels), False),
    }


def _as_index(scores: Tensor, labels: Tensor) -> float:
    """-sum over j of t_j log p_j with the class index put in place of each t_j."""
    return -(labels[:, None] * scores.log_softmax(1)).sum(1).mean().item()


@claim(
    "C-3.6.5-debug",
    says="An initial loss off its baseline, too low or too high, points to a fault.",
    verdict="holds with a condition",
    correct="Off the head's own baseline (D-init) it does; on the baseline there may be faults too: X-10, "
    "and softmax twice.",
)
def faults(work: Working) -> None:
    work.let("a net 64-64-10 on 1079 digits before training; log 10 = 2.303; off means by more than 5 %")
    found = _faults()
    for name, (value, _) in found.items():
        work.let(f"{name}: {value:.4g}")
    seen = {name: value for name, (value, visible) in found.items() if visible}
    told = ", ".join(f"{name} {value:.3g}" for name, value in seen.items())
    work.true(
        "off by more than 5 %", all(abs(value - LOG_10) > 0.05 * LOG_10 for value in seen.values()), told
    )
    unseen = {name: value for name, (value, visible) in found.items() if not visible}
    told = ", ".join(f"{name} {value:.3g}" for name, value in unseen.items())
    work.true("within 5 %", all(abs(value - LOG_10) < 0.05 * LOG_10 for value in unseen.values()), told)
    own = _fresh()[0].gather(1, digits()["train"][1][:, None])
    share = 100 * (own <= 0).double().mean().item()
    work.true(
        "softmax left out: -log s_y is no number where s_y <= 0", share > 5, f"on {share:.0f} % of them"
    )
    floor = cost(entropy_loss, row(1, *[0.0] * 9))
    work.let("softmax twice: scores in [0, 1], at best (1, 0, ..., 0): log(1 + 9/e)")
    work.number("softmax twice shows later: the loss cannot fall below", floor, 1.4612)
    axes = work.figure("fig-3.6-initial-loss", 7.0, 3.8).subplots()
    for shown, name, colour in (
        (True, "off the baseline", COLOURS[1]),
        (False, "within 5 % of it", COLOURS[0]),
    ):
        places = [place for place, (_, visible) in enumerate(found.values()) if visible == shown]
        axes.barh(places, [list(found.values())[place][0] for place in places], color=colour, label=name)
    axes.axvline(LOG_10, color="#444444", lw=1, ls="--")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    axes.set_xticks([], minor=True)
    axes.set_xlim(-0.3, 150)
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel("loss before training (nats); dashed: log 10")
    axes.legend(loc="lower right")


@claim(
    "X-10",
    says="A low first loss may mean that labels leak; others may mean shuffled labels, uneven classes, or "
    "extremely small scores.",
    verdict="wrong",
    correct="An untrained net cannot use a leak, and nearly equal scores give log C for any labels and any "
    "mix of classes; tiny scores give exactly log C. They show after some training, or in a trained net.",
)
def invisible(work: Working) -> None:
    images, labels = digits()["train"]
    leaked = _leaking(labels)
    with torch.no_grad():
        losses = [_mean_loss(network(seed)(leaked), labels) for seed in range(100)]
    mean, lowest = sum(losses) / 100, min(losses)
    work.let("ten pixels of each digit replaced by its label, 100 untrained nets")
    work.true(
        "mean loss with the leak is not below log 10",
        mean > LOG_10 - 0.005,
        f"{mean:.3f}, least {lowest:.3f}",
    )
    scores, _ = _fresh()
    shuffled = [_mean_loss(scores, labels[torch.randperm(len(labels))]) for _ in range(20)]
    work.number("labels shuffled, mean of 20", sum(shuffled) / 20, LOG_10, within=0.05 * LOG_10)
    with torch.no_grad():
        zeros = images[labels == 0]
        single = [_mean_loss(network(seed)(zeros), labels[labels == 0]) for seed in range(100)]
    work.number("one class alone, mean of 100 nets", sum(single) / 100, LOG_10, within=0.05 * LOG_10)
    work.number("scores times 1e-6", _mean_loss(1e-6 * scores, labels), LOG_10, within=1e-5)
    random = labels[torch.randperm(len(labels))]
    after = {}
    for name, x in (("leak", _leaking(random)), ("without", images)):
        model = network(0)
        train(model, entropy_loss, x, random, lr=0.3, steps=60)
        after[name] = _mean_loss(model(x).detach(), random)
    work.let("60 steps of training on labels drawn at random, with and without those labels in the image")
    shows = after["leak"] < 1 < after["without"]
    work.true(
        "a leak shows after some training", shows, f"{after['leak']:.2f}, {after['without']:.2f} without"
    )
    known, _ = _trained()
    wrong = _mean_loss(known, labels[torch.randperm(len(labels))])
    work.true("shuffled labels show in a trained net", wrong > 2 * LOG_10, f"{wrong:.1f}")
