"""Looking the same, against a slow search through all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from lossbench.datasets import alike
from lossbench.datasets.alike import TOLERANCE, alike_pairs, first_of_alike


def slow_pairs(images: np.ndarray) -> list[tuple[int, int]]:
    found = []
    for i in range(len(images)):
        for j in range(i + 1, len(images)):
            a, b = images[i].astype(float), images[j].astype(float)
            distance = min(((a - np.roll(b, shift, axis=1)) ** 2).sum() for shift in (-1, 0, 1))
            if distance <= TOLERANCE * max((a**2).sum(), (b**2).sum()):
                found.append((i, j))
    return found


def test_pairs_equal_those_of_a_search_through_all_pairs() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (12, 8, 8)).astype(np.uint8)
    moved = np.roll(images[:3], 1, axis=2)
    faint = np.clip(images[3:6].astype(int) + generator.integers(-9, 10, (3, 8, 8)), 0, 255).astype(np.uint8)
    loud = np.clip(images[6:9].astype(int) + generator.integers(-60, 61, (3, 8, 8)), 0, 255).astype(np.uint8)
    images = np.concatenate([images, moved, faint, loud])
    pairs = [tuple(pair) for pair in alike_pairs(images).tolist()]
    assert pairs == slow_pairs(images)
    assert pairs == [(0, 12), (1, 13), (2, 14), (3, 15), (4, 16), (5, 17)]


@pytest.mark.parametrize("block", [1, 3, 64])
def test_pairs_do_not_depend_on_how_many_are_looked_at_together(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(1)
    base = generator.integers(0, 2, (5, 8, 8)).astype(np.uint8) * 255
    images = np.concatenate([base[generator.integers(0, 5, 20)], np.zeros((2, 8, 8), np.uint8)])
    images = images[generator.permutation(22)]
    monkeypatch.setattr(alike, "_BLOCK", block)
    assert [tuple(pair) for pair in alike_pairs(images).tolist()] == slow_pairs(images)


def test_moving_up_by_a_pixel_makes_another_drawing() -> None:
    image = np.zeros((8, 8), dtype=np.uint8)
    image[3, 2:6] = 255
    assert len(alike_pairs(np.stack([image, np.roll(image, 1, axis=0)]))) == 0


def test_mirror_images_are_different() -> None:
    image = np.zeros((8, 8), dtype=np.uint8)
    image[1:7, 2] = image[4, 2:6] = 255
    assert len(alike_pairs(np.stack([image, image[:, ::-1]]))) == 0


def test_a_dropped_item_drops_no_other() -> None:
    kept = first_of_alike(4, np.array([[1, 2], [0, 1], [2, 3]]))
    assert kept.tolist() == [True, False, True, False]


def test_one_image_has_no_pairs() -> None:
    assert alike_pairs(np.ones((1, 4, 4), dtype=np.uint8)).shape == (0, 2)
