"""Section 3.6.6: the regions that AM-Softmax leaves to the classes on the sphere."""

from __future__ import annotations

import math

import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.margins import additive_cosine
from lossbench.report.style import COLOURS

OCTAHEDRON = torch.cat([torch.eye(3), -torch.eye(3)]).double()


@claim(
    "X-19",
    says="With AM all classes keep regions of one size, alike in all directions, each with a uniform cap.",
    verdict="wrong",
    correct="Sizes are equal for symmetric prototypes alone. The region beside one rival is a cap, but "
    "centred on w_y - w_j instead of w_y, so that regions are not round even then. The boundary is a "
    "parallel offset of the bisector plane, as the text says.",
)
def shapes(work: Working) -> None:
    x = F.normalize(torch.randn(200_000, 3, dtype=torch.float64))
    pair = OCTAHEDRON[:2]
    own = _region(x, pair) == 0
    axis = F.normalize(pair[:1] - pair[1:])
    work.let(
        "w_1·x - w_2·x >= m is (w_1 - w_2)·x >= m: a cap around w_1 - w_2, m/‖w_1 - w_2‖ from the centre"
    )
    cap = (x @ axis.T)[:, 0] >= 0.35 / math.sqrt(2)
    work.number("200,000 directions: in one of cap and region alone", (own != cap).double().sum().item(), 0)
    off = math.degrees(math.acos((axis @ pair[0]).item()))
    work.number("the cap's centre lies off its prototype by, degrees", off, 45.0)
    even = _shares(x, OCTAHEDRON)
    work.let("six prototypes along the axes, m = 0.35")
    work.true("largest over smallest region", max(even) / min(even) < 1.03, f"{max(even) / min(even):.3f}")
    work.let("how far its region reaches: towards a rival and between two of them")
    reach = [_reach(turn) for turn in (0.0, 45.0)]
    work.numbers("degrees from the own prototype", reach, [30.671, 38.126], within=0.01)
    ratios = []
    for _ in range(5):
        parts = _shares(x, _spread(6))
        ratios.append(max(parts) / min(parts))
    told = ", ".join(f"{ratio:.1f}" for ratio in ratios)
    work.true("random prototypes 55 degrees apart or more, five draws", min(ratios) > 1.2, told)
    left, right = work.figure("fig-3.20-regions", 6.4, 3.5).subplots(1, 2)
    _draw(left, OCTAHEDRON, "prototypes along the axes")
    _draw(right, _spread(6), "prototypes at random")


def _region(x: Tensor, prototypes: Tensor, m: float = 0.35) -> Tensor:
    """The class (n,) whose margin unit features (n, d) satisfy; -1 for none."""
    cosine = x @ prototypes.T
    best = cosine.argmax(1)
    scores = additive_cosine(cosine, best, m=m)
    return torch.where(scores.argmax(1) == best, best, -1)


def _shares(x: Tensor, prototypes: Tensor) -> list[float]:
    found = _region(x, prototypes)
    return [(found == label).double().mean().item() for label in range(len(prototypes))]


def _reach(turn: float) -> float:
    """Degrees from the first axis to the end of its region, towards the second one turned by ``turn``."""
    way = torch.tensor([0, math.cos(math.radians(turn)), math.sin(math.radians(turn))], dtype=torch.float64)
    angle = torch.deg2rad(torch.arange(0, 90, 0.005, dtype=torch.float64))[:, None]
    inside = _region(angle.cos() * OCTAHEDRON[0] + angle.sin() * way, OCTAHEDRON) == 0
    return math.degrees(angle[inside].max().item())


def _spread(classes: int) -> Tensor:
    """Random unit vectors in 3-D, no two of them closer than 55 degrees."""
    while True:
        found = F.normalize(torch.randn(classes, 3, dtype=torch.float64))
        if (found @ found.T).fill_diagonal_(-1).max() < math.cos(math.radians(55)):
            return found


def _draw(axes: Axes, prototypes: Tensor, title: str) -> None:
    """The near half of the sphere, looked at from (1, 1, 1)."""
    view = F.normalize(torch.tensor([[-1.0, 1, 0], [-1, -1, 2], [1, 1, 1]], dtype=torch.float64))
    line = torch.linspace(-1, 1, 501, dtype=torch.float64)
    up, right = torch.meshgrid(line, line, indexing="ij")
    square = 1 - right.square() - up.square()
    x = torch.stack([right, up, square.clamp_min(0).sqrt()], -1).reshape(-1, 3) @ view
    palette = torch.tensor([*map(to_rgb, COLOURS[:6]), to_rgb("#E6E6E6"), to_rgb("white")])
    label = _region(x, prototypes)
    label[label < 0] = 6
    label[square.flatten() < 0] = 7
    axes.imshow(
        palette[label].reshape(501, 501, 3).numpy(),
        origin="lower",
        extent=(-1, 1, -1, 1),
        interpolation="nearest",
    )
    near = (prototypes @ view.T)[(prototypes @ view[2]) > 0].numpy()
    axes.plot(near[:, 0], near[:, 1], "o", color="black", ms=5)
    axes.set_title(title, fontsize=10, loc="center")
    axes.axis("off")
