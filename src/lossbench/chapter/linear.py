"""Sections 3.1 and 3.1.2: scores W x + b and their boundaries."""

from __future__ import annotations

import torch
from torch import Tensor

from lossbench.chapter.claim import Working, claim
from lossbench.heads import LinearHead

# The numbers of the lecture's figure; the text prints none.
CAT = torch.tensor([[56.0, 231, 24, 2]], dtype=torch.float64)
CAT_WEIGHT = torch.tensor(
    [[0.2, -0.5, 0.1, 2.0], [1.5, 1.3, 2.1, 0.0], [0.0, 0.25, 0.2, -0.3]], dtype=torch.float64
)
CAT_BIAS = torch.tensor([1.1, 3.2, -1.2], dtype=torch.float64)


def linear_head(weight: Tensor, bias: Tensor | None = None) -> LinearHead:
    """A float64 head with these weights (c, d) and biases (c,), not to be trained."""
    head = LinearHead(weight.shape[1], len(weight), bias is not None).double()
    head.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return head.requires_grad_(False)


@claim(
    "C-3.1-shapes",
    says="A 32x32x3 image is a vector of 3072 pixels; W is 10 x 3072, b has 10 entries, W x + b 10 scores.",
    verdict="holds",
)
def shapes(work: Working) -> None:
    image = torch.rand(1, 32, 32, 3, dtype=torch.float64)
    work.let("32 * 32 * 3 = 3072; 10 * 3072 + 10 = 30730")
    x = image.flatten(1)
    weight, bias = torch.randn(10, 3072).double(), torch.randn(10).double()
    head = linear_head(weight, bias)
    work.number("entries of x", x.shape[1], 3072)
    work.numbers("shape of W", head.weight.shape, [10, 3072])
    work.number("scores", head(x).shape[1], 10)
    work.number("parameters", sum(each.numel() for each in head.parameters()), 30730)
    by_hand = sum(w * pixel for w, pixel in zip(weight[3].tolist(), x[0].tolist(), strict=True))
    gap = abs(head(x)[0, 3].item() - by_hand - bias[3].item())
    work.true("score 3 is the sum over its 3072 products, and b_3", gap < 1e-10, f"off by {gap:.0e}")
    order = torch.randperm(3072)
    mixed = linear_head(weight[:, order], bias)(x[:, order])
    gap = (mixed - head(x)).abs().max().item()
    work.true("any order of pixels will do, if always the same", gap < 1e-10, f"off by {gap:.0e}")


def _crossing(head: LinearHead, across: float) -> float:
    """Height at which the only score is 0, at this first coordinate: read off two scores."""
    low, high = head(torch.tensor([[across, 0.0], [across, 1.0]], dtype=torch.float64))[:, 0].tolist()
    return -low / (high - low)


@claim(
    "C-3.1-slope",
    says="As in y = m x + b, W sets the slope of the boundary and b shifts it without turning it.",
    verdict="holds with a condition",
    correct="W has a share in the shift: the distance from the origin is |b| / ‖w‖. And of K scores it is "
    "the differences that count: the same b for all classes shifts nothing (X-18).",
)
def slope_and_shift(work: Working) -> None:
    work.let("one score 3 x + 4 y + b = 0: y = -(3/4) x - b/4, at the distance |b| / 5 from the origin")
    weight, rows = torch.tensor([[3.0, 4.0]], dtype=torch.float64), []
    for factor, bias in ((1, 0), (1, 5), (1, -10), (2, 5)):
        head = linear_head(factor * weight, torch.tensor([bias], dtype=torch.float64))
        start, end = _crossing(head, 0), _crossing(head, 1)
        slope = end - start
        rows.append((slope, start, abs(start) / (1 + slope**2) ** 0.5))
        name = f"w = ({3 * factor}, {4 * factor}), b = {bias}"
        work.let(f"{name}: slope {slope:.4g}, at x = 0 {start + 0.0:.4g}, distance {rows[-1][2]:.4g}")
    slopes, heights, distances = zip(*rows, strict=True)
    work.numbers("slope for b = 0, 5, -10", slopes[:3], [-0.75] * 3)
    work.numbers("crossing of the y axis, -b/4", heights[:3], [0, -1.25, 2.5])
    work.numbers("distance from the origin, |b|/5", distances[:3], [0, 1, 2])
    work.number("distance for 2w and b = 5: halved by W", distances[3], 0.5)
    x, three = torch.randn(1000, 2).double(), torch.randn(3, 2).double()
    first, shifted = (linear_head(three, b + torch.zeros(3).double())(x).argmax(1) for b in (0, 7))
    work.number("three classes, 7 added to each b: of 1000 points change", (first != shifted).sum().item(), 0)


@claim(
    "X-18",
    says="The decision boundary is W x + b = 0.",
    verdict="overstated",
    correct="Of one score, as in the example that follows. Between classes i and j of several it is "
    "(w_i - w_j) x + (b_i - b_j) = 0.",
)
def pairwise(work: Working) -> None:
    one = linear_head(torch.tensor([[-1.0, -1.0]]).double(), torch.tensor([3.0]).double())
    sides = one(torch.tensor([[1.0, 1.9], [1.0, 2.0], [1.0, 2.1]], dtype=torch.float64))[:, 0].tolist()
    work.numbers("one score, -x - y + 3 at (1, 1.9), (1, 2), (1, 2.1)", sides, [0.1, 0, -0.1])
    work.let("three classes in the plane: W x + b = 0 asks 3 equations of 2 unknowns")
    weight, bias = torch.randn(3, 2).double(), torch.randn(3).double()
    head = linear_head(weight, bias)
    least = torch.linalg.lstsq(weight, -bias[:, None]).solution
    left = (weight @ least + bias[:, None]).norm().item()
    work.true("no point has all three scores 0", left > 0.01, f"least norm {left:.2f}")
    inside, outside = 3 * torch.randn(2, 2000, 2).double()
    differ = head(inside).argmax(1) != head(outside).argmax(1)
    inside, outside = inside[differ], outside[differ]
    label = head(inside).argmax(1)
    for _ in range(60):
        middle = (inside + outside) / 2
        same = (head(middle).argmax(1) == label)[:, None]
        inside, outside = torch.where(same, middle, inside), torch.where(same, outside, middle)
    best = head(inside).topk(2).values
    work.let(f"{len(best)} random segments between two classes, halved 60 times: the point of change")
    gap = (best[:, 0] - best[:, 1]).abs().max().item()
    work.true("there the two highest scores are equal", gap < 1e-9, f"off by {gap:.0e}")
    away = (best.abs().amax(1) > 0.01).double().mean().item()
    work.true("and not 0", away > 0.9, f"{100 * away:.0f} % above 0.01 in size")


@claim(
    "C-3.1.2-toy",
    says="A grey image of 2x2 pixels, stretched to four numbers, gets three scores W x + b.",
    verdict="holds",
)
def toy(work: Working) -> None:
    scores = linear_head(CAT_WEIGHT, CAT_BIAS)(CAT)[0].tolist()
    for name, weights, bias in zip(
        ("cat", "dog", "ship"), CAT_WEIGHT.tolist(), CAT_BIAS.tolist(), strict=True
    ):
        products = " + ".join(f"{w:g} * {x:g}" for w, x in zip(weights, CAT[0].tolist(), strict=True))
        work.let(f"{name}: {products} + {bias:g}")
    work.numbers("scores of cat, dog, ship", scores, [-96.8, 437.9, 60.75])
    without = linear_head(CAT_WEIGHT)(CAT)[0].tolist()
    work.numbers("without b", without, [-97.9, 434.7, 61.95])
    work.let("the image is of a cat, and the dog wins: these weights are not trained")
