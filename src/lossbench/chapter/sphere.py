"""Section 3.6.6: three-dimensional features on the sphere, for five losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Missing, Working, claim
from lossbench.chapter.embedding import Pictures, halved, make_head, train_net
from lossbench.chapter.fitting import digits
from lossbench.datasets import ByImage, FashionMnist
from lossbench.report.style import FAINT

SEEDS = range(3)
NAMES = {
    "softmax": "softmax",
    "normface": "NormFace",
    "asoftmax": "A-Softmax",
    "am-0.2": "AM m = 0.2",
    "am-0.5": "AM m = 0.5",
}


class Ten(NamedTuple):
    """Ten classes of images: to train on, and others."""

    names: tuple[str, ...]
    train: Pictures
    test: Pictures


@cache
def handwritten() -> Ten:
    parts = digits()
    return Ten(tuple("0123456789"), Pictures(*parts["train"]), Pictures(*parts["test"]))


@cache
def clothes() -> Ten:
    """8,000 and 2,000 images of Fashion-MNIST at half its size; raises Missing without its files."""
    source = FashionMnist(path=None, division=ByImage(val_fraction=0.1, test_fraction=0.0, split_seed=0))
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        if source.find(f"{stem}-ubyte.gz", f"{stem}-ubyte") is None:
            raise Missing("no Fashion-MNIST: put its four files into LOSSBENCH_DATA/fashion_mnist")
    splits, parts = source.load().splits, []
    for role, count in (("train", 8000), ("test", 2000)):
        split = splits[role]
        chosen = np.random.default_rng(0).permutation(len(split))[:count]
        rows = split.data[chosen if split.rows is None else split.rows[chosen]]
        parts.append(Pictures(halved(rows[..., 0]), torch.from_numpy(split.labels[chosen])))
    return Ten(source.classes, *parts)


@cache
def _features(source: Callable[[], Ten], loss: str, seed: int) -> Tensor:
    """Unit features (n, 3) of the images not trained on."""
    ten = source()
    trained = train_net(
        partial(make_head, loss, 3, 10, 10.0), ten.train,
        seed=seed, hidden=64, dim=3, normed=False, rate=0.02, steps=300,
    )  # fmt: skip
    return trained.features(ten.test.images)


@claim(
    "C-AM-fig21",
    says="On the sphere AM gathers classes into tighter cones with larger gaps than softmax and earlier "
    "margins (Figure 3.21; handwritten digits).",
    verdict="holds",
    otherwise="not reproduced here",
)
def cones(work: Working) -> None:
    found = _measure(work, handwritten)
    for what in ("mean", "median"):
        row = {loss: values[what] for loss, values in found.items()}
        told = ", ".join(f"{row[loss]:.1f}" for loss in ("softmax", "normface", "am-0.2", "am-0.5"))
        falls = row["softmax"] > row["normface"] > row["am-0.2"] > row["am-0.5"]
        work.true(f"{what} angle to the own centre falls: softmax, NormFace, AM 0.2, AM 0.5", falls, told)
        work.true(
            f"{what}: A-Softmax above AM 0.2",
            row["asoftmax"] > row["am-0.2"],
            f"{row['asoftmax']:.1f} and {row['am-0.2']:.1f}",
        )
    nearest = {loss: values["nearest"] for loss, values in found.items()}
    rest = max(nearest[loss] for loss in ("softmax", "normface", "asoftmax"))
    work.true(
        "least angle between centres: both AM above the others",
        min(nearest["am-0.2"], nearest["am-0.5"]) > rest,
        ", ".join(f"{value:.1f}" for value in nearest.values()),
    )
    work.let("ten points on the sphere are at most 66.1 degrees apart")
    _draw(work, "fig-3.21-sphere", handwritten)


@claim(
    "C-AM-fig21-fashion",
    says="The same on Fashion-MNIST.",
    verdict="not reproduced here",
    correct="The gaps are larger, the cones are not tighter: the mean angle to the own centre grows from "
    "softmax to AM, with either m: some of these classes overlap, and images that fall to a wrong class go "
    "all the way. A-Softmax is tightest, and two of its centres nearly coincide.",
    otherwise="not reproduced here",
)
def cones_of_clothes(work: Working) -> None:
    found = _measure(work, clothes)
    row = [values["mean"] for values in found.values()]
    work.criterion(
        "mean angle to the own centre falls: softmax, NormFace, A-Softmax, AM 0.2 and 0.5",
        row[0] > row[1] > row[2] > max(row[3:]),
        ", ".join(f"{value:.1f}" for value in row),
    )
    median = ", ".join(f"{values['median']:.1f}" for values in found.values())
    work.let(f"median angle to the own centre, in the same order: {median}")
    for loss in ("am-0.2", "am-0.5"):
        change = found[loss]["mean"] - found["softmax"]["mean"]
        work.true(f"mean to the own centre: {NAMES[loss]} above softmax", change > 0, f"{change:+.1f}")
    for what, name in (("neighbours", "mean angle of neighbouring centres"), ("nearest", "least angle")):
        row = [values[what] for values in found.values()]
        work.true(
            f"{name}: both AM above the others",
            min(row[3:]) > max(row[:3]),
            ", ".join(f"{value:.1f}" for value in row),
        )
    _draw(work, "fig-3.21-fashion", clothes)


def _measure(work: Working, source: Callable[[], Ten]) -> dict[str, dict[str, float]]:
    """Loss -> mean over seeds of four angles in degrees."""
    ten, found = source(), {}
    work.let(
        f"{len(ten.train.labels):,} images, nets with 64 hidden units and 3 outputs, 300 steps, s = 10; "
        f"degrees, {len(ten.test.labels):,} other images, means over 3 seeds"
    )
    for loss, name in NAMES.items():
        rows = [_angles(_features(source, loss, seed), ten.test.labels) for seed in SEEDS]
        own = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
        spread = torch.tensor([row["mean"] for row in rows]).std().item()
        work.let(
            f"{name}: own centre mean {own['mean']:.1f} (SD {spread:.1f}), median {own['median']:.1f}; "
            f"centres least {own['nearest']:.1f}, neighbours on average {own['neighbours']:.1f}"
        )
        found[loss] = own
    return found


def _angles(unit: Tensor, labels: Tensor) -> dict[str, float]:
    centres = F.normalize(torch.stack([unit[labels == label].mean(0) for label in range(10)]))
    own = torch.rad2deg((unit * centres[labels]).sum(1).clamp(-1, 1).acos())
    apart = torch.rad2deg((centres @ centres.T).fill_diagonal_(-1).amax(1).clamp(-1, 1).acos())
    found = {"mean": own.mean(), "median": own.median(), "nearest": apart.min(), "neighbours": apart.mean()}
    return {key: value.item() for key, value in found.items()}


def _draw(work: Working, stem: str, source: Callable[[], Ten]) -> None:
    """Both halves of the sphere, in equal areas; the first seed."""
    figure = work.figure(stem, 7.4, 3.9)
    grid = figure.subplots(2, len(NAMES))
    for column, loss in zip(grid.T, NAMES, strict=True):
        column[0].set_title(NAMES[loss], fontsize=10, loc="center")
        for axes, side in zip(column, (1, -1), strict=True):
            _draw_half(axes, side, _features(source, loss, 0)[:500], source().test.labels[:500])
    grid[0, 0].set_ylabel("front")
    grid[1, 0].set_ylabel("back")
    marks = [Line2D([], [], ls="", marker="o", ms=5, color=colour) for colour in _colours()]
    figure.legend(marks, source().names, loc="outside lower center", ncols=5, fontsize=9, handletextpad=0.1)


def _draw_half(axes: Axes, side: int, unit: Tensor, labels: Tensor) -> None:
    rim = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(rim), np.sin(rim), color=FAINT, lw=1)
    for label, colour in enumerate(_colours()):
        part = unit[(labels == label) & (side * unit[:, 2] >= 0)]
        # Lambert's projection: seen from afar the rim would hide most of them.
        x, y = (part[:, :2] / (1 + part[:, 2:].abs()).sqrt()).T
        axes.plot(side * x, y, ".", color=colour, ms=4, alpha=0.7, mew=0)
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(False)


def _colours() -> list[Any]:
    return list(matplotlib.color_sequences["tab10"])
