"""Small fits, and trainings on the 8x8 digits: a second or less on one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from lossbench.chapter.scores import Loss
from lossbench.datasets.digits import Digits


def least(cost: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Return where ``cost`` is least, found by quasi-Newton steps from ``start``."""
    found = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [found], max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = cost(found)
        value.backward()
        return value

    optimizer.step(closure)
    return found.detach()


def fitted_shares(loss: Loss, labels: Tensor) -> Tensor:
    """Softmax (c,) of the free scores that fit samples best which look alike and have these labels."""
    classes = int(labels.max()) + 1

    def cost(scores: Tensor) -> Tensor:
        return loss(scores.expand(len(labels), classes), labels).mean()

    return least(cost, torch.zeros(classes, dtype=torch.float64)).softmax(0)


def descend(parameters: Sequence[Tensor], cost: Callable[[], Tensor], *, lr: float, steps: int) -> None:
    """Take steps of gradient descent with momentum 0.9."""
    speeds = [torch.zeros_like(parameter) for parameter in parameters]
    for _ in range(steps):
        slopes = torch.autograd.grad(cost(), parameters)
        # By hand: torch's optimizers cost more than steps as small as these.
        for parameter, speed, slope in zip(parameters, speeds, slopes, strict=True):
            speed.mul_(0.9).add_(slope)
            parameter.data.sub_(speed, alpha=lr)


def train(model: nn.Module, loss: Loss, x: Tensor, target: Tensor, *, lr: float, steps: int) -> None:
    """``descend`` on the mean loss of a model's outputs."""
    descend(list(model.parameters()), lambda: loss(model(x), target).mean(), lr=lr, steps=steps)


@cache
def digits() -> dict[str, tuple[Tensor, Tensor]]:
    """Role -> images (n, 64) float32 in [-0.5, 0.5] and labels (n,): 1079 train, 359 val, 359 test."""
    splits = Digits(val_fraction=0.2, test_fraction=0.2, split_seed=0).load().splits
    return {
        role: (
            torch.from_numpy(split.data).reshape(len(split), -1) / 255 - 0.5,
            torch.from_numpy(split.labels),
        )
        for role, split in splits.items()
    }


def network(seed: int, hidden: int = 64, out: int = 10) -> nn.Sequential:
    """64 pixels, one hidden layer of rectifiers, ``out`` scores."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, out))


def accuracy(model: nn.Module) -> float:
    """Share of the test images whose own class scores highest, in per cent."""
    images, labels = digits()["test"]
    with torch.no_grad():
        return 100 * (model(images).argmax(1) == labels).double().mean().item()
