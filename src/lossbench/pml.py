"""Pair and proxy losses of pytorch-metric-learning, an optional extra, in the place of head and loss."""

from __future__ import annotations

import inspect
from typing import Any, TypeGuard

from jaxtyping import Float, Int
from torch import Tensor, nn


class MetricLearningLoss(nn.Module):
    """The loss of that library called ``name``, with its own options.

    name: a class of ``pytorch_metric_learning.losses``, e.g. TripletMarginLoss or ProxyAnchorLoss.
    dim, classes: handed on as embedding_size and num_classes to losses that keep proxies.
    options: its keyword arguments; one it does not take is an error.

    It reduces by itself: every sample carries the batch's value, so their mean has its value and gradient.
    """

    def __init__(self, name: str, *, dim: int, classes: int, **options: Any) -> None:
        super().__init__()
        kind = _named(name)
        sizes = {"embedding_size": dim, "num_classes": classes}
        known = inspect.signature(kind).parameters
        # Its losses take any keyword by **kwargs somewhere up their classes and may drop it without a word.
        accepted = {parameter for base in kind.__mro__[:-1] for parameter in _keywords(base)}
        for option in options:
            if option not in accepted:
                raise ValueError(f"loss.{option}: {name} takes no {option}; it takes {', '.join(known)}")
        self.inner = kind(**{key: value for key, value in sizes.items() if key in accepted}, **options)

    def forward(self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self.inner(embedding, target).expand(len(target))


def _named(name: str) -> type[nn.Module]:
    try:
        from pytorch_metric_learning import losses
    except ImportError as error:
        raise ValueError("loss=pml: needs pip install 'lossbench[pml]'") from error
    known = {key: value for key, value in vars(losses).items() if _is_module(value)}
    if name not in known:
        raise ValueError(f"loss.name={name}: pytorch-metric-learning has {', '.join(sorted(known))}")
    return known[name]


def _is_module(value: object) -> TypeGuard[type[nn.Module]]:
    return inspect.isclass(value) and issubclass(value, nn.Module)


def _keywords(base: type) -> list[str]:
    """Named parameters of the constructor that a class itself defines."""
    own = vars(base).get("__init__")
    parameters = inspect.signature(own).parameters.values() if own else ()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
