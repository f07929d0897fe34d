"""Section 3.6.6: margins that are turned on gradually, and margins that are not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.embedding import IDENTITIES, glyphs, train_net
from lossbench.heads import CosineHead
from lossbench.heads.scheduled import Margin
from lossbench.margins import additive_cosine, multiplicative_angle
from lossbench.report.style import COLOURS
from lossbench.schedules import lambda_annealing, linear_ramp

SEEDS = range(2)
SETTING = "nets 256-128-64 without batch normalisation, 100 characters, 300 steps, 2 seeds; right in training"
RELEASED = partial(lambda_annealing, start=1000.0, end=5.0, gamma=0.12, power=1.0, period=28000)


# Any: a number, or a schedule that the head makes one of.
def _a_softmax(lam: Any) -> Callable[[], CosineHead]:
    return partial(_head, partial(multiplicative_angle, m=4, lam=lam), None)


def _am(m: Any, s: float | None) -> Callable[[], CosineHead]:
    return partial(_head, partial(additive_cosine, m=m), s)


def _head(margin: Margin, s: float | None) -> CosineHead:
    return CosineHead(64, IDENTITIES, margin=margin, s=s)


RAMP = partial(linear_ramp, end=0.4, ramp=8000 / 30000)
WAYS = {
    "A-Softmax, lambda 0 from the start": _a_softmax(0.0),
    "A-Softmax, lambda 5 from the start": _a_softmax(5.0),
    "A-Softmax, lambda 1000 to 5": _a_softmax(RELEASED),
    "AM m = 0.35, s = 30": _am(0.35, 30.0),
    "AM m = 0.4 without FN": _am(0.4, None),
    "AM m from 0 to 0.4 without FN": _am(RAMP, None),
}


@cache
def _right(way: str, seed: int, normed: bool = False) -> float:
    """Per cent of the training images whose own class scores highest, without the margin."""
    given = glyphs()["train"]
    net, head = train_net(
        WAYS[way], given, seed=seed, hidden=128, dim=64, normed=normed, rate=0.01, steps=300
    )
    with torch.no_grad():
        return 100 * (head(net(given.images)).argmax(1) == given.labels).double().mean().item()


def _mean(work: Working, way: str) -> float:
    found = [_right(way, seed) for seed in SEEDS]
    work.let(f"{way}: {' and '.join(f'{one:.1f}' for one in found)} %")
    return sum(found) / len(found)


@claim(
    "C-AM-ann",
    says="A-Softmax must begin near the plain cosine, with a large lambda that falls.",
    verdict="holds with a condition",
    correct="In plain nets lambda = 0 from the start learns nothing: at 90 degrees, where features begin, "
    "psi is flat for an even m. A constant lambda = 5 has a slope there and learns, though less well; and "
    "batch normalisation gets lambda = 0 going.",
    otherwise="not reproduced here",
)
def annealed(work: Working) -> None:
    cosine = torch.tensor([[0.0]], dtype=torch.float64, requires_grad=True)
    slopes = []
    for lam in (0.0, 5.0, 1000.0):
        value = multiplicative_angle(cosine, torch.tensor([0]), m=4, lam=lam)
        slopes.append(torch.autograd.grad(value.sum(), cosine)[0].item())
    work.let("slope by the cosine at 90 degrees, m = 4: lambda / (lambda + 1)")
    work.numbers("lambda = 0, 5, 1000", slopes, [0, 5 / 6, 1000 / 1001])
    work.let(SETTING)
    stuck, constant, falling = (_mean(work, way) for way in list(WAYS)[:3])
    work.true("lambda = 0 stays near 1 %, which is chance", stuck < 5, f"{stuck:.1f} %")
    work.true("lambda = 5 learns", constant > 60, f"{constant:.1f} %")
    work.true("1000 to 5 learns better", falling > constant + 3, f"{falling:.1f} %")
    helped = sum(_right(next(iter(WAYS)), seed, normed=True) for seed in SEEDS) / len(SEEDS)
    work.true("with batch normalisation lambda = 0 learns, too", helped > 60, f"{helped:.1f} %")
    axes = work.figure("fig-3.19-annealing", 6.4, 3.0).subplots()
    for place, way in enumerate(WAYS):
        colour = COLOURS[1] if way.startswith("A-") else COLOURS[0]
        axes.plot([_right(way, seed) for seed in SEEDS], [place] * len(SEEDS), "o", color=colour)
    axes.set(yticks=range(len(WAYS)), yticklabels=list(WAYS), ylim=(len(WAYS) - 0.5, -0.5), xlim=(-2, 102))
    axes.set_xlabel("training images right (%), one point a seed")


@claim(
    "X-20",
    says="AM-Softmax needs no annealing.",
    verdict="overstated",
    correct="With normalised features. The released recipe without them lets m rise by 0.00005 a step, to "
    "0.4 at step 8,000 of 30,000, and in the plain nets here such a ramp helps too.",
    otherwise="not reproduced here",
)
def ramped(work: Working) -> None:
    found = [RAMP(step, 30000) for step in (0, 1, 4000, 8000, 30000)]
    work.numbers("m at step 0, 1, 4,000, 8,000, 30,000", found, [0, 5e-5, 0.2, 0.4, 0.4], within=1e-9)
    work.let(SETTING)
    normed, plain, ramp = (_mean(work, way) for way in list(WAYS)[3:])
    work.true("normalised features, m = 0.35 from the start: learns", normed > 90, f"{normed:.1f} %")
    work.true(
        "without normalisation: the ramp to 0.4 is better than 0.4 at once",
        ramp > plain + 3,
        f"{ramp:.1f} and {plain:.1f} %",
    )
