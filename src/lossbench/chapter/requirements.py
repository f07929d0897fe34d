"""Sections 3.6 to 3.6.2: what a loss must do, and what it had better do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lossbench import losses
from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import least
from lossbench.chapter.scores import SCORES, TARGET, Loss, cost, row, slope

LOSSES: dict[str, Loss] = {
    "cross-entropy": partial(losses.cross_entropy_loss, tau=1.0),
    "label smoothing": partial(losses.label_smoothing_loss, smoothing=0.1),
    "focal": partial(losses.focal_loss, gamma=2.0),
    "hinge": partial(losses.hinge_loss, delta=1.0),
    "squared hinge": partial(losses.squared_hinge_loss, delta=1.0),
    "Crammer-Singer": partial(losses.crammer_singer_loss, delta=1.0),
    "one-against-all": partial(losses.one_vs_all_loss, positive=1.0, negative=1.0),
    "squared error": losses.mse_loss,
    "squared scores": partial(losses.squared_normalized_loss, eps=1e-12),
}


@claim(
    "C-3.6-mean",
    says="The loss of a data set is the mean of its samples' losses.",
    verdict="holds",
)
def mean(work: Working) -> None:
    loss = LOSSES["hinge"]
    each = loss(SCORES, TARGET)
    work.let(f"L = ({' + '.join(f'{value:g}' for value in each.tolist())}) / 3")
    work.number("mean of the three example images", each.mean().item(), 15.8 / 3)
    twice, targets = SCORES.repeat(2, 1), TARGET.repeat(2)
    work.number("every image counted twice", loss(twice, targets).mean().item(), 15.8 / 3)
    work.number("the sum instead grows with the data", loss(twice, targets).sum().item(), 31.6)
    x = torch.randn(3, 5, dtype=torch.float64)
    weight = torch.randn(3, 5, dtype=torch.float64)
    whole = _weight_gradient(loss, weight, x, TARGET)
    single = [_weight_gradient(loss, weight, x[i : i + 1], TARGET[i : i + 1]) for i in range(3)]
    gap = (whole - torch.stack(single).mean(0)).abs().max().item()
    work.true("its gradient is the mean of the samples' gradients", gap < 1e-12, f"off by {gap:.0e}")


def _weight_gradient(loss: Loss, weight: Tensor, x: Tensor, target: Tensor) -> Tensor:
    leaf = weight.clone().requires_grad_()
    return torch.autograd.grad(loss(x @ leaf.T, target).mean(), leaf)[0]


@claim(
    "C-3.6.1-req",
    says="A loss must be differentiable, grow as predictions get worse, be continuous, and be finite.",
    verdict="holds with a condition",
    correct="Differentiable almost everywhere is enough (X-13). Shares of squared scores break the second "
    "and fourth; label smoothing gives up the second on purpose, past its smoothed target.",
)
def required(work: Working) -> None:
    usual = [name for name in LOSSES if name not in ("squared scores", "label smoothing")]
    rise = {name: _largest_rise(loss) for name, loss in LOSSES.items()}
    work.let("the target's score goes from -12 to 12 beside 20 draws of four others; largest rise:")
    for name, value in rise.items():
        work.let(f"  {name}: {value:.1e}")
    work.true(f"never rise with s_y: {', '.join(usual)}", max(rise[name] for name in usual) < 1e-12)
    work.true("squared scores do: z and -z cost the same", rise["squared scores"] > 1)
    work.true("label smoothing does", rise["label smoothing"] > 1e-3, f"by {rise['label smoothing']:.2g}")
    unbounded = [name for name, loss in LOSSES.items() if not _finite(loss)]
    work.let("value and slope of each on the 81 corners of [-1e4, 1e4]^4 and between")
    work.true(
        "finite on [-1e4, 1e4]^4: all, squared scores through eps alone", not unbounded, ", ".join(unbounded)
    )
    tiny = (1e-6, 1e-12, 1e-300)
    costs = [cost(partial(losses.squared_normalized_loss, eps=eps), row(0, 1)) for eps in tiny]
    work.numbers("squared scores (0, 1), eps = 1e-6, 1e-12, 1e-300", costs, [13.8155, 27.6310, 690.7755])
    squares = torch.zeros(2).square()
    work.true("squared scores (0, 0) without eps: 0/0", bool((squares / squares.sum()).isnan().all()))


def _finite(loss: Loss) -> bool:
    corners = torch.tensor(list(product([-1e4, 0.0, 1e4], repeat=4)), dtype=torch.float64)
    values = loss(corners, torch.zeros(81, dtype=torch.long))
    return bool(values.isfinite().all() and slope(loss, corners).isfinite().all())


def _largest_rise(loss: Loss) -> float:
    own = torch.linspace(-12, 12, 401, dtype=torch.float64)[:, None]
    generator = torch.Generator().manual_seed(0)
    others = 2 * torch.randn(20, 1, 4, generator=generator, dtype=torch.float64).expand(20, 401, 4)
    target = torch.zeros(401, dtype=torch.long)
    return max(loss(torch.cat([own, each], 1), target).diff().max().item() for each in others)


@claim(
    "X-13",
    says="Differentiability is essential; the hinge, which has kinks, is then used.",
    verdict="overstated",
    correct="Differentiable almost everywhere with a subgradient at the kinks is enough.",
)
def kinks(work: Working) -> None:
    loss, kink, step = LOSSES["hinge"], row(10, 9, 9), 1e-6
    moved = [loss(kink + torch.tensor([[side, 0, 0]]), TARGET[:1]).item() for side in (-step, step)]
    work.let("scores (10, 9, 9), label 0: both margins are exactly 1, the loss is exactly 0")
    work.number("slope in s_y from the left", -moved[0] / step, -2.0)
    work.number("slope in s_y from the right", moved[1] / step, 0.0)
    found = slope(loss, kink)[0, 0].item()
    work.true("autograd gives a slope between them", -2 <= found <= 0, f"{found:g}")
    smooth, h = 3 * torch.randn(1000, 3, dtype=torch.float64), 1e-7
    target = torch.zeros(1000, dtype=torch.long)
    up, down = (loss(smooth + torch.tensor([side, 0, 0]), target) for side in (h, -h))
    differ = ((up - down) / (2 * h) - slope(loss, smooth)[:, 0]).abs() > 1e-5
    work.number("of 1000 random rows, those with another slope by differences", float(differ.sum()), 0.0)
    work.let("descent on the hinge from W = 0: 60 points, 3 classes, step 0.5, 300 steps")
    x = torch.randn(60, 2, dtype=torch.float64)
    labels = (x @ torch.tensor([[1.0, 0], [-0.5, 0.9], [-0.5, -0.9]], dtype=torch.float64).T).argmax(1)
    weight = torch.zeros(3, 2, dtype=torch.float64)
    for _ in range(300):
        weight = weight - 0.5 * _weight_gradient(loss, weight, x, labels)
    right = ((x @ weight.T).argmax(1) == labels).double().mean().item()
    work.true("it fits separable points all the same", right >= 0.98, f"{100 * right:.0f} % right")


@claim(
    "C-3.6.2-prop",
    says="Desirable: convex in the weights of a simple model, and not ruled by a few extreme errors.",
    verdict="holds with a condition",
    correct="Convex under a linear head: cross-entropy, label smoothing, the hinges, one-against-all. Not: "
    "focal, squared error, squared scores; and none under a cosine head. Beside far errors hinge and squared "
    "error kept the line here, cross-entropy and squared hinge did not.",
)
def desirable(work: Working) -> None:
    bent = {"focal", "squared error", "squared scores"}
    x = torch.randn(4, dtype=torch.float64)
    gaps = {name: _excess(loss, partial(_linear, x)) for name, loss in LOSSES.items()}
    work.let("W halfway between two random ones, 400 pairs: largest excess over the mean of their losses")
    for name, gap in gaps.items():
        work.let(f"  {name}: {gap:.2g}")
    straight = [name for name in LOSSES if name not in bent]
    work.true(f"convex in W: {', '.join(straight)}", max(gaps[name] for name in straight) < 1e-9)
    work.true(f"not convex: {', '.join(sorted(bent))}", min(gaps[name] for name in bent) > 1e-3)
    cosine = min(_excess(loss, partial(_cosine, x)) for loss in LOSSES.values())
    work.true("none is convex on cosines times 10", cosine > 0.1, f"excess at least {cosine:.2g}")
    work.let(
        "two classes on a line, at -1.8 to -0.2 and 0.2 to 1.8, and ten points at -5 with the wrong label"
    )
    robust = ("squared hinge", "cross-entropy", "hinge", "squared error")
    right = [_right_beside_outliers(LOSSES[name]) for name in robust]
    work.true(
        f"right beside outliers: {robust[0]} and {robust[1]} 10 points below {robust[2]} and {robust[3]}",
        max(right[:2]) < min(right[2:]) - 10,
        ", ".join(f"{value:.0f}" for value in right) + " %",
    )


def _linear(x: Tensor, weight: Tensor) -> Tensor:
    return weight @ x


def _cosine(x: Tensor, weight: Tensor) -> Tensor:
    return 10 * F.normalize(weight, dim=2) @ F.normalize(x, dim=0)


def _excess(loss: Loss, scores: Callable[[Tensor], Tensor]) -> float:
    """Largest excess of the loss halfway between two weights over the mean of theirs; convex: none."""
    generator = torch.Generator().manual_seed(1)
    ends = 3 * torch.randn(2, 400, 3, 4, generator=generator, dtype=torch.float64)
    one, other, middle = (loss(scores(w), torch.zeros(400).long()) for w in (*ends, ends.mean(0)))
    return (middle - (one + other) / 2).max().item()


def _right_beside_outliers(loss: Loss) -> float:
    side = torch.linspace(0.2, 1.8, 50, dtype=torch.float64)
    places = torch.cat([-side, side, torch.full((10,), -5.0, dtype=torch.float64)])
    x, labels = torch.stack([places, torch.ones_like(places)], 1), torch.tensor([0] * 50 + [1] * 60)

    def mean_loss(weight: Tensor) -> Tensor:
        return loss(x @ weight.T, labels).mean()

    weight = least(mean_loss, torch.zeros(2, 2, dtype=torch.float64))
    return 100 * ((x @ weight.T).argmax(1) == labels)[:100].double().mean().item()
