"""Distortions that leave every pixel in its place: colour, blur, noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from lossbench.augment.span import check_span
from lossbench.validate import check_range

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601; torchvision has 0.2989, with which grey RGB would change


def colour(
    images: Float[Tensor, "n c h w"],
    generator: Generator,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
) -> Float[Tensor, "n c h w"]:
    """Brightness, contrast and saturation of SimCLR's ColorJitter (Chen et al., ICML 2020, appendix A).

    Each factor f is uniform in [max(0, 1 - knob), 1 + knob], one of each kind an image. In this order, and
    clamped to [0, 1] after each: f x; f x + (1 - f) mean of the grey image; f x + (1 - f) grey image.
    ColorJitter takes them in a random order. Grey images have no saturation to change.

    Raises:
        ValueError: if a knob is negative, or images have neither one channel nor three.
    """
    knobs = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, value in knobs.items():
        check_range(name, value, low=0)
    n, channels = images.shape[:2]
    if channels not in (1, 3):
        raise ValueError(f"images of {channels} channels: colour takes grey ones (1) and RGB (3)")
    low = torch.tensor([max(0.0, 1 - knob) for knob in knobs.values()], device=images.device)
    high = torch.tensor([1 + knob for knob in knobs.values()], device=images.device)
    draws = torch.rand(n, 3, generator=generator, device=generator.device).to(images.device)
    factors = (low + (high - low) * draws).to(images.dtype)
    bright, strong, vivid = factors.view(n, 3, 1, 1, 1).unbind(1)
    images = (images * bright).clamp_(0, 1)
    images = torch.lerp(_grey(images).mean((1, 2, 3), keepdim=True), images, strong).clamp_(0, 1)
    return images if channels == 1 else torch.lerp(_grey(images), images, vivid).clamp_(0, 1)


def blur(
    images: Float[Tensor, "n c h w"], generator: Generator, *, sigma: Sequence[float]
) -> Float[Tensor, "n c h w"]:
    """Gaussian blur, its standard deviation in pixels uniform in ``sigma`` = (least, greatest).

    At a border the weights of the pixels that exist are scaled up to sum to one: no black creeps in. The
    filter is as wide as the image, not cut off, as two products with a (side, side) matrix an image.

    Raises:
        ValueError: if sigma is no such pair.
    """
    check_span("sigma", sigma, low=0)
    n, _, height, width = images.shape
    draws = torch.rand(n, generator=generator, device=generator.device).to(images.device)
    drawn = sigma[0] + (sigma[1] - sigma[0]) * draws
    down, across = _gaussian(drawn, height).to(images.dtype), _gaussian(drawn, width).to(images.dtype)
    return down[:, None] @ images @ across[:, None].mT


def noise(images: Float[Tensor, "n c h w"], generator: Generator, *, std: float) -> Float[Tensor, "n c h w"]:
    """Add Gaussian noise of standard deviation ``std`` (1 = from black to white), then clamp to [0, 1].

    Raises:
        ValueError: if std is negative.
    """
    check_range("std", std, low=0)
    normal = torch.randn(images.shape, generator=generator, device=generator.device)
    return torch.add(images, normal.to(images), alpha=std).clamp_(0, 1)


def _grey(images: Tensor) -> Float[Tensor, "n 1 h w"]:
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _gaussian(sigma: Float[Tensor, " n"], side: int) -> Float[Tensor, "n side side"]:
    """Weights of the pixel of each column in that of each row; rows sum to one."""
    place = torch.arange(side, device=sigma.device)
    # below a hundredth of a pixel nothing mixes any more: the clamp makes 0 the identity, not 0 / 0
    of_distance = torch.exp(-0.5 * (place / sigma.clamp(min=0.01)[:, None]).square())
    # far weights would be denormal numbers, with which a product takes ten times as long
    of_distance = of_distance.masked_fill(of_distance < 1e-12, 0)
    weight = of_distance[:, (place[:, None] - place).abs()]
    return weight / weight.sum(2, keepdim=True)
