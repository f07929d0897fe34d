"""What a training step says about a head: cosines, margins, and the loss to expect before the first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lossbench.feasibility import largest_margin
from lossbench.heads import CosineHead


@runtime_checkable
class Observable(Protocol):
    """A head whose cosines and untrained scores can be looked at."""

    def cosine(self, embedding: Tensor) -> Tensor: ...

    def untrained_scores(self, cosine: Tensor, target: Tensor, norm: float = 1.0) -> Tensor: ...


@dataclass(frozen=True)
class ExpectedLoss:
    """Mean initial loss, and its standard deviation from one drawing of prototypes to the next."""

    mean: float
    spread: float

    def agrees(self, measured: float) -> bool:
        """Whether a measured first loss is within five per cent or four spreads of the mean."""
        return abs(measured - self.mean) <= max(0.05 * abs(self.mean), 4 * self.spread)


def random_cosines(n: int, classes: int, dim: int, rng: np.random.Generator) -> Float[Tensor, "n c"]:
    """Cosines between a fixed direction and random directions in ``dim`` dimensions.

    The squared cosine follows Beta(1/2, (dim - 1)/2), so no prototype has to be drawn.
    """
    sign = rng.choice([-1.0, 1.0], size=(n, classes))
    squared = rng.beta(0.5, (dim - 1) / 2, size=(n, classes)) if dim > 1 else 1.0
    return torch.from_numpy(sign * np.sqrt(squared))


def expected_initial_loss(
    head: Observable,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    dim: int,
    classes: int,
    norm: float = 1.0,
    draws: int = 64,
    targets: int = 16,
) -> ExpectedLoss:
    """Loss of an untrained head: Monte Carlo over random prototypes.

    log C for cross-entropy on a linear head, (C - 1) delta for the hinge; for cosine heads about
    log C + s²/(2 dim), plus s m under an additive margin.

    dim, norm: size and typical length of the embeddings; the length matters to heads without a scale.
    """
    # With many classes one drawing says almost all, and 64 of a million would take gigabytes.
    draws = max(4, min(draws, 2**22 // classes))
    rng = np.random.default_rng(0)
    cosine = random_cosines(draws, classes, dim, rng).float().to(_device(head))
    samples = torch.stack([_losses(head, loss, cosine, norm, rng) for _ in range(targets)])
    per_draw = samples.mean(0)
    return ExpectedLoss(per_draw.mean().item(), per_draw.std().item())


def _losses(
    head: Observable, loss: Callable, cosine: Tensor, norm: float, rng: np.random.Generator
) -> Tensor:
    target = torch.from_numpy(rng.integers(cosine.shape[1], size=len(cosine))).to(cosine.device)
    return loss(head.untrained_scores(cosine, target, norm), target)


def infeasible_margin(head: CosineHead, *, dim: int, classes: int) -> str | None:
    """What to tell of a margin that no arrangement of the prototypes can satisfy, or None.

    A feature on its own prototype is the best there is: with its margin it must still score as high as the
    nearest other prototype, whose distance ``largest_margin`` bounds.
    """
    if classes < 2:
        return None
    bound, _ = largest_margin(classes, dim)
    device = _device(head)
    best = torch.tensor([[1.0, max(-1.0, 1 - bound)]], device=device)
    target = torch.zeros(1, dtype=torch.long, device=device)
    own, rival = head.margined(best, target, torch.ones(1, 1, device=device))[0].tolist()
    if own >= rival - 1e-6:
        return None
    return (
        f"the margin puts a feature on its own prototype {rival - own:.3f} below another class: {classes} "
        f"prototypes in {dim} dimensions are no further than {bound:.3f} apart in cosine, so that no "
        "features can satisfy it; lower m or raise the embedding size"
    )


def _device(head: object) -> torch.device:
    """Where a head's weights are; the CPU for one without weights."""
    parameters = head.parameters() if isinstance(head, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


def cosine_statistics(
    cosine: Float[Tensor, "n c"], margined: Float[Tensor, "n c"], target: Int[Tensor, " n"]
) -> dict[str, Tensor]:
    """Means over a batch, from plain cosines and margined training scores.

    target_cosine: cosine to the own class. cosine_gap: that minus the best wrong class's cosine.
    margin_satisfied: share of samples whose margined target score is above all others.
    """
    column = target[:, None]
    own = cosine.gather(1, column).squeeze(1)
    statistics = {"target_cosine": own.mean()}
    if cosine.shape[1] > 1:
        wrong = cosine.scatter(1, column, -torch.inf).amax(1)
        rival = margined.scatter(1, column, -torch.inf).amax(1)
        statistics["cosine_gap"] = (own - wrong).mean()
        statistics["margin_satisfied"] = (margined.gather(1, column).squeeze(1) > rival).float().mean()
    return statistics
