"""Margins need the weights' own precision: in bfloat16 a cosine of 0.99 and one of 0.992 are the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def without_autocast(method: Callable[..., Result]) -> Callable[..., Result]:
    """A head's method on embeddings, called inside ``torch.autocast`` as it is outside of it."""

    @wraps(method)
    def precise(self: Any, embedding: Tensor, *arguments: Any, **options: Any) -> Result:
        device = embedding.device.type
        if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
            return method(self, embedding, *arguments, **options)
        with torch.autocast(device, enabled=False):
            return method(self, embedding.to(self.weight.dtype), *arguments, **options)

    return precise
