"""Section 3.6.3: the temperature of a softmax, in training and after it."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.scores import SCORES, cost, row, shares, slope
from lossbench.losses import cross_entropy_loss
from lossbench.report.style import COLOURS

entropy_loss = partial(cross_entropy_loss, tau=1.0)


def _shares(scores: Tensor, tau: float) -> Tensor:
    return shares(partial(cross_entropy_loss, tau=tau), scores)


def _entropy(scores: Tensor, tau: float) -> float:
    return torch.special.entr(_shares(scores, tau)).sum().item()


@claim(
    "C-3.6.3-tau",
    says="softmax(z / tau): one-hot as tau goes to 0, uniform as tau grows, 1 leaves the scores as they are.",
    verdict="holds with a condition",
    correct="Scores that tie for the largest share the limit at 0: (2, 2, 1) goes to (1/2, 1/2, 0).",
)
def limits(work: Working) -> None:
    cat = SCORES[:1]
    for tau in (0.1, 1.0, 10.0):
        p = ", ".join(f"{value:.4f}" for value in _shares(cat, tau).tolist())
        work.let(f"tau = {tau:g}: z/tau = ({', '.join(f'{z / tau:g}' for z in cat[0].tolist())}), p = ({p})")
    work.numbers("p of the cat image at tau 0.001", _shares(cat, 1e-3).tolist(), [0, 1, 0])
    work.numbers("at tau 1", _shares(cat, 1.0).tolist(), [0.12998, 0.86905, 0.00097], within=1e-5)
    work.numbers("at tau 1e6", _shares(cat, 1e6).tolist(), [1 / 3] * 3, within=1e-5)
    work.numbers("p of (2, 2, 1) at tau 0.001", _shares(row(2, 2, 1), 1e-3).tolist(), [0.5, 0.5, 0])
    taus = torch.logspace(-1.5, 3, 120).tolist()
    entropies = [_entropy(cat, tau) for tau in taus]
    work.true("the entropy rises with tau all the way", entropies == sorted(set(entropies)))
    work.number("towards log 3", entropies[-1], math.log(3))
    axes = work.figure("fig-3.6-temperature", 6.4, 3.4).subplots()
    tied = row(5.1, 5.1, -1.7)
    axes.plot(taus, entropies, color=COLOURS[0], label="cat image: scores 3.2, 5.1, -1.7")
    axes.plot(taus, [_entropy(tied, tau) for tau in taus], color=COLOURS[1], label="a tie: 5.1, 5.1, -1.7")
    for level, name in ((math.log(3), "log 3"), (math.log(2), "log 2")):
        axes.axhline(level, color="#888888", lw=1, ls="--", zorder=0)
        axes.text(taus[0], level + 0.015, name, color="#444444")
    axes.axvline(1, color="#888888", lw=1, ls=":", zorder=0)
    axes.set_xscale("log")
    axes.set(xlabel="temperature tau", ylabel="entropy of the softmax (nats)", ylim=(-0.03, 1.2))
    axes.legend(loc="lower right")


@claim(
    "C-3.6.3-tau-grad",
    says="With tau too small gradients vanish; with tau too large probabilities are too smooth.",
    verdict="holds with a condition",
    correct="Vanish for samples that are right already. The slope of a wrong one grows like 1/tau (X-12).",
)
def gradients(work: Working) -> None:
    work.let("dL/dz = (p - y) / tau")
    for tau in (2.0, 0.5):
        y = torch.tensor([1.0, 0, 0], dtype=torch.float64)
        gap = (_slope(SCORES[:1], tau) - (_shares(SCORES[:1], tau) - y) / tau).abs().max().item()
        work.true(
            f"cat image, tau = {tau:g}: autograd gives the formula",
            gap < 1e-9,
            f"off by {gap:.0e}",
            step=True,
        )
    work.let("scores (1, 0), right, label 0: slope 1 / (tau (1 + exp(1/tau)))")
    work.let("scores (0, 1), wrong, label 0: slope 1 / (tau (1 + exp(-1/tau)))")
    right = [_slope(row(1, 0), tau).abs().max().item() for tau in (1.0, 0.1, 0.02)]
    for tau, found in zip((1.0, 0.1, 0.02), right, strict=True):
        wanted = 1 / tau / (1 + math.exp(1 / tau))
        work.number(f"slope of a right sample at tau {tau:g}", found, wanted, within=1e-6 * wanted)
    wrong = [_slope(row(0, 1), tau).abs().max().item() for tau in (1.0, 0.1, 0.02)]
    work.numbers("of a wrong one at tau 1, 0.1, 0.02", wrong, [0.73106, 9.99955, 50.0])
    smooth = [_slope(row(*z), 100).abs().max().item() for z in ((1, 0), (0, 1))]
    work.numbers("of both at tau 100", smooth, [0.005, 0.005])
    _draw_gradients(work)


def _slope(scores: Tensor, tau: float) -> Tensor:
    return slope(partial(cross_entropy_loss, tau=tau), scores)[0]


def _draw_gradients(work: Working) -> None:
    axes = work.figure("fig-3.6-temperature-gradient", 6.4, 3.4).subplots()
    taus = torch.logspace(-2, 1.5, 120).tolist()
    for name, z, colour in (("wrong: (0, 1)", (0, 1), COLOURS[1]), ("tied: (0, 0)", (0, 0), COLOURS[2]),
                            ("right: (1, 0)", (1, 0), COLOURS[0])):  # fmt: skip
        axes.plot(taus, [_slope(row(*z), tau).abs().max().item() for tau in taus], color=colour, label=name)
    axes.axvline(1, color="#888888", lw=1, ls=":", zorder=0)
    axes.set(xscale="log", yscale="log", ylim=(1e-4, 200))
    axes.set(xlabel="temperature tau", ylabel="largest slope of the loss")
    axes.legend(title="scores, label 0", loc="upper right")


@claim(
    "X-12",
    says="Training uses tau = 1; a very small tau could make gradients vanish.",
    verdict="overstated",
    correct="For scores without bounds. Cosines of ten classes never pass p = 0.252 at tau = 1: the chapter "
    "itself takes s = 1/tau = 30 or 64 there. Only right samples vanish; wrong ones have slopes up to 1/tau.",
)
def bounded_scores(work: Working) -> None:
    work.let("ten classes, the best that cosines can do: 1 for the label, -1/9 for the others")
    work.let("least loss log(1 + 9 exp(-(10/9)/tau)), p = exp(-loss)")
    best, worst, taus = row(1, *[-1 / 9] * 9), row(-1, 1, *[0.0] * 8), (1.0, 1 / 30, 1 / 64)
    for tau, wanted in zip(taus, (1.3770, 2.9976e-14, 0.0), strict=True):
        floor = cost(partial(cross_entropy_loss, tau=tau), best)
        work.number(f"least loss at tau {tau:.3g}", floor, wanted, within=1e-4 if tau == 1 else 1e-15)
    work.number("so the greatest p at tau 1", _shares(best, 1.0)[0].item(), 0.25234)
    slopes = [_slope(worst, tau).abs().max().item() for tau in taus]
    work.numbers("slope of a wrong sample at tau 1, 1/30, 1/64", slopes, [0.9672, 30, 64], within=1e-3)
    vanished = _slope(best, 1 / 30).abs().max().item()
    work.true("of a right one at tau 1/30: none", vanished < 1e-11, f"{vanished:.1g}")
