"""Cosine scores with a margin, and their cross-entropy, at about the cost of a plain linear layer.

Ordinary autograd passes over (n, c) and (c, d) a dozen times: normalised weights, margin, scale, softmax,
and the gradient of each. Here the columns of x Wᵀ are divided by ‖w‖ instead of the rows of W, the margin
sees the n target cosines alone, and softmax and its gradient take the place of the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from lossbench.heads.scheduled import Margin

# F.normalize divides shorter rows by this: a zero row has cosine 0 and a finite gradient.
_SHORTEST = 1e-12
# exp(-60) is nothing beside the 1 in the sum of a softmax, in float64 too. Below exp(-87) a float32 is
# subnormal, and a matrix with one such entry in ten multiplies twelve times slower.
_LOWEST = -60.0
# Elements in a part of a matrix. One elementwise operation after another is fastest on a part that stays in
# cache, but each waits for all threads, milliseconds on a busy machine; products need more for full speed.
_PASS, _PRODUCT = 2**20, 2**22


def cosine_scores(
    embedding: Float[Tensor, "n d"],
    weight: Float[Tensor, "c d"],
    target: Int[Tensor, " n"] | None,
    margin: Margin | None,
    scale: float | Tensor,
) -> Float[Tensor, "n c"]:
    """``scale * margin(cosine, target)``, without the margin where target or margin is None.

    margin: (cosine, target) -> cosine with the target's entry changed. It is called on the (n, 1) column of
        target cosines, with targets 0; parameters of its own get no gradient. Cosines are not clamped:
        rounding gives 1.0000001 as it does for normalised rows, margins cope, and a clamp would end the
        gradient at ±1.
    scale: a number, or a tensor () or (n, 1), which may require a gradient.
    """
    return _Scores.apply(embedding, weight, _tensor(scale, embedding), target, margin)


def cosine_cross_entropy(
    embedding: Float[Tensor, "n d"],
    weight: Float[Tensor, "c d"],
    target: Int[Tensor, " n"],
    margin: Margin | None,
    scale: float | Tensor,
    tau: float,
) -> Float[Tensor, " n"]:
    """Cross-entropy of ``cosine_scores(...) / tau`` for each sample; one (n, c) matrix is all it holds."""
    return _CrossEntropy.apply(embedding, weight, _tensor(scale, embedding), target, margin, tau)


def _tensor(scale: float | Tensor, like: Tensor) -> Tensor:
    return scale if isinstance(scale, Tensor) else torch.tensor(scale, dtype=like.dtype)


class _Head(NamedTuple):
    """x (n, d) and 1 / ‖x‖ (n, 1), W (c, d) and 1 / ‖w‖ (c,), and the scale."""

    x: Tensor
    x_inverse: Tensor
    weight: Tensor
    inverse: Tensor
    scale: Tensor


class _Own(NamedTuple):
    """Target, its cosine, that changed by the margin, and the slope of the change, each (n, 1)."""

    target: Tensor
    cosine: Tensor
    changed: Tensor
    slope: Tensor


def _first_derivative_only(backward: Callable[..., Any]) -> Callable[..., Any]:
    """``once_differentiable``, which alone lets a constant incoming gradient pass, such as that of a mean."""

    def refusing(ctx: Any, grad: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("create_graph=True: the fast cosine head has no second derivative")
        return once_differentiable(backward)(ctx, grad)

    return refusing


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, target: Tensor | None, margin: Margin | None
    ) -> Tensor:
        head = _Head(x, _inverse_norm(x)[:, None], weight, _inverse_norm(weight), scale)
        own = None if target is None else _own(head, target, margin)
        scores = torch.mm(x * (head.x_inverse * scale), weight.T).mul_(head.inverse)
        if own:
            scores.scatter_(1, own.target, own.changed * scale)
        ctx.save_for_backward(*head, *(own or ()))
        return scores

    @staticmethod
    @_first_derivative_only
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        head, own = _unpack(ctx.saved_tensors)
        own_grad = grad.gather(1, own.target) if own else None
        one = torch.ones_like(head.scale)
        gradients = _gradients(head, own, grad, own_grad, one, ctx.needs_input_grad, finished=False)
        return *gradients, None, None
