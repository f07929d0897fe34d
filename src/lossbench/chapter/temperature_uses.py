"""Section 3.6.3: what a temperature is changed for: distillation, calibration, contrastive losses."""

from __future__ import annotations

import math
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.fitting import accuracy, descend, digits, network, train
from lossbench.embedding_losses import info_nce_loss
from lossbench.functional.classification import calibration, log_confidence
from lossbench.functional.temperature import fit_temperature
from lossbench.losses import cross_entropy_loss, distillation_loss

entropy_loss = partial(cross_entropy_loss, tau=1.0)


@claim(
    "C-3.6.3-distill",
    says="A teacher softened by tau > 1 shows which classes are alike, and students learn more from it.",
    verdict="holds",
    otherwise="not reproduced here",
)
def distillation(work: Working) -> None:
    images, labels = digits()["train"]
    taught = _teacher()(images).detach()
    work.let(f"teacher 64-64-10 on {len(images)} digits: {accuracy(_teacher()):.1f} % of 359 others")
    work.let("students 64-16-10 on the first 100 digits alone, 150 steps, means over 3 seeds")
    x, y, soft = images[:100], labels[:100], taught[:100]
    hard = {rate: _student(entropy_loss, rate, x, y)[0] for rate in (0.03, 0.1, 0.3)}
    work.let("labels alone, at rate " + ", ".join(f"{rate}: {value:.1f} %" for rate, value in hard.items()))
    own = max(hard.values())
    work.true(
        "labels alone, best of three rates, are below the teacher", own < accuracy(_teacher()), f"{own:.1f} %"
    )
    for tau in (1, 2, 4, 8):
        loss = partial(distillation_loss, teacher=soft, temperature=float(tau), soft_weight=0.9)
        found, spread = _student(loss, 0.1, x, y)
        better = found > own + (0 if tau == 1 else 1)
        claimed = f"with the teacher at tau = {tau}" + (", more than 1 point above" if tau > 1 else "")
        told = f"{found:.1f} % (SD {spread:.1f})"
        if tau == 1:
            work.let(f"{claimed}: {told}")
        else:
            work.true(claimed, better, told)


@cache
def _teacher() -> nn.Sequential:
    images, labels = digits()["train"]
    model = network(100)
    train(model, entropy_loss, images, labels, lr=0.3, steps=150)
    return model


def _student(loss: partial[Tensor], lr: float, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Mean test accuracy of three students and its standard deviation."""
    found = torch.zeros(3)
    for seed in range(3):
        model = network(seed, hidden=16)
        train(model, loss, x, y, lr=lr, steps=150)
        found[seed] = accuracy(model)
    return found.mean().item(), found.std().item()


@claim(
    "C-3.6.3-calib",
    says="A temperature fitted on validation data brings probabilities closer to how often they are right.",
    verdict="holds with a condition",
    correct="Where one factor fits all scores, as in a model that is too sure of all. Ranking and accuracy "
    "never change.",
    otherwise="not reproduced here",
)
def calibrated(work: Working) -> None:
    work.let(
        "nets 64-64-10 trained on 100 digits with 20 % wrong labels; tau fitted on 359, judged on 359 others"
    )
    rows = torch.tensor([_before_and_after(seed) for seed in range(6)], dtype=torch.float64)
    taus, changed = rows[:, 0], rows[:, 5].sum().item()
    nll, nll_after, ece, ece_after = rows[:, 1:5].mean(0).tolist()
    work.true(
        "tau of six nets, all above 1: too sure",
        bool((taus > 1).all()),
        f"{taus.min():.2f} to {taus.max():.2f}",
    )
    work.true(
        "test loss falls for each",
        bool((rows[:, 2] < rows[:, 1]).all()),
        f"mean {nll:.3f} to {nll_after:.3f} nats",
    )
    work.true("calibration error falls for each", bool((rows[:, 4] < rows[:, 3]).all()),
              f"mean {100 * ece:.1f} to {100 * ece_after:.1f} %")  # fmt: skip
    work.number("predictions changed", changed, 0)


def _before_and_after(seed: int) -> tuple[float, ...]:
    """tau; loss, loss after; calibration error, and after; changed predictions."""
    images, labels = digits()["train"]
    noise = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=noise)[:100]
    given = labels[chosen].clone()
    given[:20] = (given[:20] + torch.randint(1, 10, (20,), generator=noise)) % 10
    model = network(seed)
    train(model, entropy_loss, images[chosen], given, lr=0.3, steps=150)
    with torch.no_grad():
        val, test = model(digits()["val"][0]), model(digits()["test"][0])
    target = digits()["test"][1]
    tau = fit_temperature(val, digits()["val"][1]) or math.nan
    right = test.argmax(1) == target
    values = []
    for each in (1.0, tau):
        own, best = log_confidence(test, target, tau=each)
        values.append((-own.mean().item(), calibration(best.exp(), right).ece))
    (nll, ece), (nll_after, ece_after) = values
    changed = ((test / tau).argmax(1) != test.argmax(1)).sum().item()
    return tau, nll, nll_after, ece, ece_after, changed


TAUS = (0.02, 0.1, 0.5, 1.0)
RATES = (0.005, 0.02, 0.1, 0.3)


@claim(
    "C-3.6.3-nce",
    says="In contrastive losses a small tau separates embeddings more, a large one smooths.",
    verdict="holds with a condition",
    correct="From tau = 1 down to 0.1. At 0.02, where the nearest negative alone is pushed, embeddings "
    "spread less again, at each of four rates.",
    otherwise="not reproduced here",
)
def contrastive(work: Working) -> None:
    work.let("negatives at cosines 0.7, 0.3, -0.2 share the push by exp(c/tau) / sum exp(c_k/tau)")
    push = [_share_of_nearest(tau) for tau in (0.05, 0.2, 1.0)]
    work.numbers("share of the nearest at tau 0.05, 0.2, 1", push, [0.99966, 0.87226, 0.48149])
    work.let("64-64-8 on 100 digits in two noisy views, no labels, 120 steps, means over 2 seeds, 359 others")
    work.let("of each tau the best of four rates by its neighbours, which are too close to rank:")
    found, even = {}, {}
    for tau in TAUS:
        tried = {rate: _embedded(tau, rate) for rate in RATES}
        best = max(tried, key=lambda rate: tried[rate][2])
        found[tau], even[tau] = tried[best], min(values[0] for values in tried.values())
        uniformity, own, hit = tried[best]
        work.let(
            f"tau {tau:g}, rate {best:g}: uniformity {uniformity:.2f}, cosine in a class {own:.2f}, "
            f"neighbours {hit:.1f} %"
        )
    spread, alike, _ = zip(*found.values(), strict=True)
    told = "{:.2f}, {:.2f}, {:.2f}"
    work.true(
        "more even at 0.1 than at 0.5 than at 1", spread[1] < spread[2] < spread[3], told.format(*spread[1:])
    )
    work.true(
        "digits of a class closer at 1 than at 0.1",
        alike[3] > alike[1] + 0.05,
        f"{alike[3]:.2f}, {alike[1]:.2f}",
    )
    work.true(
        "less even at 0.02 than at 0.1, whatever the rate", even[0.02] > spread[1] + 0.5, f"{even[0.02]:.2f}"
    )


def _share_of_nearest(tau: float) -> float:
    """Of the slopes of InfoNCE in the cosines of three negatives at 0.7, 0.3 and -0.2."""
    cosines = torch.tensor([1, 0.9, 0.7, 0.3, -0.2], dtype=torch.float64)
    sines = (1 - cosines.square()).sqrt()
    points = torch.stack([cosines, sines], 1).requires_grad_()
    loss = info_nce_loss(points, torch.tensor([0, 0, 1, 2, 3]), tau=tau)[0]
    (gradient,) = torch.autograd.grad(loss, points)
    # A point on the circle moves by the slope in its cosine times its sine.
    slopes = gradient[2:].norm(dim=1) / sines[2:]
    return float(slopes[0] / slopes.sum())


def _embedded(tau: float, rate: float) -> list[float]:
    """Uniformity (log mean exp(-2 distance²)), mean cosine in a class, right neighbours in per cent."""
    images = digits()["train"][0][:100].repeat(2, 1)
    pair = torch.arange(100).repeat(2)
    test, target = digits()["test"]
    rows = []
    for seed in range(2):
        model, noise = network(seed, out=8), torch.Generator().manual_seed(seed)

        def cost(model: nn.Module = model, noise: torch.Generator = noise) -> Tensor:
            views = images + 0.25 * torch.randn(images.shape, generator=noise)
            return info_nce_loss(model(views), pair, tau=tau).mean()

        descend(list(model.parameters()), cost, lr=rate, steps=120)
        unit = F.normalize(model(test).detach())
        cosine = (unit @ unit.T).fill_diagonal_(-2)
        others = cosine[cosine > -2]
        within = cosine[(target[:, None] == target) & (cosine > -2)].mean()
        hit = 100 * (target[cosine.argmax(1)] == target).float().mean()
        rows.append([(4 * others - 4).exp().mean().log(), within, hit])
    return torch.tensor(rows).mean(0).tolist()
