"""Erasing, colour, blur and noise against slow ones: an image at a time, a pixel at a time."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from lossbench.augment import blur, colour, erase, noise

ERASING = {"p": 0.7, "area": (0.1, 0.5), "aspect": (0.4, 2.5), "fill": 0.25}
COLOUR = {"brightness": 0.4, "contrast": 0.5, "saturation": 1.5}
STEPS = {
    "erase": partial(erase, **ERASING),
    "erase with noise": partial(erase, **{**ERASING, "fill": "noise"}),
    "colour": partial(colour, **COLOUR),
    "blur": partial(blur, sigma=(0.1, 2.0)),
    "noise": partial(noise, std=0.1),
}
NOTHING = {
    "erase never": partial(erase, **{**ERASING, "p": 0.0}),
    "erase nothing": partial(erase, **{**ERASING, "area": (0.0, 0.0)}),
    "colour": partial(colour, **dict.fromkeys(COLOUR, 0.0)),
    "blur": partial(blur, sigma=(0.0, 0.0)),
    "noise": partial(noise, std=0.0),
}


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def batch(n: int = 6, channels: int = 3, height: int = 9, width: int = 12) -> Tensor:
    return torch.rand(n, channels, height, width, generator=seeded(5))


def slow_erase(image: np.ndarray, draws: np.ndarray, new: np.ndarray) -> np.ndarray:
    """One image (c, h, w): the rectangle's sides, then its corner, then a loop over its pixels."""
    _, height, width = image.shape
    if draws[4] >= 0.7:
        return image
    pixels = (0.1 + 0.4 * draws[0]) * height * width
    ratio = math.exp(math.log(0.4) + (math.log(2.5) - math.log(0.4)) * draws[1])
    tall, wide = min(height, round(math.sqrt(pixels * ratio))), min(width, round(math.sqrt(pixels / ratio)))
    top, left = math.floor(draws[2] * (height - tall + 1)), math.floor(draws[3] * (width - wide + 1))
    out = image.copy()
    for row in range(top, top + tall):
        for column in range(left, left + wide):
            out[:, row, column] = new[:, row, column]
    return out


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fill", [0.25, "noise"])
def test_erasing_equals_a_loop_over_the_pixels_of_a_rectangle(channels: int, fill: float | str) -> None:
    images, generator = batch(40, channels), seeded()
    fast = erase(images, seeded(), **{**ERASING, "fill": fill})
    draws = torch.rand(5, 40, generator=generator).double().numpy()
    new = torch.rand(images.shape, generator=generator) if fill == "noise" else torch.full_like(images, 0.25)
    for i in range(40):
        np.testing.assert_array_equal(
            fast[i].numpy(), slow_erase(images[i].numpy(), draws[:, i], new[i].numpy())
        )


def test_erasing_takes_the_share_asked_for_and_stays_in_the_range_of_areas() -> None:
    black = torch.zeros(2000, 1, 32, 32)
    share = erase(black, seeded(), p=0.4, area=(0.1, 0.2), aspect=(0.5, 2.0), fill=1.0).mean((1, 2, 3))
    hit = share > 0
    assert hit.float().mean().item() == pytest.approx(0.4, abs=0.03)
    assert share[hit].min() > 0.09  # sides are whole pixels
    assert share[hit].max() < 0.21


def test_every_corner_can_be_erased() -> None:
    white = torch.ones(4000, 1, 5, 4)
    kept = erase(white, seeded(), p=1.0, area=(0.1, 0.4), aspect=(0.5, 2.0), fill=0.0).amin(0)[0]
    assert kept.eq(0).all()


def test_an_area_of_one_erases_a_square_image_whole() -> None:
    out = erase(torch.ones(3, 1, 8, 8), seeded(), p=1.0, area=(1.0, 1.0), aspect=(1.0, 1.0), fill=0.5)
    assert out.eq(0.5).all()


def slow_colour(image: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """One image (c, h, w), straight off the definitions."""
    weights = (0.299, 0.587, 0.114)

    def grey(of: np.ndarray) -> np.ndarray:
        return sum(w * plane for w, plane in zip(weights, of, strict=True)) if len(of) == 3 else of[0]

    image = np.clip(factors[0] * image, 0, 1)
    image = np.clip(factors[1] * image + (1 - factors[1]) * grey(image).mean(), 0, 1)
    return np.clip(factors[2] * image + (1 - factors[2]) * grey(image), 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_equals_its_definitions_an_image_at_a_time(channels: int) -> None:
    images = batch(8, channels)
    draws = torch.rand(8, 3, generator=seeded()).double().numpy()
    factors = np.array([0.6, 0.5, 0.0]) + np.array([0.8, 1.0, 2.5]) * draws  # 1 - 1.5 is cut to 0
    for image, one, own in zip(images, colour(images, seeded(), **COLOUR), factors, strict=True):
        np.testing.assert_allclose(one.numpy(), slow_colour(image.double().numpy(), own), atol=1e-6)


def test_saturation_does_nothing_to_grey_images() -> None:
    grey = batch(channels=1)
    only = {**dict.fromkeys(COLOUR, 0.0), "saturation": 0.9}
    assert torch.equal(colour(grey, seeded(), **only), grey)
    torch.testing.assert_close(colour(grey.expand(-1, 3, -1, -1), seeded(), **only)[:, :1], grey)


def slow_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """One image (c, h, w): the weighted mean around each pixel, over the pixels that exist."""
    _, height, width = image.shape
    out = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y, x = np.mgrid[:height, :width]
            weight = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
            out[:, row, column] = (image * weight).sum((1, 2)) / weight.sum()
    return out


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_equals_a_weighted_mean_around_each_pixel(channels: int) -> None:
    images = batch(6, channels)
    sigmas = 0.3 + 1.7 * torch.rand(6, generator=seeded()).double().numpy()
    blurred = blur(images, seeded(), sigma=(0.3, 2.0))
    for image, one, sigma in zip(images, blurred, sigmas, strict=True):
        np.testing.assert_allclose(one.numpy(), slow_blur(image.double().numpy(), sigma), atol=1e-6)


def test_blur_leaves_constants_alone_up_to_the_border() -> None:
    grey = torch.full((5, 3, 8, 11), 0.3)
    torch.testing.assert_close(blur(grey, seeded(), sigma=(0.5, 50.0)), grey)


def test_a_very_wide_blur_gives_the_mean() -> None:
    out = blur(batch(), seeded(), sigma=(1e4, 1e4))
    torch.testing.assert_close(out, batch().mean((2, 3), keepdim=True).expand_as(out))


def test_noise_alone_has_the_standard_deviation_asked_for() -> None:
    grey = torch.full((64, 1, 32, 32), 0.5)
    out = noise(grey, seeded(), std=0.1)
    assert (out - grey).std().item() == pytest.approx(0.1, rel=0.02)
    assert (out - grey).mean().item() == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("channels", [1, 3])
def test_no_strength_changes_nothing(name: str, channels: int) -> None:
    torch.testing.assert_close(NOTHING[name](batch(channels=channels), seeded()), batch(channels=channels))


@pytest.mark.parametrize("name", NOTHING)
def test_other_numbers_leave_the_generator_in_the_same_state(name: str) -> None:
    one, other = seeded(), seeded()
    STEPS[name.split()[0]](batch(), one)
    NOTHING[name](batch(), other)
    assert torch.equal(one.get_state(), other.get_state())


@pytest.mark.parametrize(
    ("step", "knobs", "line"),
    [
        (erase, {**ERASING, "p": 1.5}, r"p=1.5: must be a number in \[0, 1\]"),
        (erase, {**ERASING, "area": (0.2, 1.1)}, r"area=1.1: must be a number in \[0, 1\]"),
        (
            erase,
            {**ERASING, "area": 0.2},
            r"area=0.2: give the least and the greatest, area=\[LEAST,GREATEST\]",
        ),
        (erase, {**ERASING, "area": (0.1, 0.2, 0.3)}, r"area=\(0.1, 0.2, 0.3\): give the least"),
        (erase, {**ERASING, "aspect": (0.0, 2.0)}, "aspect=0.0: must be a number > 0"),
        (erase, {**ERASING, "aspect": (3.0, 2.0)}, r"aspect=\[3.0, 2.0\]: the least comes first"),
        (erase, {**ERASING, "fill": "grey"}, 'fill=grey: must be .*; a grey value, or "noise"'),
        (erase, {**ERASING, "fill": 255}, r"fill=255: must be a number in \[0, 1\]"),
        (colour, {**COLOUR, "contrast": -0.1}, "contrast=-0.1: must be a number >= 0"),
        (colour, {**COLOUR, "saturation": float("nan")}, "saturation=nan: must be a number >= 0"),
        (blur, {"sigma": (-1.0, 2.0)}, "sigma=-1.0: must be a number >= 0"),
        (blur, {"sigma": "ab"}, "sigma=ab: give the least and the greatest"),
        (noise, {"std": -0.1}, "std=-0.1: must be a number >= 0"),
    ],
)
def test_a_bad_knob_is_refused_in_one_line(step, knobs, line) -> None:
    with pytest.raises(ValueError, match=f"^{line}") as found:
        step(batch(), seeded(), **knobs)
    assert "\n" not in str(found.value)


def test_colour_of_two_channels_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^images of 2 channels: colour takes grey ones \(1\) and RGB \(3\)$"
    ):
        colour(batch(channels=2), seeded(), **COLOUR)
