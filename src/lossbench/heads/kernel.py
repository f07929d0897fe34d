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
    return _Scores.apply(F.normalize(embedding), weight, _tensor(scale, embedding), target, margin)


def cosine_cross_entropy(
    embedding: Float[Tensor, "n d"],
    weight: Float[Tensor, "c d"],
    target: Int[Tensor, " n"],
    margin: Margin | None,
    scale: float | Tensor,
    tau: float,
) -> Float[Tensor, " n"]:
    """Cross-entropy of ``cosine_scores(...) / tau`` for each sample; one (n, c) matrix is all it holds."""
    return _CrossEntropy.apply(F.normalize(embedding), weight, _tensor(scale, embedding), target, margin, tau)


def _tensor(scale: float | Tensor, like: Tensor) -> Tensor:
    return scale if isinstance(scale, Tensor) else torch.tensor(scale, dtype=like.dtype)


class _Head(NamedTuple):
    """x / ‖x‖ (n, d), W (c, d), 1 / ‖w‖ (c,) and the scale."""

    unit: Tensor
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
        ctx: Any, unit: Tensor, weight: Tensor, scale: Tensor, target: Tensor | None, margin: Margin | None
    ) -> Tensor:
        head = _Head(unit, weight, _inverse_norm(weight), scale)
        own = None if target is None or margin is None else _own(head, target, margin)
        scores = torch.mm(unit * scale, weight.T).mul_(head.inverse)
        if own:
            scores.scatter_(1, own.target, own.changed * scale)
        ctx.save_for_backward(*head, *(own or ()))
        return scores

    @staticmethod
    @_first_derivative_only
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        head, own = _unpack(ctx.saved_tensors)
        one = torch.ones_like(head.scale)
        return *_gradients(head, own, grad, head.inverse, one, ctx.needs_input_grad), None, None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, unit: Tensor, weight: Tensor, scale: Tensor, target: Tensor, margin: Any, tau: float
    ) -> Tensor:
        head = _Head(unit, weight, _inverse_norm(weight), scale)
        own = None if margin is None else _own(head, target, margin)
        logits = torch.mm(unit * (scale / tau), weight.T)
        changed = own.changed * (scale / tau) if own else None
        loss = _softmax_gradient_(logits, head.inverse, target[:, None], changed)
        ctx.save_for_backward(logits, *head, *(own or ()))
        ctx.tau = tau
        return loss[:, 0]

    @staticmethod
    @_first_derivative_only
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        softmax_gradient, *saved = ctx.saved_tensors
        head, own = _unpack(saved)
        factor = grad[:, None] / ctx.tau
        gradients = _gradients(head, own, softmax_gradient, None, factor, ctx.needs_input_grad)
        return *gradients, None, None, None


def _inverse_norm(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=1).clamp_(min=_SHORTEST).reciprocal_()


def _own(head: _Head, target: Tensor, margin: Margin) -> _Own:
    cosine = (head.unit * head.weight.index_select(0, target)).sum(1, keepdim=True)
    cosine *= head.inverse[target, None]
    # Lightning validates in inference mode, where nothing can be differentiated.
    with torch.inference_mode(False), torch.enable_grad():
        free = cosine.clone().requires_grad_()
        changed = margin(free, torch.zeros_like(target))
        (slope,) = torch.autograd.grad(changed.sum(), free)
    return _Own(target[:, None], cosine, changed.detach(), slope)


def _unpack(saved: Sequence[Tensor]) -> tuple[_Head, _Own | None]:
    return _Head(*saved[:4]), _Own(*saved[4:]) if saved[4:] else None


def _softmax_gradient_(logits: Tensor, inverse: Tensor, target: Tensor, changed: Tensor | None) -> Tensor:
    """Losses (n, 1); ``logits`` come as x Wᵀ and leave as the losses' gradient on it, but for the margin."""
    loss, minus_one = logits.new_empty(target.shape), logits.new_tensor(-1.0).expand(target.shape)
    for rows in _parts(logits, logits.shape[1], _PASS):
        part, own = logits[rows].mul_(inverse), target[rows]
        if changed is not None:
            part.scatter_(1, own, changed[rows])
        torch.log_softmax(part, 1, out=part)
        loss[rows] = -part.gather(1, own)
        part.clamp_(min=_LOWEST).exp_().scatter_add_(1, own, minus_one[rows]).mul_(inverse)
    return loss


def _gradients(
    head: _Head,
    own: _Own | None,
    grad: Tensor,
    inverse: Tensor | None,
    factor: Tensor,
    needs: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Gradients of unit, weight and scale, where that of scale * x Wᵀ is ``factor * grad * inverse``.

    inverse: None where grad contains it. factor: (n, 1), or shaped like the scale.
    """
    rows = factor * head.scale
    pulled, pushed = _products(head, grad, inverse, head.unit * rows, needs)
    turned = (pulled * head.unit).sum(1, keepdim=True) if needs[2] else None
    if own:
        target = own.target[:, 0]
        own_weight, own_inverse = head.weight.index_select(0, target), head.inverse[own.target]
        own_grad = grad.gather(1, own.target) * (1 if inverse is None else own_inverse)
        if turned is not None:
            turned += own_grad / own_inverse * (own.changed - own.cosine)
        own_grad *= own.slope - 1
        pulled.addcmul_(own_weight, own_grad)
        if pushed is not None:
            across = head.unit - own_weight * (own_inverse * own.cosine)
            pushed.index_add_(0, target, across * (own_grad * rows))
    scale_grad = None if turned is None else (factor * turned).sum_to_size(head.scale.shape)
    return pulled * rows, pushed, scale_grad


def _products(
    head: _Head, grad: Tensor, inverse: Tensor | None, rows: Tensor, needs: Sequence[bool]
) -> tuple[Tensor, Tensor | None]:
    """(grad * inverse) W, and (grad * inverse)ᵀ rows less its part along each row of W."""
    pulled = torch.zeros_like(rows)
    pushed = torch.empty_like(head.weight) if needs[1] else None
    parts = _parts(head.weight, len(rows), _PRODUCT)
    scaled = None if inverse is None else grad.new_empty(len(rows), parts[0].stop)
    for classes in parts:
        part = grad[:, classes]
        if scaled is not None:
            part = torch.mul(part, head.inverse[classes], out=scaled[:, : part.shape[1]])
        if needs[0] or needs[2]:
            pulled.addmm_(part, head.weight[classes])
        if pushed is not None:
            torch.mm(part.T, rows, out=pushed[classes])
            _project_(pushed[classes], head.weight[classes], head.inverse[classes])
    return pulled, pushed


def _project_(pushed: Tensor, weight: Tensor, inverse: Tensor) -> None:
    """Take from each row of ``pushed`` its part along that of ``weight``, whose length changes no cosine."""
    for classes in _parts(pushed, pushed.shape[1], _PASS):
        part, rows = pushed[classes], weight[classes]
        along = torch.linalg.vecdot(part, rows) * inverse[classes].square()
        part.addcmul_(rows, along[:, None], value=-1)


def _parts(matrix: Tensor, width: int, elements: int) -> list[slice]:
    """Slices of the rows of ``matrix``, each of about ``elements`` where a row counts ``width``."""
    # A GPU has no use for cache-sized parts, only for few calls.
    step = max(1, (elements if matrix.device.type == "cpu" else 2**26) // max(1, width))
    return [slice(start, min(start + step, len(matrix))) for start in range(0, len(matrix), step)]
