"""Section 3.6.6: probabilities on pictures unlike those of the training, and temperatures fitted on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.embedding import Pictures, make_head, train_net
from lossbench.chapter.fitting import digits
from lossbench.chapter.orderings import decide
from lossbench.functional.classification import calibration, log_confidence
from lossbench.functional.temperature import fit_temperature

SEEDS = range(6)


def _noisy(images: Tensor, seed: int) -> Tensor:
    return images + 0.25 * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


def _moved(images: Tensor, seed: int) -> Tensor:
    return images.view(-1, 8, 8).roll(1, 2).flatten(1)


def _faint(images: Tensor, seed: int) -> Tensor:
    return 0.4 * (images + 0.5) - 0.5


SHIFTS: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "noise of SD 0.25": _noisy,
    "moved by a pixel": _moved,
    "40 % of the contrast": _faint,
}
STAGES = ("unshifted", "shifted", "with a temperature of unshifted", "with one of shifted pictures")


@claim(
    "C-AM-lim-shift",
    says="Under a shift of domain AM's probabilities lose their calibration; a temperature fitted on "
    "validation data of the new domain mends it.",
    verdict="reproduced",
    correct="It takes most of the rise, not all; for noise one of unshifted pictures does as well. Plain "
    "softmax loses its calibration too. By scores without the margin.",
    otherwise="not reproduced here",
)
def calibration_under_shift(work: Working) -> None:
    work.let(
        f"nets 64-64-32 on 1,079 digits, {len(SEEDS)} seeds; calibration error, %, of 359 others; "
        "temperatures of another 359"
    )
    found = {name: torch.tensor([_errors(name, seed) for seed in SEEDS]) for name in ("am-0.35", "softmax")}
    gaps: dict[str, list[float]] = {}
    for place, shift in enumerate(SHIFTS):
        for name, rows in found.items():
            means = rows[:, place].mean(0).tolist()
            told = ", ".join(f"{mean:.1f} {stage}" for stage, mean in zip(STAGES, means, strict=True))
            work.let(f"{shift}, {name}: {told}")
        before, after, _, mended = found["am-0.35"][:, place].T
        gaps[f"points, {shift}: the error rises by"] = (after - before).tolist()
        gaps[f"points, {shift}: a temperature takes from it"] = (after - mended).tolist()
    before, after, unshifted, mended = found["am-0.35"].mean(0).T
    taken = (after - mended) / (after - before)
    told = ", ".join(f"{100 * share:.0f} %" for share in taken.tolist())
    work.true("it takes most of the rise, not all", bool(((taken > 0.5) & (taken < 1)).all()), told)
    spared = (unshifted - mended)[0].item()
    work.true(
        "noise: better than one of unshifted pictures by less than a point", spared < 1, f"{spared:+.1f}"
    )
    before, after, *_ = found["softmax"].mean(0).T
    told = ", ".join(f"{rise:+.1f}" for rise in (after - before).tolist())
    work.true("softmax: the error rises by, points", bool((after > before).all()), told)
    decide(work, gaps)


def _errors(name: str, seed: int) -> list[list[float]]:
    """Calibration error in percent by shift and stage."""
    make, given = partial(make_head, name, 32, 10), Pictures(*digits()["train"])
    net, head = train_net(make, given, seed=seed, hidden=64, dim=32, normed=False, rate=0.01, steps=300)
    scores = nn.Sequential(net, head).requires_grad_(False)
    (val, val_labels), (test, labels) = digits()["val"], digits()["test"]
    tau = fit_temperature(scores(val), val_labels) or math.nan
    plain, rows = _error(scores(test), labels, 1.0), []
    for shift in SHIFTS.values():
        moved = scores(shift(test, 0))
        own = fit_temperature(scores(shift(val, 1)), val_labels) or math.nan
        rows.append([plain, *(_error(moved, labels, each) for each in (1.0, tau, own))])
    return rows


def _error(scores: Tensor, labels: Tensor, tau: float) -> float:
    _, best = log_confidence(scores, labels, tau=tau)
    return 100 * calibration(best.exp(), scores.argmax(1) == labels).ece
