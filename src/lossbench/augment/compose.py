"""Several distortions in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Generator, Tensor

Augment = Callable[[Tensor, Generator], Tensor]


def compose(images: Float[Tensor, "n c h w"], generator: Generator, *, steps: Sequence[Augment]) -> Tensor:
    """Each of ``steps`` in turn, all drawing from the one generator."""
    for step in steps:
        images = step(images, generator)
    return images
