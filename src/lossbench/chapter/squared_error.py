"""Enrichment 3.6.3.1, first half: squared error on probabilities in place of the logarithm."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.autograd.functional import hessian

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.scores import SCORES, TARGET, Loss, cost, row, slope
from lossbench.losses import cross_entropy_loss, mse_loss
from lossbench.report.style import COLOURS

entropy_loss = partial(cross_entropy_loss, tau=1.0)
LOSSES: dict[str, Loss] = {"cross-entropy": entropy_loss, "squared error": mse_loss}


@claim(
    "C-3.6.3.1-mse-sym",
    says="Squared error costs the same for 0.8 and for 1.2 in place of 1: 0.04.",
    verdict="holds with a condition",
    correct="As arithmetic. No softmax gives 1.2 (the text says so): at the label the error has one side.",
)
def symmetry(work: Working) -> None:
    work.let("(1 - 0.8)² = 0.2² and (1 - 1.2)² = (-0.2)²")
    work.number("the target's term at 0.8", _own_term(0.8), 0.04, within=1e-9)
    work.number("and at 1.2", (1 - 1.2) ** 2, 0.04, within=1e-9)
    largest = (20 * torch.randn(10_000, 3, dtype=torch.float64)).softmax(1).max().item()
    work.true("no probability of 10,000 random rows is above 1", largest <= 1, f"{largest:.6f}")
    signs = slope(mse_loss, 3 * torch.randn(10_000, 3, dtype=torch.float64))[:, 0] < 0
    work.true("so the slope in the label's score is always negative", bool(signs.all()))


def _own_term(p: float) -> float:
    """The target's part of the squared error where the other class has the rest."""
    return cost(mse_loss, row(p, 1 - p).log()) - (1 - p) ** 2


@claim(
    "C-3.6.3.1-mse-weak",
    says="At p_y = 0.01 cross-entropy costs 4.6 and squared error only 0.9801: a weak penalty.",
    verdict="holds",
)
def weak(work: Working) -> None:
    work.number("-log 0.01", cost(entropy_loss, row(0.01, 0.99).log()), 4.6052)
    work.number("(1 - 0.01)², the target's term", _own_term(0.01), 0.9801, within=1e-9)
    for t in (10, 1e4):
        work.number(f"whole squared error of scores (0, {t:g})", cost(mse_loss, row(0, t)), 2.0, within=2e-4)
    many = 30 * torch.randn(10_000, 5, dtype=torch.float64)
    most = mse_loss(many, torch.zeros(10_000, dtype=torch.long)).max().item()
    work.true("on 10,000 random rows never above 2", most <= 2 + 1e-9, f"{most:.4f}")


@claim(
    "X-25",
    says="The squared error at p_y = 0.01 is 0.9801.",
    verdict="note",
    correct="That is the target's term. The sum as defined is in (0.9801, 1.9602]; the comparison stands.",
)
def whole_sum(work: Working) -> None:
    work.let("the other classes share 0.99: least, 0.99²/(C-1), if evenly; most, 0.99², if one has it all")
    work.number("all on one other class", cost(mse_loss, row(0.01, 0.99).log()), 0.9801 + 0.9801, within=1e-9)
    even = row(0.01, *[0.99 / 9] * 9).log()
    work.number("even over 9 others", cost(mse_loss, even), 0.9801 + 0.9801 / 9, within=1e-9)
    many = row(0.01, *[0.99 / 9999] * 9999).log()
    work.number("even over 9999 others", cost(mse_loss, many), 0.9801 + 0.9801 / 9999, within=1e-9)


@claim(
    "C-3.6.3.1-mse-grad",
    says="In the scores the slope of cross-entropy is p - y, that of squared error "
    "2 sum_k (p_k - y_k) p_k ([j = k] - p_j), which gets weak at confident errors.",
    verdict="holds",
)
def gradients(work: Working) -> None:
    y = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    largest: dict[str, list[float]] = {"cross-entropy": [], "squared error": []}
    for t in (0, 2, 5, 10):
        scores = row(0, t, 0)
        p = scores[0].softmax(0)
        formula = 2 * ((p - y) * p - p * ((p - y) * p).sum())
        gap = (slope(mse_loss, scores)[0] - formula).abs().max().item()
        work.true(f"the formula is autograd's slope at (0, {t}, 0)", gap < 1e-12, f"off by {gap:.0e}")
        largest["cross-entropy"].append(slope(entropy_loss, scores).abs().max().item())
        largest["squared error"].append(slope(mse_loss, scores).abs().max().item())
        work.let(f"p = {', '.join(f'{value:.4g}' for value in p.tolist())}")
    work.numbers("largest slope of cross-entropy", largest["cross-entropy"], [0.6667, 0.8934, 0.9933, 0.9999])
    found = largest["squared error"]
    work.numbers("largest slope of squared error", found, [0.44444, 0.39579, 0.03884, 0.00027], within=5e-6)
    _draw_slopes(work)


def _draw_slopes(work: Working) -> None:
    lead = torch.linspace(-10, 10, 201, dtype=torch.float64)
    scores = torch.stack([torch.zeros_like(lead), lead], 1)
    axes = work.figure("fig-3.6-squared-error-slope", 6.4, 3.4).subplots()
    axes.plot(lead, slope(entropy_loss, scores)[:, 1], color=COLOURS[0], label="cross-entropy")
    axes.plot(lead, slope(mse_loss, scores)[:, 1], color=COLOURS[1], label="squared error")
    axes.set_xlabel("lead of the wrong class over the label (two classes)")
    axes.set_ylabel("slope of the loss in that score")
    arrow = {"arrowstyle": "->", "color": "#666666"}
    axes.annotate("confident error:\nsquared error stalls", (7, 0.02), (5.2, 0.3), arrowprops=arrow)
    axes.legend(loc="upper left")


@claim(
    "C-3.6.3.1-mse-coupling",
    says="Cross-entropy's slope in a score needs its own p and label alone; squared error couples scores.",
    verdict="holds with a condition",
    correct="Given p. In the scores both couple, since each p_j depends on every score.",
)
def coupling(work: Working) -> None:
    p = SCORES[0].softmax(0)
    entropy, squared = (_second(loss) for loss in (entropy_loss, mse_loss))
    gap = (entropy - p.diag() + p.outer(p)).abs().max().item()
    work.true("Hessian of cross-entropy is diag(p) - p p'", gap < 1e-10, f"off by {gap:.0e}")
    for name, second in (("cross-entropy", entropy), ("squared error", squared)):
        off = (second - second.diag().diag()).abs()[~torch.eye(3, dtype=torch.bool)].min().item()
        work.true(f"{name}: no mixed derivative in the scores is 0", off > 1e-5, f"least {off:.2g}")
    moved = torch.tensor([[0.2, 0.5, 0.3], [0.2, 0.7, 0.1]], dtype=torch.float64).log()
    work.let("two rows with p_0 = 0.2 and another split of the rest, (0.5, 0.3) and (0.7, 0.1); label 0")
    work.numbers("cross-entropy slope in score 0", slope(entropy_loss, moved)[:, 0].tolist(), [-0.8, -0.8])
    work.numbers("squared error slope in score 0", slope(mse_loss, moved)[:, 0].tolist(), [-0.392, -0.456])


def _second(loss: Loss) -> Tensor:
    return hessian(lambda z: loss(z[None], TARGET[:1]).squeeze(), SCORES[0])


@claim(
    "X-23",
    says="Squared error ignores the coupling between classes; its gradient does not reflect it.",
    verdict="conflict",
    correct="In p only. One bullet earlier the text shows that in the scores it couples them all.",
)
def ignored_coupling(work: Working) -> None:
    p, y = SCORES[0].softmax(0), torch.eye(3, dtype=torch.float64)[0]
    off = ~torch.eye(3, dtype=torch.bool)
    in_p = hessian(lambda q: (q - y).square().sum(), p)
    work.number("largest mixed derivative in p", in_p[off].abs().max().item(), 0.0, within=1e-12)
    ahead, behind = (
        slope(mse_loss, SCORES[:1] + torch.tensor([[0, h, 0]]))[0, 0].item() for h in (1e-5, -1e-5)
    )
    work.let("car's score moved by 1e-5 either way: the slope in cat's score changes by 0.2391 for each unit")
    work.number("the same by differences", (ahead - behind) / 2e-5, 0.2391, step=True)
    work.number("in the scores, of cat and car", _second(mse_loss)[0, 1].item(), 0.2391)
    sums = abs(slope(mse_loss, SCORES[:1]).sum().item())
    work.true("what one score gains the others lose: slopes sum to 0", sums < 1e-12, f"off by {sums:.0e}")
