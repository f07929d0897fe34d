"""Distortions that move pixels: an affine map, mirroring, cropping."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Generator, Tensor

from lossbench.validate import check_range


def affine_noise(
    images: Float[Tensor, "n c h w"],
    generator: Generator,
    *,
    rotation: float,
    scale: float,
    shift: float,
    shear: float,
    noise: float,
    strength: float = 1.0,
) -> Float[Tensor, "n c h w"]:
    """Move each image by an affine map of its own (bilinear, zeros outside), then add Gaussian noise.

    Each number below is the largest, the draw uniform in ±; ``strength`` multiplies all of them.
    A pixel at q goes to p = A q + t around the centre of the image, with
    A = zoom · R(angle) · [[1, shear], [0, 1]]. The draws depend on n, c, h, w alone: other numbers leave
    the generator in the same state, except that at strength 0 nothing is drawn and ``images`` itself comes
    back.

    Args:
        images: pixels in [0, 1]; not written to.
        generator: decides everything; it may live on another device.
        rotation: degrees, clockwise for positive draws.
        scale: the zoom is 1 ± scale; in [0, 1).
        shift: fraction of the width and of the height.
        shear: tangent of the angle by which verticals lean.
        noise: standard deviation, 1 = from black to white.
        strength: 0 = none, 1 = the numbers given.

    Returns:
        New images, clamped to [0, 1].

    Raises:
        ValueError: if a number is out of range.
    """
    most = {"rotation": rotation, "shift": shift, "shear": shear, "noise": noise, "strength": strength}
    for name, value in most.items():
        check_range(name, value, low=0)
    check_range(
        "scale", scale * strength, low=0, high=1, open_high=True, cure="scale times strength is meant"
    )
    if strength == 0 or len(images) == 0:
        return images
    n, _, height, width = images.shape
    uniform = torch.rand(n, 5, generator=generator, device=generator.device).to(images.device) * 2 - 1
    limits = (math.radians(rotation), scale, shear, shift, shift)
    draws = uniform * (strength * torch.tensor(limits, device=images.device))
    theta = _inverse(draws, height / width).to(images.dtype)
    grid = _grid(theta, height, width)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    normal = torch.randn(images.shape, generator=generator, device=generator.device)
    # moved is this function's own: in place saves the page faults of a fresh batch
    return moved.add_(normal.to(moved), alpha=noise * strength).clamp_(0, 1)


def flip(
    images: Float[Tensor, "n c h w"], generator: Generator, *, p: float = 0.5
) -> Float[Tensor, "n c h w"]:
    """Mirror each image left to right with probability ``p``.

    Raises:
        ValueError: if p is outside [0, 1].
    """
    check_range("p", p, low=0, high=1)
    chosen = torch.rand(len(images), generator=generator, device=generator.device) < p
    return torch.where(chosen.to(images.device).view(-1, 1, 1, 1), images.flip(-1), images)


def crop(images: Float[Tensor, "n c h w"], generator: Generator, *, padding: int) -> Float[Tensor, "n c h w"]:
    """Pad by ``padding`` black pixels on each side, then cut each image to its old size at a random place.

    They come back in ``torch.channels_last``, whatever they were in.

    Raises:
        ValueError: if padding is no whole number >= 0.
    """
    check_range("padding", padding, low=0, integer=True)
    n, channels, height, width = images.shape
    size, device = 2 * padding + 1, generator.device
    top, left = torch.randint(size, (2, n), generator=generator, device=device).to(images.device)
    padded = images.new_zeros(n, height + size - 1, width + size - 1, channels)
    padded[:, padding : padding + height, padding : padding + width] = images.permute(0, 2, 3, 1)
    # each place where an image could be cut, as a view: (n, size, size, c, h, w)
    places = padded.unfold(1, height, 1).unfold(2, width, 1)
    return places[torch.arange(n, device=images.device), top, left]


def _grid(theta: Float[Tensor, "n 2 3"], height: int, width: int) -> Float[Tensor, "n h w 2"]:
    """What F.affine_grid gives, from one row and one column an image: a third of its time."""
    x = (torch.arange(width, device=theta.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=theta.device) * 2 + 1) / height - 1
    across = theta[:, :, :1] * x + theta[:, :, 2:]
    down = theta[:, :, 1:2] * y
    return (across[:, :, None] + down[:, :, :, None]).permute(0, 2, 3, 1)


def _inverse(draws: Float[Tensor, "n 5"], aspect: float) -> Float[Tensor, "n 2 3"]:
    """The maps from where a pixel goes to where it comes from, in affine_grid's coordinates (side = 2).

    q = A⁻¹ (p - t), A⁻¹ = [[1, -shear], [0, 1]] · R(-angle) / zoom, angles in pixels: ``aspect`` (height
    over width) turns them into fractions of the sides.
    """
    angle, zoom, shear, x, y = draws.unbind(1)
    cos, sin = angle.cos() / (1 + zoom), angle.sin() / (1 + zoom)
    a, b = cos + shear * sin, (sin - shear * cos) * aspect
    c, d = -sin / aspect, cos
    x, y = 2 * x, 2 * y
    return torch.stack([a, b, -a * x - b * y, c, d, -c * x - d * y], dim=1).view(-1, 2, 3)
