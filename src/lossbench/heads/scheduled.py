"""Margins whose knobs change while training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Margin = Callable[[Tensor, Tensor], Tensor]


@runtime_checkable
class Paced(Protocol):
    """A part that is told, before each training step, how far training is."""

    def at(self, step: int, total: int) -> None: ...


class Scheduled(nn.Module):
    """A margin with knobs that are schedules (step, total) -> value instead of numbers.

    The values belong to the step last told by ``at``, 0 of 1 at first. The step is part of the state dict.
    """

    def __init__(self, margin: Margin, **schedules: Callable[[int, int], float]) -> None:
        super().__init__()
        self.plain = margin
        self.schedules = schedules
        self.at(0, 1)

    def at(self, step: int, total: int) -> None:
        """Set the knobs to their values at ``step`` of ``total``."""
        self.step, self.total = step, total
        self.knobs = {name: schedule(step, total) for name, schedule in self.schedules.items()}

    def ends(self) -> dict[str, float]:
        """The values that the knobs have when training ends."""
        return {name: schedule(1, 1) for name, schedule in self.schedules.items()}

    def forward(self, cosine: Tensor, target: Tensor) -> Tensor:
        return self.plain(cosine, target, **self.knobs)

    def get_extra_state(self) -> dict[str, int]:
        return {"step": self.step, "total": self.total}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.at(**state)


def changes_target_alone(margin: Margin) -> bool:
    """Whether ``margin`` does to the target's cosine what it does to that cosine alone, and to no other.

    Found out by trying it, so that a margin from elsewhere which does more is never cut short.
    """
    if isinstance(margin, Scheduled):  # at its first step it may do nothing yet
        return changes_target_alone(partial(margin.plain, **margin.ends()))
    cosine = torch.linspace(-1, 1, 35).view(7, 5)
    target = torch.tensor([0, 4, 1, 2, 3, 3, 0])
    column = target[:, None]
    try:
        with torch.no_grad():
            alone = margin(cosine.gather(1, column), torch.zeros_like(target))
            return torch.equal(margin(cosine, target), cosine.scatter(1, column, alone))
    except Exception:  # it wants other classes or another device than these: the plain way will tell
        return False


def scheduled(margin: Margin) -> Margin:
    """``margin`` itself, or where a knob of its partial is callable the same margin on a schedule."""
    knobs = margin.keywords if isinstance(margin, partial) else {}
    schedules = {name: value for name, value in knobs.items() if callable(value)}
    return Scheduled(margin, **schedules) if schedules else margin
