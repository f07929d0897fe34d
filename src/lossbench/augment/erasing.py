"""Random erasing (Zhong et al., AAAI 2020): a rectangle of each image gives way to a constant or to noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from lossbench.augment.span import check_span
from lossbench.validate import check_range


def erase(
    images: Float[Tensor, "n c h w"],
    generator: Generator,
    *,
    p: float,
    area: Sequence[float],
    aspect: Sequence[float],
    fill: float | str,
) -> Float[Tensor, "n c h w"]:
    """Fill a rectangle of each image with probability ``p``.

    Where the paper draws again until the rectangle fits, sides are cut to those of the image here and the
    corner is uniform among the places where it fits, so that one draw is enough for any shape.

    Args:
        images: pixels in [0, 1]; not written to.
        generator: decides everything; it may live on another device. Noise takes n c h w draws more.
        p: share of the images that lose a rectangle.
        area: least and greatest share of the image that is erased, the draw uniform.
        aspect: least and greatest height over width, the draw uniform in its logarithm.
        fill: a grey value in [0, 1], or "noise" for uniform noise in every pixel and channel.

    Raises:
        ValueError: if a number is out of range.
    """
    check_range("p", p, low=0, high=1)
    check_span("area", area, low=0, high=1)
    check_span("aspect", aspect, low=0, open_low=True)
    if fill != "noise":
        check_range("fill", fill, low=0, high=1, cure='a grey value, or "noise"')
    inside = _rectangles(images, generator, p, area, aspect)
    if fill == "noise":
        new = torch.rand(images.shape, generator=generator, device=generator.device).to(images)
    else:
        new = images.new_tensor(fill)
    return torch.where(inside, new, images)


def _rectangles(
    images: Tensor, generator: Generator, p: float, area: Sequence[float], aspect: Sequence[float]
) -> Bool[Tensor, "n 1 h w"]:
    """True inside of the rectangle of each image."""
    n, _, height, width = images.shape
    draws = torch.rand(5, n, generator=generator, device=generator.device).to(images.device)
    pixels = (area[0] + (area[1] - area[0]) * draws[0]) * height * width
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = (low + (high - low) * draws[1]).exp()
    tall = (pixels * ratio).sqrt().round().clamp(max=height) * (draws[4] < p)
    wide = (pixels / ratio).sqrt().round().clamp(max=width)
    return (
        _stripe(tall, draws[2], height)[:, None, :, None] & _stripe(wide, draws[3], width)[:, None, None, :]
    )


def _stripe(length: Tensor, place: Tensor, side: int) -> Bool[Tensor, "n side"]:
    """True at ``length`` neighbours of ``side``, the first at a place drawn in [0, 1)."""
    # side + 1 - length places; a draw just below 1 may round up to that number itself
    first = (place * (side + 1 - length)).floor().minimum(side - length)[:, None]
    at = torch.arange(side, device=length.device)
    return (at >= first) & (at < first + length[:, None])
