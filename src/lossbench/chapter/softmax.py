"""Section 3.6.3: softmax, cross-entropy and where their names come from."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import fitted_shares
from lossbench.chapter.scores import NAMES, SCORES, TARGET, cost, row, shares, slope
from lossbench.losses import cross_entropy_loss, focal_loss, label_smoothing_loss, mse_loss

entropy_loss = partial(cross_entropy_loss, tau=1.0)
exact_loss = partial(focal_loss, gamma=0.0)


@claim(
    "C-3.6.3-softmax",
    says="p_j = exp(s_j) / sum of exp(s_k); they sum to 1, and the gradient of the loss is p - y.",
    verdict="holds",
)
def softmax(work: Working) -> None:
    work.let("dL/ds_j = d/ds_j (log sum_k exp(s_k) - s_y) = exp(s_j) / sum_k exp(s_k) - [j = y] = p_j - y_j")
    p, y = shares(entropy_loss, SCORES[:1]), torch.eye(3, dtype=torch.float64)[0]
    work.number("sum of p", float(p.sum()), 1.0, within=1e-12)
    gradient = slope(entropy_loss, SCORES[:1])[0]
    work.numbers("gradient of the cat image by autograd", gradient.tolist(), (p - y).tolist(), within=1e-10)
    many = 5 * torch.randn(1000, 10, dtype=torch.float64)
    gap = (slope(entropy_loss, many, 3) - many.softmax(1) + torch.eye(10)[3]).abs().max().item()
    work.true("on 1000 rows of 10 random scores autograd gives p - y", gap < 1e-10, f"off by {gap:.0e}")
    work.let("exp(1000) overflows; take the largest score from all of them first, which p does not notice")
    work.true("exp(1000) / (exp(1000) + exp(999)) as written is no number", math.isnan(_naive(1000, 999)))
    work.number("the loss of (1000, 999)", cost(entropy_loss, row(1000, 999)), math.log1p(math.exp(-1)))


def _naive(*scores: float) -> float:
    exponentials = torch.tensor(scores, dtype=torch.float64).exp()
    return float(exponentials[0] / exponentials.sum())


@claim(
    "C-3.6.3-rel",
    says="A large score makes its probability close to 1 and the others small.",
    verdict="overstated",
    correct="Large beside the other scores: p does not change when a constant is added to all (see X-32).",
)
def relative(work: Working) -> None:
    for lead in (0, 1, 5, 10):
        work.let(f"own score {lead} above two equal others: p = 1 / (1 + 2 exp(-{lead}))")
        found = shares(entropy_loss, row(lead, 0, 0))[0].item()
        work.number(
            f"p at a lead of {lead} over two others", found, 1 / (1 + 2 * math.exp(-lead)), within=1e-9
        )
    gap = (shares(entropy_loss, SCORES[:1] + 1000) - shares(entropy_loss, SCORES[:1])).abs().max().item()
    work.true("1000 added to every score changes no p", gap < 1e-9, f"off by {gap:.0e}")


@claim(
    "X-32",
    says="A large score s_j gives p_j close to 1.",
    verdict="overstated",
    correct="Only relative to the other scores: C equal scores of 100 give 1/C each.",
)
def alone(work: Working) -> None:
    work.numbers("p of (100, 100, 100, 100)", shares(entropy_loss, row(*[100.0] * 4)).tolist(), [0.25] * 4)
    first = shares(entropy_loss, row(100, 110))[0].item()
    work.number("p of the 100 in (100, 110)", first, 1 / (1 + math.exp(10)), within=1e-9)
    work.number("p of the 0 in (0, -10)", shares(entropy_loss, row(0, -10))[0].item(), 0.9999546, within=1e-7)


@claim(
    "C-3.6.3-example",
    says="The cat image, scores 3.2, 5.1, -1.7: exponentials, their sum, p(cat), loss. No result is printed.",
    verdict="holds",
)
def example(work: Working) -> None:
    for name, score in zip(NAMES, SCORES[0].tolist(), strict=True):
        work.let(f"exp(s_{name}) = exp({score:g}) = {math.exp(score):.4f}")
    work.numbers("exponentials", SCORES[0].exp().tolist(), [24.53253, 164.02191, 0.18268])
    total = sum(math.exp(score) for score in SCORES[0].tolist())
    work.let(f"their sum is {total:.4f}; p(cat) = 24.5325 / {total:.4f}")
    p = shares(entropy_loss, SCORES[:1])
    work.numbers("p of cat, car, frog", p.tolist(), [0.12998, 0.86905, 0.00097], within=1e-5)
    work.let("L = -log 0.12998, the natural logarithm: the loss is in nats")
    loss = cost(entropy_loss, SCORES[:1])
    work.number("loss", loss, 2.0404)
    work.number("the same with log to base 10", loss / math.log(10), 0.8861)


@claim(
    "C-3.6.3-minmax",
    says="The loss is 0 at p_y = 1 and grows without bound as p_y goes to 0.",
    verdict="holds with a condition",
    correct="0 is only approached: finite scores never give p_y = 1. In floating point it underflows to 0.",
)
def extremes(work: Working) -> None:
    for lead in (10, 40, 700):
        work.let(f"own score {lead} above one other: L = log(1 + exp(-{lead}))")
        wanted = math.log1p(math.exp(-lead))
        found = cost(exact_loss, row(lead, 0))
        work.number(f"L / its value at a lead of {lead}", found / wanted, 1.0, within=1e-9, step=True)
    work.true("L at a lead of 700 is above 0", cost(exact_loss, row(700, 0)) > 0, f"{found:.2g}")
    work.number("float64 with log-sum-exp, lead 40", cost(entropy_loss, row(40, 0)), 0.0, within=1e-18)
    rising = [cost(entropy_loss, row(own, 0)) for own in (-10, -1e3, -1e4)]
    work.numbers("L of (s, 0) at s = -10, -1000, -10000", rising, [10.0000454, 1000.0, 10000.0])


@claim(
    "X-22",
    says="Loss and gradient of cross-entropy are large when p_y is about 0.",
    verdict="note",
    correct="Only the loss has no bound. No entry of the gradient p - y exceeds 1, nor its length sqrt 2.",
)
def bounded_gradient(work: Working) -> None:
    for t in (10, 1000):
        work.number(f"loss of (0, {t}), label 0", cost(entropy_loss, row(0, t)), math.log1p(math.exp(-t)) + t)
    gradient = slope(entropy_loss, row(0, 1000))
    work.number("its largest entry there", gradient.abs().max().item(), 1.0)
    work.number("its length there", gradient.norm().item(), math.sqrt(2))
    many = slope(entropy_loss, 30 * torch.randn(10_000, 10, dtype=torch.float64))
    longest = many.norm(dim=1).max().item()
    work.true("no longer than sqrt 2 on 10,000 random rows", longest <= math.sqrt(2), f"{longest:.4f}")


@claim(
    "C-3.6.3-init",
    says="Small random scores give p = 1/C, so the loss starts at -log(1/C) = log C.",
    verdict="holds",
)
def start(work: Working) -> None:
    for classes in (2, 10, 1000):
        work.let(f"-log(1/{classes}) = log {classes} = {math.log(classes):.4f}")
        scores = 0.01 * torch.randn(500, classes, dtype=torch.float64)
        mean = entropy_loss(scores, torch.arange(500) % classes).mean().item()
        work.number(f"mean loss of scores N(0, 0.01²), C = {classes}", mean, math.log(classes), within=2e-3)
    p = shares(entropy_loss, scores[:1])
    work.true("every p within 5 % of 1/1000", bool((1000 * p - 1).abs().max() < 0.05))


@claim(
    "C-3.6.3-names",
    says="H(p, q) = -sum p log q; for a one-hot p it is -log q_y; KL(p || q) = H(p, q) - H(p).",
    verdict="holds",
)
def names(work: Working) -> None:
    own_share = SCORES[0].softmax(0)[0]
    work.let(f"one-hot: every term but the label's is 0; -log q_cat = -log {own_share:.5f}")
    work.number("H(one-hot, q) of the cat image", cost(entropy_loss, SCORES[:1]), 2.0404)
    gap = abs(cost(entropy_loss, SCORES[:1]) + own_share.log().item())
    work.true("which is -log q_y", gap < 1e-12, f"off by {gap:.0e}")
    for smoothing in (0.0, 0.3):
        p = (1 - smoothing) * torch.eye(3, dtype=torch.float64) + smoothing / 3
        own = torch.special.entr(p).sum(1)
        work.let(
            f"targets of {p[0, 0]:.1f} on the label and {p[0, 1]:.1f} elsewhere: H(p) = {own[0]:.4f} nats"
        )
        one, other = SCORES.clone().requires_grad_(), SCORES.clone().requires_grad_()
        divergence = F.kl_div(one.log_softmax(1), p, reduction="none").sum(1)
        crossed = label_smoothing_loss(other, TARGET, smoothing=smoothing)
        gap = (divergence - crossed + own).abs().max().item()
        work.true(f"KL = H(p, q) - {own[0]:.4f} on all three images", gap < 1e-12, f"off by {gap:.0e}")
        (first,) = torch.autograd.grad(divergence.sum(), one)
        (second,) = torch.autograd.grad(crossed.sum(), other)
        gap = (first - second).abs().max().item()
        work.true("KL and H have the same gradient", gap < 1e-12, f"off by {gap:.0e}")


@claim(
    "C-3.6.3.1-mle",
    says="Least cross-entropy is the greatest likelihood and the least KL divergence; p becomes calibrated.",
    verdict="holds with a condition",
    correct="Where the model can fit the frequencies. Squared error on p has the same minimiser (X-26).",
)
def likelihood(work: Working) -> None:
    work.let("ten samples that all look alike, labelled 0 seven times, 1 twice, 2 once; free scores z")
    labels = torch.tensor([0] * 7 + [1] * 2 + [2])
    for name, loss in (("cross-entropy", entropy_loss), ("squared error", mse_loss)):
        p = fitted_shares(loss, labels)
        work.numbers(f"p at the least {name}", p.tolist(), [0.7, 0.2, 0.1], within=1e-5)
    frequencies = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    entropy = torch.special.entr(frequencies).sum().item()
    found = entropy_loss(frequencies.log().expand(10, 3), labels).mean().item()
    work.number("the least cross-entropy is the labels' own entropy", found, entropy, within=1e-12)
