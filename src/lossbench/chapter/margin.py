"""Section 3.6.6: the additive margin and its boundary."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from lossbench.chapter.angles import A_SOFTMAX, A_TRAINED, AM, CURVES, Margin, boundary, unchanged
from lossbench.chapter.claim import Working, claim
from lossbench.heads import CosineHead
from lossbench.losses import cross_entropy_loss
from lossbench.margins import additive_cosine

entropy_loss = partial(cross_entropy_loss, tau=1.0)


def _head(m: float = 0.35, s: float = 30.0, margin: Margin | None = None) -> CosineHead:
    return CosineHead(8, 5, margin=margin or partial(additive_cosine, m=m), s=s).double()


def _samples(n: int = 200) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 8, dtype=torch.float64), torch.arange(n) % 5


@claim(
    "C-AM-3.1",
    says="Normalised, the scores are s cos theta_j: lengths of features and prototypes play no part.",
    verdict="holds",
)
def cosines(work: Working) -> None:
    head, (x, _) = _head(), _samples()
    before = head(x).detach()
    by_hand = 30 * (x @ head.weight.T) / (x.norm(dim=1)[:, None] * head.weight.norm(dim=1))
    gap = (before - by_hand).abs().max().item()
    work.true("200 random features: s x·w / (‖x‖ ‖w‖)", gap < 1e-12, f"off by {gap:.0e}")
    gap = (head(x * (10 * torch.rand(200, 1).double() + 0.1)) - before).abs().max().item()
    work.true("features of other lengths: the same scores", gap < 1e-12, f"off by {gap:.0e}")
    head.weight.data *= torch.tensor([0.1, 1, 2, 5, 20], dtype=torch.float64)[:, None]
    gap = (head(x) - before).abs().max().item()
    work.true("prototypes of other lengths: the same scores", gap < 1e-12, f"off by {gap:.0e}")
    found = [boundary(unchanged, apart) for apart in (60, 90, 120)]
    work.numbers("boundary for prototypes 60, 90, 120 degrees apart: the bisector", found, [30, 45, 60])


@claim(
    "C-AM-3.2",
    says="AM-Softmax changes the target's score alone: z_y = s (cos theta_y - m).",
    verdict="holds",
)
def one_score(work: Working) -> None:
    x, target = _samples()
    head = _head()
    rise = head(x, target) - head(x)
    own = rise.gather(1, target[:, None])
    work.let("change of the score: -s m = -30 · 0.35 = -10.5 for the target, 0 for the others")
    work.numbers(
        "least and greatest change of the target", [own.min().item(), own.max().item()], [-10.5, -10.5]
    )
    others = rise.scatter(1, target[:, None], 0.0).abs().max().item()
    work.number("greatest change of another score", others, 0.0, within=1e-12)
    head.margin = partial(additive_cosine, m=0.0)
    gap = (head(x, target) - head(x)).abs().max().item()
    work.number("m = 0 is NormFace: greatest change", gap, 0.0, within=1e-12)
    losses = []
    for m in (0.0, 0.2, 0.35, 0.5):
        head.margin = partial(additive_cosine, m=m)
        losses.append(entropy_loss(head(x, target), target))
    grows = all(bool((more > less).all()) for less, more in pairwise(losses))
    means = ", ".join(f"{loss.mean():.2f}" for loss in losses)
    work.true("the loss of every sample grows with m = 0, 0.2, 0.35, 0.5", grows, f"means {means}")


@claim(
    "C-AM-3.3",
    says="The boundary between two classes is cos theta_1 - cos theta_2 = m, whatever the angles.",
    verdict="holds with a condition",
    correct="In cosine. In degrees it moves with the prototypes, and prototypes less than arccos(1 - m) "
    "apart, 49.46 degrees for 0.35, lie outside their own regions.",
)
def fixed_gap(work: Working) -> None:
    work.let("in the plane of prototypes A apart: A/2 - arcsin(m / (2 sin(A/2))) from the own one")
    aparts = (60, 90, 120)
    found = [boundary(AM, apart) for apart in aparts]
    half = [math.radians(apart / 2) for apart in aparts]
    closed = [math.degrees(angle - math.asin(0.175 / math.sin(angle))) for angle in half]
    work.numbers("boundary at A = 60, 90, 120, degrees", found, closed, within=1e-6)
    work.numbers("that is", closed, [9.51, 30.67, 48.34], within=0.01)
    gaps = [_gap(boundary(AM, apart), apart) for apart in aparts]
    work.numbers("cos theta_1 - cos theta_2 there", gaps, [0.35, 0.35, 0.35], within=1e-9)
    for margin, name, wanted in (
        (A_SOFTMAX, "lambda = 0", (12, 18, 24)),
        (A_TRAINED, "lambda = 5", (21.66, 34.39, 50.53)),
    ):
        places = [boundary(margin, apart) for apart in aparts]
        work.numbers(f"A-Softmax m = 4, {name}: boundary", places, wanted, within=0.01)
        gaps = [_gap(place, apart) for place, apart in zip(places, aparts, strict=True)]
        told = ", ".join(f"{gap:.2f}" for gap in gaps)
        work.true("its cosine gap moves with A", max(gaps) - min(gaps) > 0.05, told)
    work.let("no gap left on the prototype itself: 1 - cos A = m; no region: 2 sin(A/2) = m")
    inside = [boundary(AM, apart) > 0 for apart in (40, 49.45, 49.47, 60)]
    work.numbers("40, 49.45, 49.47, 60 degrees apart: 1 if within its region", inside, [0, 0, 1, 1])
    some = [not math.isnan(boundary(AM, apart)) for apart in (15, 20.15, 20.17, 25)]
    work.numbers("15, 20.15, 20.17, 25 apart: 1 if there is a region", some, [0, 0, 1, 1])
    _draw_boundaries(work)


def _gap(place: float, apart: float) -> float:
    return math.cos(math.radians(place)) - math.cos(math.radians(apart - place))


def _draw_boundaries(work: Working) -> None:
    axes = work.figure("fig-3.20-boundary", 6.4, 3.8).subplots()
    aparts = np.arange(20.5, 180.1, 1.5)
    for name, margin, colour in CURVES:
        axes.plot(aparts, [boundary(margin, apart) for apart in aparts], color=colour, label=name)
    axes.axhline(0, color="#888888", lw=0.8, zorder=0)
    axes.axvspan(20, 49.46, color="#EEEEEE", zorder=-1)
    axes.text(35, 62, "AM: prototypes\noutside their\nown regions", ha="center", color="#444444", fontsize=9)
    axes.set(xlabel="angle between the prototypes (degrees)", xlim=(20, 180), ylim=(-45, 92))
    axes.set(
        ylabel="own prototype to boundary (degrees)", xticks=range(30, 181, 30), yticks=range(-30, 91, 30)
    )
    axes.legend(loc="lower right")


@claim(
    "C-AM-listing",
    says="The listing: normalise, multiply, subtract m from the target's cosine, times s, cross-entropy.",
    verdict="holds with a condition",
    correct="A zero row divides by 0 and the loss is NaN: divide by max(norm, 1e-12). Labels must be whole "
    "numbers.",
)
def listing(work: Working) -> None:
    head, (x, target) = _head(), _samples()
    ours = entropy_loss(head(x, target), target).mean().item()
    theirs = _listing(x.numpy(), head.weight.detach().numpy(), target.numpy())
    work.true(
        "200 random features: the loss of the library's head",
        abs(ours - theirs) < 1e-12,
        f"{theirs:.6f}, off by {abs(ours - theirs):.0e}",
    )
    x[0] = 0
    work.true(
        "with a zero row the listing gives NaN",
        math.isnan(_listing(x.numpy(), head.weight.detach().numpy(), target.numpy())),
    )
    ours = entropy_loss(head(x, target), target).mean().item()
    work.true("the library's head does not", math.isfinite(ours), f"{ours:.4f}")


def _listing(x: np.ndarray, w: np.ndarray, y: np.ndarray, s: float = 30.0, m: float = 0.35) -> float:
    """Loss by the steps of the listing, in NumPy."""
    with np.errstate(invalid="ignore"):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T
    scores = s * cosine
    scores[np.arange(len(x)), y] = s * (cosine[np.arange(len(x)), y] - m)
    top = scores.max(1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(1)) + top[:, 0]
    return float((total - scores[np.arange(len(x)), y]).mean())
