"""Cosine scores with a margin, and their cross-entropy, at about the cost of a plain linear layer.

Ordinary autograd passes over (n, c) and (c, d) a dozen times: normalised weights, margin, scale, softmax,
and the gradient of each. Here the columns of x Wᵀ are divided by ‖w‖ instead of the rows of W, the margin
sees the n target cosines alone, and softmax and its gradient take the place of the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
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
        own = None if target is None or margin is None else _own(head, target, margin)
        scores = torch.mm(x * (head.x_inverse * scale), weight.T).mul_(head.inverse)
        if own:
            scores.scatter_(1, own.target, own.changed * scale)
        ctx.save_for_backward(*head, *(own or ()))
        return scores

    @staticmethod
    @_first_derivative_only
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        head, own = _unpack(ctx.saved_tensors)
        one = torch.ones_like(head.scale)
        return *_gradients(head, own, grad, None, one, ctx.needs_input_grad), None, None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, target: Tensor, margin: Any, tau: float
    ) -> Tensor:
        head = _Head(x, _inverse_norm(x)[:, None], weight, _inverse_norm(weight), scale)
        own = _own(head, target, margin)
        logits = torch.mm(x * (head.x_inverse * (scale / tau)), weight.T)
        loss = _softmax_gradient_(logits, head.inverse, own, own.changed * (scale / tau))
        ctx.save_for_backward(logits, torch.expm1(-loss)[:, None], *head, *own)
        ctx.tau = tau
        return loss

    @staticmethod
    @_first_derivative_only
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        softmax_gradient, own_grad, *saved = ctx.saved_tensors
        head, own = _unpack(saved)
        factor = grad[:, None] / ctx.tau
        gradients = _gradients(head, own, softmax_gradient, own_grad, factor, ctx.needs_input_grad)
        return *gradients, None, None, None


def _inverse_norm(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1).clamp_(min=_SHORTEST).reciprocal_()


def _own(head: _Head, target: Tensor, margin: Margin | None) -> _Own:
    product = (head.x * head.weight.index_select(0, target)).sum(1, keepdim=True)
    cosine = product * head.x_inverse * head.inverse[target, None]
    if margin is None:
        return _Own(target[:, None], cosine, cosine, torch.ones_like(cosine))
    # Lightning validates in inference mode, where nothing can be differentiated.
    with torch.inference_mode(False), torch.enable_grad():
        free = cosine.clone().requires_grad_()
        changed = margin(free, torch.zeros_like(target))
        (slope,) = torch.autograd.grad(changed.sum(), free)
    return _Own(target[:, None], cosine, changed.detach(), slope)


def _unpack(saved: Sequence[Tensor]) -> tuple[_Head, _Own | None]:
    return _Head(*saved[:5]), _Own(*saved[5:]) if saved[5:] else None


def _softmax_gradient_(logits: Tensor, inverse: Tensor, own: _Own, own_logit: Tensor) -> Tensor:
    """Losses (n,); ``logits`` come as x Wᵀ and leave as the gradient of the losses on it."""
    loss = logits.new_empty(len(logits))
    for rows in _parts(logits, logits.shape[1], _PASS):
        part, target = logits[rows].mul_(inverse), own.target[rows]
        part.scatter_(1, target, own_logit[rows])
        torch.log_softmax(part, 1, out=part)
        own_part = part.gather(1, target)
        loss[rows] = -own_part[:, 0]
        part.clamp_(min=_LOWEST).exp_()
        part.scatter_(1, target, own_part.expm1() * own.slope[rows]).mul_(inverse)
    return loss


def _gradients(
    head: _Head,
    own: _Own | None,
    grad: Tensor,
    own_grad: Tensor | None,
    factor: Tensor,
    needs: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Gradients of x, weight and scale from ``factor * grad``, the gradient on the scores.

    own_grad: None, or the target's entry of that gradient, if ``grad`` is on scale * x Wᵀ already.
    factor: (n, 1), or shaped like the scale.
    """
    rows = factor * head.scale
    finished = own_grad is not None
    pulled, pushed = _products(head, own, grad, head.x * (rows * head.x_inverse), needs, finished)
    turned = (pulled * head.x).sum(1, keepdim=True) * head.x_inverse
    scale_grad = None
    if needs[2]:
        change = turned
        if own:
            own_grad = grad.gather(1, own.target) if own_grad is None else own_grad
            change = turned + own_grad * (own.changed - own.slope * own.cosine)
        scale_grad = (factor * change).sum_to_size(head.scale.shape)
    across = pulled.addcmul_(head.x, turned * head.x_inverse, value=-1)
    return across.mul_(rows * head.x_inverse), pushed, scale_grad


def _products(
    head: _Head, own: _Own | None, grad: Tensor, rows: Tensor, needs: Sequence[bool], finished: bool
) -> tuple[Tensor, Tensor | None]:
    """G W, and Gᵀ rows less its part along each row of W, where G is the gradient on x Wᵀ."""
    pulled = torch.zeros_like(rows)
    pushed = torch.empty_like(head.weight) if needs[1] else None
    parts = _parts(head.weight, len(rows), _PRODUCT)
    buffer = None if finished else grad.new_empty(len(rows), parts[0].stop)
    for classes in parts:
        part = grad[:, classes] if buffer is None else _finish(head, own, grad, classes, buffer)
        if needs[0] or needs[2]:
            pulled.addmm_(part, head.weight[classes])
        if pushed is not None:
            torch.mm(part.T, rows, out=pushed[classes])
            _project_(pushed[classes], head.weight[classes], head.inverse[classes])
    return pulled, pushed


def _finish(head: _Head, own: _Own | None, grad: Tensor, classes: slice, buffer: Tensor) -> Tensor:
    """The gradient on x Wᵀ of some classes, in ``buffer``, from that on the scores."""
    part = torch.mul(grad[:, classes], head.inverse[classes], out=buffer[:, : classes.stop - classes.start])
    if own:
        column = own.target - classes.start
        nearest = column.clamp(0, part.shape[1] - 1)
        slope = torch.where(column == nearest, own.slope, 1.0)
        part.scatter_(1, nearest, part.gather(1, nearest) * slope)
    return part


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
