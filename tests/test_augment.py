"""Distortions against slow ones: an image at a time, a pixel at a time."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from lossbench.augment import affine_noise, compose, crop, flip
from lossbench.augment.geometry import _grid
from tests.test_augment_pixels import STEPS as ELSEWHERE

OPTIONS = {"rotation": 12.0, "scale": 0.15, "shift": 0.08, "shear": 0.1, "noise": 0.1}
STILL = dict.fromkeys(OPTIONS, 0.0)
STEPS = {
    "affine_noise": partial(affine_noise, **OPTIONS),
    "flip": flip,
    "crop": partial(crop, padding=3),
    **ELSEWHERE,
    "compose": partial(compose, steps=[flip, partial(crop, padding=2), partial(affine_noise, **OPTIONS)]),
}
each_step = pytest.mark.parametrize("name", STEPS)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def batch(n: int = 6, channels: int = 1, height: int = 12, width: int = 12) -> Tensor:
    return torch.rand(n, channels, height, width, generator=seeded(5))


def slow_affine(image: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """One image (h, w): each pixel looks up where it comes from, in pixels around the centre."""
    height, width = image.shape
    angle, zoom, shear = math.radians(12.0 * draws[0]), 1 + 0.15 * draws[1], 0.1 * draws[2]
    move = np.array([0.08 * draws[3] * width, 0.08 * draws[4] * height])
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(zoom * rotation @ np.array([[1, shear], [0, 1]]))
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    out = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            x, y = inverse @ (np.array([column, row]) - centre - move) + centre
            out[row, column] = bilinear(image, x, y)
    return out


def bilinear(image: np.ndarray, x: float, y: float) -> float:
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                total += image[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


@pytest.mark.parametrize(("height", "width"), [(12, 12), (8, 14)])
def test_affine_equals_a_lookup_pixel_by_pixel(height: int, width: int) -> None:
    images = batch(5, 1, height, width)
    fast = affine_noise(images, seeded(), **{**OPTIONS, "noise": 0.0})
    draws = (torch.rand(5, 5, generator=seeded()) * 2 - 1).double().numpy()
    for image, one, own in zip(images, fast, draws, strict=True):
        np.testing.assert_allclose(one[0].numpy(), slow_affine(image[0].double().numpy(), own), atol=2e-5)


@each_step
def test_the_same_generator_state_gives_the_same_result(name: str) -> None:
    images = batch()
    torch.manual_seed(1)
    first = STEPS[name](images, seeded())
    torch.manual_seed(2)
    assert torch.equal(first, STEPS[name](images, seeded()))
    assert not torch.equal(first, STEPS[name](images, seeded(1)))


@each_step
def test_the_input_is_not_written_and_shape_type_and_range_stay(name: str) -> None:
    images = batch(channels=3)
    before = images.clone()
    out = STEPS[name](images, seeded())
    assert torch.equal(images, before)
    assert out.shape == images.shape
    assert out.dtype == images.dtype
    assert out.min() >= 0
    assert out.max() <= 1


@each_step
def test_what_happens_to_an_image_does_not_depend_on_the_others(name: str) -> None:
    images = batch()
    others = images.clone()
    others[1:] = 0
    one, other = seeded(), seeded()
    assert torch.equal(STEPS[name](images, one)[0], STEPS[name](others, other)[0])
    assert torch.equal(one.get_state(), other.get_state())


@each_step
def test_channels_last_images_give_the_same_result(name: str) -> None:
    images = batch(channels=3)
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(STEPS[name](last, seeded()), STEPS[name](images, seeded()))


@each_step
def test_equal_images_are_distorted_differently(name: str) -> None:
    out = STEPS[name](batch(1).expand(16, -1, -1, -1), seeded())
    assert len({image.numpy().tobytes() for image in out}) > 1


@each_step
def test_an_empty_batch_stays_empty(name: str) -> None:
    assert STEPS[name](batch(0), seeded()).shape == (0, 1, 12, 12)


def test_strength_zero_returns_the_images_and_draws_nothing() -> None:
    images, generator = batch(), seeded()
    assert affine_noise(images, generator, **OPTIONS, strength=0) is images
    assert torch.equal(generator.get_state(), seeded().get_state())


def test_strength_multiplies_every_number() -> None:
    doubled = affine_noise(batch(), seeded(), **OPTIONS, strength=2)
    double = {name: 2 * value for name, value in OPTIONS.items()}
    torch.testing.assert_close(doubled, affine_noise(batch(), seeded(), **double))


def test_other_numbers_leave_the_generator_in_the_same_state() -> None:
    one, other = seeded(), seeded()
    affine_noise(batch(), one, **OPTIONS)
    affine_noise(batch(), other, **STILL)
    assert torch.equal(one.get_state(), other.get_state())


def test_all_numbers_zero_change_nothing() -> None:
    torch.testing.assert_close(affine_noise(batch(), seeded(), **STILL), batch())


def test_noise_has_the_standard_deviation_asked_for() -> None:
    grey = torch.full((64, 1, 32, 32), 0.5)
    out = affine_noise(grey, seeded(), **{**STILL, "noise": 0.1})
    assert (out - grey).std().item() == pytest.approx(0.1, rel=0.02)
    assert (out - grey).mean().item() == pytest.approx(0, abs=0.002)


def test_rotation_stays_within_its_limits_and_turns_clockwise() -> None:
    dot = torch.zeros(500, 1, 65, 65)
    dot[:, :, 32, 52:55] = 1  # right of the centre
    out = affine_noise(dot, seeded(), **{**STILL, "rotation": 30.0})
    mass = out.sum((1, 2, 3))
    pixel = torch.arange(65.0) - 32
    x, y = (out.sum((1, 2)) @ pixel) / mass, (out.sum((1, 3)) @ pixel) / mass
    angle = torch.rad2deg(torch.atan2(y, x))
    assert 28 < angle.max() < 31
    assert -31 < angle.min() < -28
    # positive draws turn clockwise as images are shown, y down
    first = (torch.rand(500, 5, generator=seeded()) * 2 - 1)[:, 0]
    assert torch.corrcoef(torch.stack([first, angle]))[0, 1] > 0.99


def test_flip_mirrors_half_of_the_images() -> None:
    images = batch(400)
    out = flip(images, seeded())
    mirrored = (out == images.flip(-1)).flatten(1).all(1)
    kept = (out == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250


def test_flip_never_and_always() -> None:
    assert torch.equal(flip(batch(), seeded(), p=0.0), batch())
    assert torch.equal(flip(batch(), seeded(), p=1.0), batch().flip(-1))


@pytest.mark.parametrize("shape", [(8, 3, 9, 7), (5, 1, 7, 9), (1, 2, 1, 1), (0, 3, 4, 4), (40, 3, 32, 24)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_equals_cutting_one_image_after_another(shape, layout, padding: int) -> None:
    images = torch.rand(shape, generator=seeded(5)).contiguous(memory_format=layout)
    out = crop(images, seeded(), padding=padding)
    top, left = torch.randint(2 * padding + 1, (2, shape[0]), generator=seeded())
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    rows, columns = slice(shape[2]), slice(shape[3])
    for i in range(shape[0]):
        assert torch.equal(out[i], padded[i, :, top[i] :, left[i] :][:, rows, columns])
    assert out.shape == shape
    # convolutions round otherwise in another layout: runs could not be repeated
    assert out.stride() == torch.empty(*shape[:1], *shape[2:], shape[1]).permute(0, 3, 1, 2).stride()


def test_crop_without_padding_changes_nothing() -> None:
    assert torch.equal(crop(batch(), seeded(), padding=0), batch())


def test_compose_takes_the_steps_in_turn() -> None:
    generator = seeded()
    expected = crop(flip(batch(), generator), generator, padding=2)
    assert torch.equal(compose(batch(), seeded(), steps=[flip, partial(crop, padding=2)]), expected)


@pytest.mark.parametrize("name", [*OPTIONS, "strength"])
def test_a_negative_or_missing_number_is_refused_by_name(name: str) -> None:
    for value in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=f"^{name}={value}: must"):
            affine_noise(batch(), seeded(), **{**OPTIONS, name: value})


def test_a_scale_that_could_turn_images_inside_out_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^scale=1.2: must .*in \[0, 1\); scale times strength is meant"):
        affine_noise(batch(), seeded(), **{**OPTIONS, "scale": 0.6}, strength=2)


def test_bad_flips_and_crops_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^p=2: must .*in \[0, 1\]"):
        flip(batch(), seeded(), p=2)
    with pytest.raises(ValueError, match=r"^padding=-1: must .*>= 0"):
        crop(batch(), seeded(), padding=-1)
    with pytest.raises(ValueError, match=r"^padding=1.5: must be a whole number"):
        crop(batch(), seeded(), padding=1.5)


def test_the_grid_is_torchs_own():
    theta = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.affine_grid(theta, [5, 1, 7, 4], align_corners=False)
    assert torch.allclose(_grid(theta, 7, 4), expected, atol=1e-6)
