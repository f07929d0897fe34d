"""Stop a run whose loss or gradient is no longer finite, and say where it broke."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lossbench.config import ConfigError
from lossbench.diagnostics import Observable
from lossbench.heads import CosineHead


class DivergedError(ConfigError):
    """Training met a loss or a gradient that is not finite."""


def refuse_divergence(
    head: nn.Module, embedding: Tensor, target: Tensor, values: Tensor, grad_norm: Tensor, step: int
) -> None:
    """Raise DivergedError, naming the sample that broke, unless loss and gradient are finite.

    On a CPU it is called before every step of the optimizer: the weights are still good.
    """
    loss = float(values.mean())
    if math.isfinite(loss) and math.isfinite(float(grad_norm)):
        return
    raise DivergedError(
        f"training diverged at step {step}: loss={loss:g}, gradient norm {float(grad_norm):g}; "
        f"{_worst(head, embedding, target, values)}; lower lr, m or s"
    )


@torch.no_grad()
def _worst(head: nn.Module, embedding: Tensor, target: Tensor, values: Tensor) -> str:
    """The first sample whose loss or embedding is not finite, else the one of the highest loss."""
    broken = ~(values.isfinite() & embedding.isfinite().all(1))
    row = int(broken.int().argmax()) if broken.any() else int(values.argmax())
    one, label = embedding[row : row + 1], int(target[row])
    norm = one.norm(dim=1, keepdim=True)
    told = f"worst sample: class {label}, embedding norm {float(norm):g}"
    if isinstance(head, Observable):
        told += f", cosine {float(head.cosine(one)[0, label]):g}"
    if isinstance(head, CosineHead):
        told += f", scale {float(head.scale(norm)):g}"
    return told
