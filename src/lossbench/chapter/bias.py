"""Sections 3.1.1 and 3.1.3: what a bias is for, and the trick that hides it in W."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import least, train
from lossbench.chapter.linear import CAT, CAT_BIAS, CAT_WEIGHT, linear_head
from lossbench.chapter.scores import Loss
from lossbench.chapter.separation import separable
from lossbench.datasets.toys import Blobs
from lossbench.heads import LinearHead
from lossbench.losses import cross_entropy_loss, hinge_loss
from lossbench.report.style import COLOURS

RED_AND_BLUE = torch.tensor([[1.0, 1.0], [2.0, 2.0]], dtype=torch.float64)
LOSSES: Mapping[str, Loss] = {
    "softmax": partial(cross_entropy_loss, tau=1.0),
    "hinge": partial(hinge_loss, delta=1.0),
}
SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 4.0)


def _joined_head(weight: Tensor, bias: Tensor) -> LinearHead:
    """A head with these weights (c, d) and biases (c,) in one matrix: the bias trick."""
    head = LinearHead(weight.shape[1], len(weight), bias=False, bias_trick=True).double()
    head.load_state_dict({"weight": torch.cat([weight, bias[:, None]], 1)})
    return head


def _share(scores: Tensor, target: Tensor) -> float:
    return 100 * (scores.argmax(1) == target).double().mean().item()


@claim(
    "C-3.1.1-bias",
    says="(1, 1) and (2, 2) of two classes: no W separates them without a bias; W = (-1, -1), b = 3 does.",
    verdict="holds",
)
def two_points(work: Working) -> None:
    target = torch.tensor([1, 0])  # the red point is to score above 0
    work.let("without: w1 + w2 > 0 and 2 (w1 + w2) < 0 contradict each other")
    scores = linear_head(torch.tensor([[-1.0, -1.0]]).double(), torch.tensor([3.0]).double())(RED_AND_BLUE)
    work.numbers("scores -x - y + 3", scores[:, 0].tolist(), [1, -1])
    possible = [separable(RED_AND_BLUE, target, bias=bias) for bias in (False, True)]
    work.numbers("solutions of the linear programme without, with b: 0 none, 1 some", possible, [0, 1])
    weights = torch.randn(1000, 2, 2).double()
    best = max(_share(linear_head(weight)(RED_AND_BLUE), target) for weight in weights)
    work.number("best of 1000 random W for two scores, per cent right", best, 50)
    for name, loss in LOSSES.items():
        right = []
        for bias in (False, True):
            head = LinearHead(2, 2, bias).double()
            train(head, loss, RED_AND_BLUE, target, lr=0.3, steps=300)
            right.append(_share(head(RED_AND_BLUE), target))
        work.numbers(f"{name} trained without, with b: per cent right", right, [50, 100])


def _right(x: Tensor, target: Tensor, test: Tensor, truth: Tensor, *, bias: bool) -> float:
    """Per cent of the test points that the best softmax classifier gets right."""
    rows, others = (F.pad(each, (0, 1), value=1.0) if bias else each for each in (x, test))

    def cost(weight: Tensor) -> Tensor:
        return LOSSES["softmax"](rows @ weight.T, target).mean() + 5e-4 * weight.square().sum()

    weight = least(cost, torch.zeros(2, rows.shape[1], dtype=torch.float64))
    return _share(others @ weight.T, truth)


def _blobs(shift: float) -> list[tuple[Tensor, Tensor]]:
    """Train and test points of three seeds: blobs around (shift ± 1, shift), standard deviation 0.3."""
    found = []
    for seed in range(3):
        splits = Blobs(classes=2, samples=200, noise=0.3, shift=shift, seed=seed).load().splits
        found += [
            (torch.from_numpy(splits[role].data).double(), torch.from_numpy(splits[role].labels))
            for role in ("train", "test")
        ]
    return found


def _shifted(shift: float) -> dict[str, float]:
    """Name -> per cent right, mean over three draws of the points."""
    drawn = _blobs(shift)
    rows: dict[str, list[float]] = {}
    for (x, y), (test, truth) in zip(drawn[::2], drawn[1::2], strict=True):
        mean = x.mean(0)
        line = _right(x[:, :1], y, test[:, :1], truth, bias=False)
        rows.setdefault("x alone, no bias", []).append(line)
        rows.setdefault("x and y, no bias", []).append(_right(x, y, test, truth, bias=False))
        centred = _right(x - mean, y, test - mean, truth, bias=False)
        rows.setdefault("mean subtracted, no bias", []).append(centred)
        rows.setdefault("with a bias", []).append(_right(x, y, test, truth, bias=True))
    return {name: sum(values) / len(values) for name, values in rows.items()}


@claim(
    "C-3.1.1-general",
    says="Without a bias, data whose mean is not at the origin are hard to fit, in any dimension.",
    verdict="holds with a condition",
    correct="Where the shift lies along the line between the classes. A shift across it is a nearly constant "
    "feature and does the work of a bias. Subtracting the mean does as well.",
)
def shifted_data(work: Working) -> None:
    work.let("two blobs around (c - 1, c) and (c + 1, c), SD 0.3, softmax, means over 3 draws of 400 points")
    found = {shift: _shifted(shift) for shift in SHIFTS}
    for name in found[0.0]:
        work.let(f"{name}: " + ", ".join(f"c = {c:g}: {each[name]:.1f} %" for c, each in found.items()))
    line, plane, centred, biased = ([each[name] for each in found.values()] for name in found[0.0])
    work.true("c = 0: a bias is not needed", min(line[0], plane[0]) > 99, f"{line[0]:.1f} % with x alone")
    work.true("c = 4, x alone: by chance", abs(line[-1] - 50) < 2, f"{line[-1]:.1f} %")
    work.true("c = 4, x and y: y helps out", plane[-1] > 95, f"{plane[-1]:.1f} %")
    work.true("with a bias, at any c", min(biased) > 99, f"{min(biased):.1f} % or more")
    work.true("with the mean subtracted, at any c", min(centred) > 99, f"{min(centred):.1f} % or more")
    _draw_bias(work, {name: [each[name] for each in found.values()] for name in found[0.0]})


def _draw_bias(work: Working, curves: Mapping[str, list[float]]) -> None:
    left, right = work.figure("fig-3.3-bias", 8.0, 3.4).subplots(1, 2)
    across = [0.0, 3.0]
    left.plot(across, [3 - x for x in across], color=COLOURS[0], label="-x - y + 3 = 0")
    left.plot(across, [0.6 * x for x in across], color=COLOURS[2], ls="--", label="no bias: through 0")
    left.plot(1, 1, "o", color=COLOURS[1], ms=9)
    left.plot(2, 2, "s", color=COLOURS[0], ms=9)
    left.set(xlabel="x", ylabel="y", xlim=(0, 3), ylim=(0, 3.9), yticks=range(4))
    left.legend(loc="upper center", ncols=2, fontsize=8, columnspacing=1.0)
    for (name, values), colour, style in zip(curves.items(), COLOURS, ("-", "--", "-.", ":"), strict=False):
        right.plot(SHIFTS, values, style, color=colour, label=name)
    right.set(xlabel="shift c of both coordinates", ylabel="right (%)", ylim=(40, 103))
    right.legend(fontsize=8, loc="center right")


@claim(
    "C-3.1.3-biastrick",
    says="A constant 1 appended to x, and b to W as its last column, give the same scores.",
    verdict="holds",
)
def trick(work: Working) -> None:
    work.let("x' = (56, 231, 24, 2, 1); cat: 0.2 * 56 - 0.5 * 231 + 0.1 * 24 + 2 * 2 + 1.1 * 1 = -96.8")
    joined = _joined_head(CAT_WEIGHT, CAT_BIAS)
    work.numbers("shape of W'", joined.weight.shape, [3, 5])
    work.numbers("scores of the 2x2 cat", joined(CAT)[0].tolist(), [-96.8, 437.9, 60.75])
    x, target = torch.randn(50, 20).double(), torch.arange(50) % 4
    weight, bias = torch.randn(4, 20).double(), torch.randn(4).double()
    apart, joined = linear_head(weight, bias), _joined_head(weight, bias)
    gap = (apart(x) - joined(x)).abs().max().item()
    work.true("scores of 50 random rows", gap < 1e-12, f"off by {gap:.0e}")
    for head in (apart.requires_grad_(), joined):
        train(head, LOSSES["softmax"], x, target, lr=0.1, steps=50)
    learned, shift = apart.parameters()
    gap = (torch.cat([learned, shift[:, None]], 1) - joined.weight).abs().max().item()
    work.true("W and b after 50 steps of training", gap < 1e-12, f"off by {gap:.0e}")


def _decayed_bias(*, decayed: bool) -> float:
    """Size of the bias that fits the red and the blue point best with decay 0.1 on W, or on b as well."""
    rows, target = F.pad(RED_AND_BLUE, (0, 1), value=1.0), torch.tensor([0, 1])

    def cost(weight: Tensor) -> Tensor:
        counted = weight if decayed else weight[:, :2]
        return LOSSES["softmax"](rows @ weight.T, target).mean() + 0.05 * counted.square().sum()

    return least(cost, torch.zeros(2, 3, dtype=torch.float64))[:, 2].norm().item()


@claim(
    "C-3.1.3-limits",
    says="The trick suits vectors; it serves convolutions badly, and a bias of its own can start at 0 and "
    "be regularised by itself.",
    verdict="holds with a condition",
    correct="A channel of ones is exact in a convolution, too, but costs a whole kernel for each bias, of "
    "which only the middle tap may hold it: at the border the others see padding. And the last column of W "
    "can start at 0, too.",
)
def trick_limits(work: Working) -> None:
    separate, joint = (_decayed_bias(decayed=decayed) for decayed in (False, True))
    work.let("(1, 1) and (2, 2), softmax, decay 0.1 on W: the best b; with the trick, b is decayed with W")
    work.true("the trick makes b smaller", joint < 0.8 * separate, f"{joint:.3f} and {separate:.3f} apart")
    started = LinearHead(20, 4, bias=False, bias_trick=True).weight.detach()
    apart = [started[:, part].abs().max().item() > 0 for part in (slice(20), slice(20, None))]
    work.numbers("at the start, W and its last column are: 0 all zero, 1 not", apart, [1, 0])
    x = torch.randn(1, 3, 8, 8).double()
    weight, bias = torch.randn(4, 3, 3, 3).double(), torch.randn(4).double()
    wanted = F.conv2d(x, weight, bias, padding=1)
    ones = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    off = []
    for kernel in (torch.zeros(3, 3).double(), torch.full((3, 3), 1 / 9).double()):
        kernel[1, 1] = 1 - (kernel.sum() - kernel[1, 1])
        taps = torch.cat([weight, bias[:, None, None, None] * kernel], 1)
        off.append((F.conv2d(ones, taps, padding=1) - wanted).abs())
    middle, spread = off
    inside = spread[..., 1:-1, 1:-1].max().item()
    work.let("3x3 convolution with padding 1, a fourth channel of ones")
    work.number("weights for each bias", (taps.numel() - weight.numel()) / bias.numel(), 9)
    work.true("b on the middle tap: the same", middle.max().item() < 1e-12, f"off by {middle.max():.0e}")
    work.true("b spread over nine taps: the same inside", inside < 1e-12, f"off by {inside:.0e}")
    work.true("and another at the border", spread.max().item() > 0.01, f"off by {spread.max():.2f}")


@claim(
    "X-28",
    says="The bias is a constant input feature with a fixed weight.",
    verdict="slip",
    correct="The feature is fixed, at 1; its weight is b and is learned.",
)
def fixed_feature(work: Working) -> None:
    target, loss = torch.tensor([0, 1]), LOSSES["softmax"]
    head = _joined_head(torch.zeros(2, 2).double(), torch.zeros(2).double())
    work.let("W' = 0 for two classes, the point (1, 1, 1) of class 0: p = (0.5, 0.5), slope (p - y) x'")
    (slope,) = torch.autograd.grad(loss(head(RED_AND_BLUE[:1]), target[:1]).mean(), head.weight)
    work.numbers("slope of row 0 of W': the weight of the 1 gets it, too", slope[0].tolist(), [-0.5] * 3)
    held = linear_head(torch.zeros(2, 2).double()).requires_grad_()
    for each in (head, held):
        train(each, loss, RED_AND_BLUE, target, lr=0.3, steps=300)
    learned = (head.weight[0, 2] - head.weight[1, 2]).item()
    work.let("300 steps on (1, 1) and (2, 2)")
    work.true("weight of the 1, class 0 less class 1: was 0", learned > 1, f"{learned:.1f}")
    right = [_share(each(RED_AND_BLUE), target) for each in (head, held)]
    work.numbers("per cent right with it learned, with it held at 0", right, [100, 50])
