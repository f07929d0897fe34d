"""Section 3.6.5: what heads other than the linear one begin with."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch

from lossbench.chapter.claim import Working, claim
from lossbench.diagnostics import Observable, expected_initial_loss
from lossbench.heads import CosineHead, LinearHead
from lossbench.losses import cross_entropy_loss
from lossbench.margins import additive_angle, additive_cosine, multiplicative_angle
from lossbench.report.style import COLOURS

LOG_10 = math.log(10)

entropy_loss = partial(cross_entropy_loss, tau=1.0)


HEADS: dict[str, Callable[[int, int], Observable]] = {
    "linear": LinearHead,
    "NormFace, s = 30": partial(CosineHead, s=30.0),
    "AM-Softmax, s = 30, m = 0.35": partial(CosineHead, margin=partial(additive_cosine, m=0.35), s=30.0),
    "ArcFace, s = 30, m = 0.5": partial(CosineHead, margin=partial(additive_angle, m=0.5), s=30.0),
    "A-Softmax, m = 4, ‖x‖ = 10": partial(
        CosineHead, margin=partial(multiplicative_angle, m=4, lam=5.0), s=None
    ),
}


@claim(
    "D-init",
    says="Baselines are given for scores that start nearly equal; other heads have theirs.",
    verdict="note",
    correct="NormFace begins near log C + s²/(2d), AM-Softmax near log(C-1) + s m + s²/(2d), as long as "
    "s²/d is small beside log C; else average over random prototypes.",
)
def heads(work: Working) -> None:
    work.let(
        "cosines to random prototypes have mean 0 and variance 1/d, scores s cos have variance s²/d, and"
    )
    work.let("log E exp(s cos) is about s²/(2d); the margin takes s m from the target's score")
    normface, amsoftmax = (HEADS[name] for name in ("NormFace, s = 30", "AM-Softmax, s = 30, m = 0.35"))
    work.let(f"C = 10516, d = 512: log C = {math.log(10516):.2f}, s²/(2d) = {900 / 1024:.2f}, s m = 10.5")
    for name, head, wanted in (("NormFace", normface, 10.14), ("AM-Softmax", amsoftmax, 20.64)):
        found = _untrained(head, 512, 10516, 64)
        work.number(f"{name}, C = 10516, d = 512, as by the formula", found, wanted, within=0.2)
    work.let(f"C = 10, d = 64: s²/(2d) = {900 / 128:.2f}; the formulas give 9.33 and 19.73, far too high")
    for dim, means in ((64, (6.13, 16.42)), (512, (3.02, 13.40))):
        both = [_untrained(head, dim, 10, 4000) for head in (normface, amsoftmax)]
        work.numbers(f"NormFace, AM-Softmax, C = 10, d = {dim}", both, means, within=0.08)
    with torch.no_grad():
        scores = torch.cat([CosineHead(64, 10, s=30.0)(torch.randn(64, 64)) for _ in range(300)])
    direct = entropy_loss(scores, torch.arange(len(scores)) % 10).mean().item()
    work.number("NormFace, 300 real heads, d = 64", direct, 6.13, within=0.15)
    lowest = min(_untrained(head, 64, 10, 200) for head in HEADS.values())
    work.true("none of the five heads begins below log 10", lowest > LOG_10 - 0.01, f"least {lowest:.3f}")
    _draw_heads(work)


def _untrained(head: Callable[[int, int], Observable], dim: int, classes: int, draws: int) -> float:
    made = head(dim, classes)
    return expected_initial_loss(made, entropy_loss, dim=dim, classes=classes, norm=10.0, draws=draws).mean


def _draw_heads(work: Working) -> None:
    sizes = (8, 16, 32, 64, 128, 256, 512, 1024)
    axes = work.figure("fig-3.6-initial-heads", 6.8, 4.0).subplots()
    for (name, head), colour in zip(HEADS.items(), COLOURS, strict=False):
        losses = [_untrained(head, dim, 10, 300) for dim in sizes]
        axes.plot(sizes, losses, "o-", ms=4, color=colour, label=name)
    smooth = torch.logspace(math.log10(24), math.log10(1024), 50)
    axes.plot(smooth, LOG_10 + 450 / smooth, "--", lw=1, color=COLOURS[1], label="log C + s²/(2d)")
    axes.plot(smooth, math.log(9) + 10.5 + 450 / smooth, "--", lw=1, color=COLOURS[2],
              label="log(C-1) + s m + s²/(2d)")  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="embedding size d", ylabel="loss before training (nats), C = 10", ylim=(0, 34))
    axes.legend(fontsize=8, ncols=2, loc="upper right")
