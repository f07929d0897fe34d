"""Enrichment 3.6.3.1, second half: shares of squared scores in place of a softmax."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import least
from lossbench.chapter.scores import SCORES, Loss, row, shares, slope
from lossbench.losses import cross_entropy_loss, squared_normalized_loss
from lossbench.report.style import COLOURS

entropy_loss = partial(cross_entropy_loss, tau=1.0)
squared_loss = partial(squared_normalized_loss, eps=1e-12)


@claim(
    "C-3.6.3.1-sq",
    says="p_j = z_j² / sum z_k² sums to 1, but 5 and -5 count the same, and scores are separated less.",
    verdict="holds with a condition",
    correct="It separates less only where scores lie far apart: it knows ratios, p_j/p_k = (z_j/z_k)², where "
    "softmax knows differences. Multiplying all scores by c changes nothing.",
)
def squared_shares(work: Working) -> None:
    p = shares(squared_loss, SCORES[:1])
    work.let("cat image: 3.2² = 10.24, 5.1² = 26.01, (-1.7)² = 2.89, sum 39.14")
    work.numbers("p of cat, car, frog", p.tolist(), [0.26162, 0.66454, 0.07384])
    work.true("they sum to 1", abs(float(p.sum()) - 1) < 1e-9)
    gap = (shares(squared_loss, -SCORES[:1]) - p).abs().max().item()
    work.true("all signs turned: the same p", gap == 0, f"off by {gap:g}")
    work.number("p of -5 in (-5, 5)", shares(squared_loss, row(-5, 5))[0].item(), 0.5)
    work.number("and with softmax", shares(entropy_loss, row(-5, 5))[0].item(), 4.5398e-5, within=1e-8)
    gap = (shares(squared_loss, 7 * SCORES[:1]) - p).abs().max().item()
    work.true("7 times the scores: the same p", gap < 1e-9, f"off by {gap:.0e}")
    ratios = [
        (q[0] / q[1]).item() for q in (shares(loss, row(10, 5)) for loss in (squared_loss, entropy_loss))
    ]
    work.numbers("p_0 / p_1 of (10, 5): squares (10/5)², softmax exp(5)", ratios, [4, 148.4132], within=1e-3)


@claim(
    "X-11",
    says="Shares of squares have no likelihood or KL; near-zero scores give near-zero gradients.",
    verdict="wrong",
    correct="They are probabilities, so -log p and KL are defined and least at the true frequencies. A small "
    "target score has a huge slope; flat is dp/dz, and the slope in one small score of another class. "
    "What stays wrong with them: blindness to signs, and no value at all zeros.",
)
def likelihood(work: Working) -> None:
    labels = torch.tensor([0] * 7 + [1] * 2 + [2])
    p = _fitted(labels)
    work.numbers("shares at the greatest likelihood, labels 7:2:1", p.tolist(), [0.7, 0.2, 0.1], within=1e-5)
    q = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    divergence = F.kl_div(shares(squared_loss, SCORES[:1]).log(), q, reduction="sum").item()
    work.true(
        "KL from (0.7, 0.2, 0.1) to the cat image's shares is a number > 0",
        divergence > 0,
        f"{divergence:.4f}",
    )
    work.let("L = log sum z_k² - 2 log z_y, so dL/dz_y = 2 z_y / sum z_k² - 2 / z_y")
    found = slope(squared_loss, row(0.001, 1))[0, 0].item()
    work.number("slope in the target's score 0.001 beside 1", found, -2000.0, within=0.1)
    flat = slope(squared_loss, row(0.001, 1), target=1)[0, 0].item()
    work.number("slope in a score 0.001 that is not the target's", flat, 0.002, within=1e-6)
    steep = jacobian(partial(shares, squared_loss), row(0.001, 1))[:, 0, 0].abs().max().item()
    work.number("largest dp/dz in the score 0.001", steep, 0.002, within=1e-6)
    small, usual = slope(squared_loss, 0.01 * SCORES[:1]), slope(squared_loss, SCORES[:1])
    work.number(
        "scores times 0.01: the slope grows by a factor", (small / usual).mean().item(), 100, within=1e-3
    )


def _fitted(labels: Tensor) -> Tensor:
    """Shares of the free scores that give these labels the greatest likelihood."""

    def mean_loss(scores: Tensor) -> Tensor:
        return squared_loss(scores.expand(len(labels), 3), labels).mean()

    # Not from 0, where nothing has a share.
    return shares(squared_loss, least(mean_loss, torch.ones(3, dtype=torch.float64))[None])


@claim(
    "X-24",
    says="Exponentials make small score differences sharp contrasts early in training; squares do not.",
    verdict="wrong",
    correct="The other way round, and p = 1/C at the start says so: softmax contrasts sharply once scores "
    "differ by more than about 1.",
)
def contrast(work: Working) -> None:
    for size in (0.01, 0.1, 1.0, 10.0):
        work.let(f"({size:g}, {2 * size:g}): softmax 1 / (1 + exp({size:g})), squares 1 / (1 + 2²)")
    small = row(0.1, 0.2)
    work.numbers("(0.1, 0.2): softmax", shares(entropy_loss, small).tolist(), [0.47502, 0.52498])
    work.numbers("(0.1, 0.2): squares", shares(squared_loss, small).tolist(), [0.2, 0.8])
    small = row(0.01, 0.02)
    work.numbers("(0.01, 0.02): softmax", shares(entropy_loss, small).tolist(), [0.4975, 0.5025])
    work.numbers("(0.01, 0.02): squares", shares(squared_loss, small).tolist(), [0.2, 0.8])
    far = shares(entropy_loss, row(10, 20)).tolist()
    work.numbers("(10, 20): softmax", far, [4.54e-5, 0.9999546], within=1e-7)
    sizes = torch.logspace(-2, 1.3, 60).tolist()
    axes = work.figure("fig-3.6-squared-scores", 6.4, 3.4).subplots()
    axes.plot(sizes, [_larger(entropy_loss, a) for a in sizes], color=COLOURS[0], label="softmax")
    axes.plot(sizes, [_larger(squared_loss, a) for a in sizes], color=COLOURS[1], label="squared scores")
    axes.set(
        xscale="log", xlabel="a, in scores (a, 2a)", ylabel="share of the larger score", ylim=(0.45, 1.02)
    )
    axes.legend()


def _larger(loss: Loss, a: float) -> float:
    return shares(loss, row(a, 2 * a))[1].item()
