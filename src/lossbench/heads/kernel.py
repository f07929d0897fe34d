"""Cosine scores with a margin, and their cross-entropy, at about the cost of a plain linear layer.

Ordinary autograd passes over (n, c) and (c, d) a dozen times: normalised weights, scatter, scale, softmax, and
the gradient of each. Here the columns of x Wᵀ are divided by ‖w‖ instead of normalising W, the margin sees the
n target cosines alone, and softmax and its gradient live in the buffer of the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

Margin = Callable[[Tensor, Tensor], Tensor]

# F.normalize divides shorter rows by this: a zero row has cosine 0 and a finite gradient.
_SHORTEST = 1e-12
# A softmax entry below exp(-60) is nothing beside 1, in float64 too, and a float32 below exp(-87) is subnormal:
# where one entry in ten is, products take twelve times as long.
_LOWEST = -60.0
# Elements in a part of a matrix: as many as stay in cache from one elementwise pass to the next, and as many as
# a product needs to run at full speed.
_PASS, _PRODUCT = 2**18, 2**22


def cosine_scores(
    embedding: Float[Tensor, "n d"],
    weight: Float[Tensor, "c d"],
    target: Int[Tensor, " n"] | None,
    margin: Margin | None,
    scale: float | Tensor,
) -> Float[Tensor, "n c"]:
    """``scale * margin(cosine of embedding and weight, target)``, without the margin where either is None.

    margin: (cosine, target) -> cosine with the target's entry changed. It sees the (n, 1) column of target
        cosines, and targets 0; parameters of its own get no gradient. Cosines are not clamped: rounding gives
        1.0000001 here as it does for normalised rows, margins cope, and a clamp would end the gradient at ±1.
    scale: a number, or a tensor () or (n, 1), which may require its gradient.
    """
    return _Scores.apply(F.normalize(embedding), weight, _tensor(scale, embedding), target, margin)


def cosine_cross_entropy(
    embedding: Float[Tensor, "n d"],
    weight: Float[Tensor, "c d"],
    target: Int[Tensor, " n"],
    margin: Margin | None,
    scale: float | Tensor,
    tau: float,
) -> Float[Tensor, " n"]:
    """Cross-entropy of ``cosine_scores(...) / tau``, one value per sample, in one (n, c) buffer."""
    return _CrossEntropy.apply(F.normalize(embedding), weight, _tensor(scale, embedding), target, margin, tau)


def _tensor(scale: float | Tensor, like: Tensor) -> Tensor:
    return scale if isinstance(scale, Tensor) else torch.tensor(scale, dtype=like.dtype)


class _State(NamedTuple):
    """What both functions keep for the backward pass; the last four are (n, 1), and None without a margin."""

    unit: Tensor
    weight: Tensor
    inverse: Tensor
    scale: Tensor
    column: Tensor | None = None
    cosine: Tensor | None = None
    changed: Tensor | None = None
    slope: Tensor | None = None


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, unit: Tensor, weight: Tensor, scale: Tensor, target: Tensor | None, margin: Margin | None
    ) -> Tensor:
        state = _prepare(unit, weight, scale, target, margin)
        scores = torch.mm(unit * scale, weight.T).mul_(state.inverse)
        if state.column is not None:
            scores.scatter_(1, state.column, state.changed * scale)
        ctx.save_for_backward(*state)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        state = _State(*ctx.saved_tensors)
        one = torch.ones_like(state.scale)
        return *_gradients(state, grad, state.inverse, one, ctx.needs_input_grad), None, None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        unit: Tensor,
        weight: Tensor,
        scale: Tensor,
        target: Tensor,
        margin: Margin | None,
        tau: float,
    ) -> Tensor:
        state = _prepare(unit, weight, scale, target, margin)
        logits = torch.mm(unit * (scale / tau), weight.T)
        changed = None if state.changed is None else state.changed * (scale / tau)
        loss, total = _softmax_gradient_(logits, state.inverse, target[:, None], changed)
        ctx.save_for_backward(logits, total, *state)
        ctx.tau = tau
        return loss[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        softmax_gradient, total, *saved = ctx.saved_tensors
        factor = grad[:, None] / (total * ctx.tau)
        return (
            *_gradients(_State(*saved), softmax_gradient, None, factor, ctx.needs_input_grad),
            None,
            None,
            None,
        )


def _prepare(
    unit: Tensor, weight: Tensor, scale: Tensor, target: Tensor | None, margin: Margin | None
) -> _State:
    inverse = torch.linalg.vector_norm(weight, dim=1).clamp_(min=_SHORTEST).reciprocal_()
    if target is None or margin is None:
        return _State(unit, weight, inverse, scale)
    cosine = (unit * weight.index_select(0, target)).sum(1, keepdim=True) * inverse[target, None]
    # Lightning validates in inference mode, where nothing can be differentiated.
    with torch.inference_mode(False), torch.enable_grad():
        own = cosine.clone().requires_grad_()
        changed = margin(own, torch.zeros_like(target))
        (slope,) = torch.autograd.grad(changed.sum(), own)
    return _State(unit, weight, inverse, scale, target[:, None], cosine, changed.detach(), slope)


def _softmax_gradient_(
    logits: Tensor, inverse: Tensor, column: Tensor, changed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Losses (n, 1) and ``total`` (n, 1), the sums of exp(logit - greatest logit); ``logits`` as x Wᵀ become
    the gradient of the losses on x Wᵀ, target without margin, times ``total``.
    """
    loss, total = logits.new_empty(column.shape), logits.new_empty(column.shape)
    for rows in _parts(logits, logits.shape[1], _PASS):
        part = logits[rows].mul_(inverse)
        if changed is not None:
            part.scatter_(1, column[rows], changed[rows])
        part.sub_(part.amax(1, keepdim=True))
        own = part.gather(1, column[rows])
        total[rows] = part.clamp_(min=_LOWEST).exp_().sum(1, keepdim=True)
        loss[rows] = total[rows].log() - own
        part.scatter_add_(1, column[rows], -total[rows]).mul_(inverse)
    return loss, total


def _gradients(
    state: _State, grad: Tensor, inverse: Tensor | None, factor: Tensor, needs: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Gradients of unit, weight and scale, where that of scale * x Wᵀ is ``factor * grad * inverse``."""
    unit, weight, column = state.unit, state.weight, state.column
    rows = factor * state.scale
    for_unit = _for_unit(grad, inverse, weight) if needs[0] or needs[2] else None
    for_weight = _for_weight(grad, ...)
