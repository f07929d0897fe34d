"""Sections 3.4.1 and 3.4.2: images as points, hyperplanes, and what they cannot part."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor, nn

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import least, train
from lossbench.chapter.linear import linear_head
from lossbench.chapter.separation import best_line, hulls_meet, most_right, separable, wins_somewhere
from lossbench.datasets.dataset import Source
from lossbench.datasets.toys import Modes, Rings, Xor
from lossbench.losses import cross_entropy_loss
from lossbench.report.style import COLOURS

Scores = Callable[[Tensor], Tensor]
entropy_loss = partial(cross_entropy_loss, tau=1.0)
CORNERS = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
IS_XOR = torch.tensor([0, 1, 1, 0])
TOYS: dict[str, Source] = {
    "quadrants": Xor(samples=200, noise=0.0, seed=0, gap=0.2),
    "disc in ring": Rings(samples=200, noise=0.0, seed=0, radius=0.5, gap=0.15),
    "three modes": Modes(samples=200, noise=0.1, seed=0, modes=3),
}


def quadratic(points: Tensor) -> Tensor:
    """x, y, x², x y, y² of points (n, 2)."""
    x, y = points.T
    return torch.stack([x, y, x * x, x * y, y * y], 1)


def net(seed: int, out: int = 2) -> nn.Sequential:
    """Two inputs, 16 rectifiers, ``out`` scores; float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, out)).double()


def fitted(points: Tensor, target: Tensor) -> Scores:
    """The best linear softmax classifier of points (n, d), with a little weight decay."""
    rows = torch.cat([points, torch.ones_like(points[:, :1])], 1)

    def cost(weight: Tensor) -> Tensor:
        return entropy_loss(rows @ weight.T, target).mean() + 5e-5 * weight.square().sum()

    weight = least(cost, torch.zeros(2, rows.shape[1], dtype=torch.float64))
    return linear_head(weight[:, :-1], weight[:, -1])


def _split(name: str, role: str) -> tuple[Tensor, Tensor]:
    split = TOYS[name].load().splits[role]
    return torch.from_numpy(split.data).double(), torch.from_numpy(split.labels)


@cache
def _nets(name: str) -> list[nn.Sequential]:
    models = [net(seed) for seed in range(3)]
    for model in models:
        train(model, entropy_loss, *_split(name, "train"), lr=0.3, steps=400)
    return models


def _right(scores: Scores, points: Tensor, target: Tensor) -> float:
    return 100 * (scores(points).argmax(1) == target).double().mean().item()


def shade(axes: Axes, scores: Scores, low: float, high: float) -> None:
    """Colour the square from ``low`` to ``high`` by the class with the highest score."""
    line = torch.linspace(low, high, 241, dtype=torch.float64)
    x, y = torch.meshgrid(line, line, indexing="xy")
    with torch.no_grad():
        label = scores(torch.stack([x, y], 2).reshape(-1, 2)).argmax(1).view(x.shape)
    palette = 0.65 + 0.35 * torch.tensor([to_rgb(colour) for colour in COLOURS])
    axes.imshow(
        palette[label].numpy(), extent=(low, high, low, high), origin="lower", interpolation="nearest"
    )
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)


def _dots(axes: Axes, points: Tensor, target: Tensor, size: float) -> None:
    for label, marker in ((0, "o"), (1, "s")):
        x, y = points[target == label].T
        axes.plot(x, y, marker, color=COLOURS[label], ms=size, mec="white", mew=size / 10)


@claim(
    "C-3.4.1-regions",
    says="Each image is a point; hyperplanes carve the space into regions, each assigned to a class.",
    verdict="holds",
)
def regions(work: Working) -> None:
    work.let("if class k wins at p and at q, it wins between: each gap of scores is linear along the way")
    for size in (2, 10, 3072):
        head = linear_head(torch.randn(5, size).double(), torch.randn(5).double())
        broken, pairs = _broken(head, size)
        work.number(f"five classes, {size} numbers: ways that leave their region, of {pairs}", broken, 0)
    broken, pairs = _broken(net(0, out=5), 2, spread=3.0)
    work.true("of a net, for comparison: some", broken > 0, f"{broken} of {pairs}")
    weight = torch.tensor([[1.0, 0], [-1, 0], [0, 0]], dtype=torch.float64)
    bias = torch.tensor([0.0, 0, -1], dtype=torch.float64)
    work.let("one region at most: of the scores x, -x and -1 the last is never the highest")
    work.numbers("has a region", [wins_somewhere(weight, bias, label) for label in range(3)], [1, 1, 0])
    panels = work.figure("fig-3.10-regions", 6.4, 3.2).subplots(1, 2)
    drawn = {"linear": linear_head(torch.randn(5, 2).double(), torch.randn(5).double()), "net": net(0, out=5)}
    for axes, (name, scores) in zip(panels, drawn.items(), strict=True):
        shade(axes, scores, -3, 3)
        axes.set_title(name, loc="center")


def _broken(scores: Scores, size: int, spread: float = 1.0) -> tuple[int, int]:
    """Pairs of points of one region with a point of another between them; and all pairs looked at."""
    start, end = spread * torch.randn(2, 2000, size).double()
    label = scores(start).argmax(1)
    alike = label == scores(end).argmax(1)
    start, end, label = start[alike], end[alike], label[alike]
    left = torch.zeros(len(label), dtype=torch.bool)
    for part in (0.25, 0.5, 0.75):
        left |= scores(part * start + (1 - part) * end).argmax(1) != label
    return int(left.sum()), len(label)


@claim(
    "C-3.4.2-hard",
    says="No hyperplane parts classes in alternating quadrants, a disc in a ring, or modes in turns.",
    verdict="holds",
)
def hard_cases(work: Working) -> None:
    work.let("by linear programme; best line: of 360 directions at every offset; 200 points per class")
    work.let(
        "nets 2-16-2: means over 3 starts, 400 steps; others without chance; per cent of 400 test points"
    )
    parted = [separable(*_split(name, "train")) for name in TOYS]
    work.numbers("hyperplane exists: " + ", ".join(TOYS), parted, [0, 0, 0])
    lines, nets = [], []
    for name in TOYS:
        points, target = _split(name, "train")
        test, truth = _split(name, "test")
        lines.append(100 * best_line(points, target))
        nets.append(sum(_right(model, test, truth) for model in _nets(name)) / 3)
        linear = _right(fitted(points, target), test, truth)
        curved = _right(fitted(quadratic(points), target), quadratic(test), truth)
        work.let(f"{name}: softmax {linear:.1f} %, with quadratic features {curved:.1f} %")
    for told, values, right in (
        ("best line: below 80 %", lines, max(lines) < 80),
        ("a net: above 97 %", nets, min(nets) > 97),
    ):
        work.true(told, right, ", ".join(f"{value:.1f}" for value in values))
    parted = [
        separable(quadratic(points), target) for points, target in (_split(name, "train") for name in TOYS)
    ]
    work.numbers("with x², x y, y² as features", parted, [1, 1, 0])
    work.number("XOR of four points: most that a line gets right", most_right(CORNERS, IS_XOR), 0.75)
    _draw_hard(work)


def _draw_hard(work: Working) -> None:
    panels = work.figure("fig-3.11-hard-cases", 6.8, 4.7).subplots(2, 3)
    for (upper, lower), name in zip(panels.T, TOYS, strict=True):
        points, target = _split(name, "train")
        for axes, scores in ((upper, fitted(points, target)), (lower, _nets(name)[0])):
            shade(axes, scores, -1.35, 1.35)
            _dots(axes, points, target, 3)
        upper.set_title(name, loc="center")
    for axes, name in zip(panels[:, 0], ("linear", "net 2-16-2"), strict=True):
        axes.set_ylabel(name)


@claim(
    "X-27",
    says="Disjoint modes of a class cannot be handled by a hyperplane.",
    verdict="overstated",
    correct="Only where the convex hulls of the classes meet: modes on the same side are no problem.",
)
def disjoint_modes(work: Working) -> None:
    modes = [[-2.0, 1.0], [2.0, 1.0]]
    target = torch.tensor([0, 0, 1])
    work.let("class 0 at (-2, 1) and (2, 1), class 1 at (0, h): between the modes, or below them")
    drawn = [torch.tensor([*modes, [0.0, height]]) for height in (1.0, -1.0)]
    work.numbers("h = 1, -1: hulls meet", [hulls_meet(each, target) for each in drawn], [1, 0])
    work.numbers("a hyperplane exists", [separable(each, target) for each in drawn], [0, 1])
    several, met, same = torch.arange(10) % 2, 0, 0
    for _ in range(200):
        points = torch.randn(10, 3)
        meet = hulls_meet(points, several)
        met, same = met + meet, same + (meet != separable(points, several))
    work.number("200 random sets of 5 and 5 points in space: one or the other", same, 200)
    work.true("both kinds among them", 20 < met < 180, f"{met} meet", step=True)
