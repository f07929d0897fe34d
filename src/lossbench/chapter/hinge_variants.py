"""Section 3.6.4, its questions: other sums, squares, and weights that are not unique."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import least
from lossbench.chapter.scores import SCORES, TARGET, Loss, cost, row, slope
from lossbench.losses import hinge_all_loss, hinge_loss, hinge_mean_loss, squared_hinge_loss


def _hinge(scores: Tensor, target: Tensor) -> Tensor:
    return hinge_loss(scores, target, delta=1.0)


@claim(
    "C-3.6.4-all",
    says="Summing over all classes, the true one too, adds a constant and changes no preference.",
    verdict="holds",
)
def all_classes(work: Working) -> None:
    work.let("the term of the true class is max(0, s_y - s_y + 1) = 1 whatever the scores")
    everything = hinge_all_loss(SCORES, TARGET, delta=1.0)
    work.numbers("all classes: cat, car, frog", everything.tolist(), [3.9, 1.0, 13.9])
    many, target = 3 * torch.randn(1000, 10, dtype=torch.float64), torch.arange(1000) % 10
    for delta in (1.0, 0.3):
        rise = hinge_all_loss(many, target, delta=delta) - hinge_loss(many, target, delta=delta)
        gap = (rise - delta).abs().max().item()
        work.true(f"margin {delta:g}: as much more on 1000 random rows", gap < 1e-12, f"off by {gap:.0e}")
    differ = slope(partial(hinge_all_loss, delta=1.0), many, 3) - slope(_hinge, many, 3)
    work.number("largest difference of the gradients", differ.abs().max().item(), 0.0, within=1e-12)


@claim(
    "X-17",
    says="Then all scores would inflate, and the loss rises by about the margin.",
    verdict="overstated",
    correct="The loss rises by exactly the margin; scores and gradients stay. The conclusion is right.",
)
def inflation(work: Working) -> None:
    rise = hinge_all_loss(SCORES, TARGET, delta=1.0) - _hinge(SCORES, TARGET)
    work.numbers("rise of the loss: cat, car, frog", rise.tolist(), [1.0, 1.0, 1.0], within=1e-12)
    x, target = torch.randn(30, 4, dtype=torch.float64), torch.arange(30) % 3
    ends = [_stepped(loss, x, target) for loss in (_hinge, partial(hinge_all_loss, delta=1.0))]
    gap = (ends[0] - ends[1]).abs().max().item()
    work.true("50 steps with either: the same W, so the same scores", gap < 1e-12, f"off by {gap:.0e}")


def _stepped(loss: Loss, x: Tensor, target: Tensor, *, lr: float = 0.1) -> Tensor:
    """W after 50 steps of descent from 0 on the mean loss of W x."""
    weight = _zeros(x, target)
    for _ in range(50):
        leaf = weight.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x @ leaf.T, target).mean(), leaf)
        weight = (leaf - lr * gradient).detach()
    return weight


def _zeros(x: Tensor, target: Tensor) -> Tensor:
    return torch.zeros(int(target.max()) + 1, x.shape[1], dtype=torch.float64)


@claim(
    "C-3.6.4-mean",
    says="A mean over the classes instead of the sum scales the loss; the model behaves the same.",
    verdict="holds with a condition",
    correct="The factor is 1/(C-1), and the best W stays. At the same learning rate, or beside the same "
    "weight decay, the training and its end do change, until both are scaled along.",
)
def mean(work: Working) -> None:
    averaged = hinge_mean_loss(SCORES, TARGET, delta=1.0)
    work.numbers("2.9, 0, 12.9 over the two wrong classes", averaged.tolist(), [1.45, 0.0, 6.45])
    mean_loss = partial(hinge_mean_loss, delta=1.0)
    x, target = torch.randn(60, 4, dtype=torch.float64), torch.arange(60) % 6
    work.let("W after 50 steps from 0, six classes, 60 random points in 4 dimensions")
    summed = _stepped(_hinge, x, target)
    gap = (_stepped(mean_loss, x, target, lr=0.5) - summed).abs().max().item()
    work.true("learning rate times 5: the same W", gap < 1e-9, f"off by {gap:.0e}")
    gap = (_stepped(mean_loss, x, target) - summed).norm().item() / summed.norm().item()
    work.true("the same learning rate: another W", gap > 0.1, f"off by {100 * gap:.0f} %")
    ends = [
        _decayed(loss, decay, x, target)
        for loss, decay in ((_hinge, 0.1), (mean_loss, 0.1), (mean_loss, 0.02))
    ]
    gap = (ends[1] - ends[0]).norm().item() / ends[0].norm().item()
    work.true("least loss with weight decay 0.1: another W", gap > 0.1, f"off by {100 * gap:.0f} %")
    gap = (ends[2] - ends[0]).norm().item() / ends[0].norm().item()
    work.true("with the decay over 5 as well: the same W", gap < 0.05, f"off by {100 * gap:.1f} %")


def _decayed(loss: Loss, decay: float, x: Tensor, target: Tensor, start: Tensor | None = None) -> Tensor:
    """W of the least mean loss of W x plus decay/2 ‖W‖²."""

    def total(weight: Tensor) -> Tensor:
        return loss(x @ weight.T, target).mean() + decay / 2 * weight.square().sum()

    return least(total, _zeros(x, target) if start is None else start)


@claim(
    "X-05",
    says="The mean over the classes scales the loss by (1/C - 1).",
    verdict="slip",
    correct="Surely 1/(C-1): 1/C - 1 is negative. Averaged over all C, the loss is (L + margin) / C.",
)
def factor(work: Working) -> None:
    scores, target = 3 * torch.randn(200, 10, dtype=torch.float64), torch.arange(200) % 10
    for classes in (3, 10):
        part = scores[:, :classes]
        own = target % classes
        summed, averaged = _hinge(part, own), hinge_mean_loss(part, own, delta=1.0)
        violated = summed > 0
        ratio = (averaged / summed)[violated].mean().item()
        work.let(f"C = {classes}: printed 1/C - 1 = {1 / classes - 1:.4f}")
        work.number(f"mean over sum, C = {classes}: 1/(C-1)", ratio, 1 / (classes - 1), within=1e-9)
    everything = hinge_all_loss(scores, target, delta=1.0) / 10
    gap = (everything - (_hinge(scores, target) + 1) / 10).abs().max().item()
    work.true("averaged over all ten classes: (L + 1) / 10", gap < 1e-12, f"off by {gap:.0e}")


@claim(
    "C-3.6.4-square",
    says="Squaring the terms changes which W is preferred.",
    verdict="holds",
)
def squared(work: Working) -> None:
    work.let("frog: 6.3² + 6.6² = 83.25; cat: 2.9² = 8.41: the frog's share of the whole grows")
    one = _hinge(SCORES, TARGET)
    two = squared_hinge_loss(SCORES, TARGET, delta=1.0)
    work.number("the frog's share of the hinge", (one[2] / one.sum()).item(), 12.9 / 15.8)
    work.number("of the squared hinge", (two[2] / two.sum()).item(), 83.25 / 91.66)
    work.let("one score vector or another: wrong classes above by (2, 2, 2) or by (5, -9, -9), margin 1")
    spread, single = row(0, 2, 2, 2), row(0, 5, -9, -9)
    work.numbers("hinge prefers the second", [cost(_hinge, spread), cost(_hinge, single)], [9, 6])
    squares = partial(squared_hinge_loss, delta=1.0)
    work.numbers("squared prefers the first", [cost(squares, spread), cost(squares, single)], [27, 36])
    work.let("two classes at -1.8 to -0.2 and 0.2 to 1.8, ten points at -3 with the wrong label, decay 0.01")
    side = torch.linspace(0.2, 1.8, 50, dtype=torch.float64)
    places = torch.cat([-side, side, torch.full((10,), -3.0, dtype=torch.float64)])
    x, target = torch.stack([places, torch.ones_like(places)], 1), torch.tensor([0] * 50 + [1] * 60)
    worst, right = [], []
    for loss in (_hinge, squares):
        scores = x @ _decayed(loss, 0.01, x, target).T
        worst.append(_hinge(scores, target).max().item())
        right.append(100 * (scores.argmax(1) == target)[:100].double().mean().item())
    work.true("worst violation after training: smaller when squared", worst[1] < worst[0] - 0.5,
              f"{worst[0]:.2f} and {worst[1]:.2f}")  # fmt: skip
    work.true("at the cost of others", right[1] < right[0], f"{right[0]:.0f} % and {right[1]:.0f} % right")


@claim(
    "C-3.6.4-unique",
    says="A W of zero loss is not the only one, 2W has zero loss too; regularisation picks one.",
    verdict="holds with a condition",
    correct="With a factor of at least 1 and the bias scaled along: see X-06, overstated as a rule for any "
    "scaling.",
)
def unique(work: Working) -> None:
    centres = torch.tensor([[3.0, 0], [-1.5, 2.6], [-1.5, -2.6]], dtype=torch.float64)
    target = torch.arange(60) % 3
    x = centres[target] + 0.5 * torch.randn(60, 2, dtype=torch.float64)
    starts = [torch.randn(3, 2, dtype=torch.float64) for _ in range(4)]
    work.let("three separable blobs, 60 points; four random starts; W of least hinge, with and without decay")
    free = [_decayed(_hinge, 0.0, x, target, start) for start in starts]
    costs = [_hinge(x @ weight.T, target).mean().item() for weight in free]
    work.true("without decay all four reach 0", max(costs) < 1e-9, f"at most {max(costs):.0e}")
    apart = max((weight - free[0]).norm().item() / free[0].norm().item() for weight in free[1:])
    work.true("at different W", apart > 0.1, f"up to {100 * apart:.0f} % apart")
    twice = _hinge(2 * x @ free[0].T, target).mean().item()
    work.number("loss of 2W", twice, 0.0)
    small = _hinge(x @ free[0].T / 100, target).mean().item()
    work.true("loss of W/100 is above 0", small > 1e-3, f"{small:.3f}")
    held = [_decayed(partial(squared_hinge_loss, delta=1.0), 0.01, x, target, start) for start in starts]
    apart = max((weight - held[0]).norm().item() / held[0].norm().item() for weight in held[1:])
    work.true(
        "squared hinge with decay 0.01: one W from every start", apart < 1e-4, f"{100 * apart:.0e} % apart"
    )


@claim(
    "X-06",
    says="Scaling W keeps a zero loss at zero, e.g. 2W.",
    verdict="overstated",
    correct="For a factor of at least 1, and a separate bias scaled alike.",
)
def scaled_weights(work: Working) -> None:
    def loss(weight: float, bias: float) -> float:
        """Of one input whose classes differ by -1 in w x and by 2.5 in b, each times its factor."""
        return cost(_hinge, row(-1.0 * weight + 2.5 * bias, 0.0))

    work.let("w x gap -1, b gap 2.5: margin -1 + 2.5 = 1.5")
    work.number("W and b", loss(1, 1), 0.0)
    work.let("2W with the same b: margin -2 + 2.5 = 0.5")
    work.number("2W, b", loss(2, 1), 0.5)
    work.number("2W, 2b", loss(2, 2), 0.0)
    work.let("W/2, b/2: margin 0.75")
    work.number("W/2, b/2", loss(0.5, 0.5), 0.25)
    work.numbers("no bias, margin 1: factors 1, 2, 10", [loss(-k, 0) for k in (1, 2, 10)], [0, 0, 0])
