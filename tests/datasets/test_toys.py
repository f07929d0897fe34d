"""The toys, against the geometry they promise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lossbench.datasets import Blobs, Dataset, Modes, Rings, Xor

COMMON = {"samples": 300, "noise": 0.0, "seed": 0}
MAKERS = {
    "blobs": lambda **options: Blobs(**{**COMMON, "classes": 3, "shift": 0.0, **options}),
    "xor": lambda **options: Xor(**{**COMMON, "gap": 0.2, **options}),
    "rings": lambda **options: Rings(**{**COMMON, "radius": 0.5, "gap": 0.2, **options}),
    "modes": lambda **options: Modes(**{**COMMON, "modes": 3, **options}),
}
all_toys = pytest.mark.parametrize("name", MAKERS)


def points(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    return dataset.splits["train"].data, dataset.splits["train"].labels


def linear_accuracy(dataset: Dataset) -> float:
    x, y = points(dataset)
    return LogisticRegression().fit(x, y).score(x, y)


@all_toys
def test_a_toy_is_a_closed_set_of_float32_points_with_equal_classes(name: str) -> None:
    dataset = MAKERS[name](noise=0.1).load()
    assert dataset.name == name
    assert set(dataset.splits) == {"train", "val", "test"}
    assert not dataset.open_set
    assert dataset.shape == (2,)
    for split in dataset.splits.values():
        assert split.data.dtype == np.float32
        assert (np.bincount(split.labels) == 300).all()


@all_toys
def test_a_seed_fixes_the_points_and_the_splits_differ(name: str) -> None:
    one, again, other = (MAKERS[name](noise=0.1, seed=seed).load() for seed in (0, 0, 1))
    assert one.sha256 == again.sha256 != other.sha256
    np.testing.assert_array_equal(one.splits["test"].data, again.splits["test"].data)
    assert not np.array_equal(one.splits["train"].data, one.splits["test"].data)


@all_toys
def test_fingerprints_differ_by_option_and_by_class(name: str) -> None:
    make = MAKERS[name]
    prints = {make(**change).fingerprint() for change in ({}, {"samples": 2}, {"noise": 0.5}, {"seed": 9})}
    others = {maker().fingerprint() for other, maker in MAKERS.items() if other != name}
    assert len(prints) == 4
    assert not prints & others
    assert make().fingerprint() == make().fingerprint()


@all_toys
def test_noise_has_the_standard_deviation_asked_for(name: str) -> None:
    clean = points(MAKERS[name](samples=4000).load())[0]
    noisy = points(MAKERS[name](samples=4000, noise=0.3).load())[0]
    # the noise is drawn after the points, so these pair up
    assert np.std(noisy - clean) == pytest.approx(0.3, rel=0.03)


def test_blobs_lie_on_a_shifted_circle() -> None:
    x, y = points(MAKERS["blobs"](classes=4, shift=5.0).load())
    centres = np.stack([x[y == label].mean(0) for label in range(4)])
    np.testing.assert_allclose(centres, [[6, 5], [5, 6], [4, 5], [5, 4]], atol=1e-5)


def test_blobs_are_linearly_separable_when_tight() -> None:
    assert linear_accuracy(MAKERS["blobs"](noise=0.05).load()) == 1


def test_xor_follows_the_signs_keeps_its_gap_and_defeats_a_line() -> None:
    dataset = MAKERS["xor"]().load()
    x, y = points(dataset)
    np.testing.assert_array_equal(y, (x[:, 0] * x[:, 1] < 0).astype(int))
    assert np.abs(x).min() >= 0.1
    assert np.abs(x).max() <= 1
    assert linear_accuracy(dataset) < 0.65


def test_rings_are_told_apart_by_radius_and_not_by_a_line() -> None:
    dataset = MAKERS["rings"]().load()
    x, y = points(dataset)
    radius = np.linalg.norm(x, axis=1)
    assert radius[y == 0].max() <= 0.5 + 1e-6
    assert radius[y == 1].min() >= 0.7 - 1e-6
    assert radius.max() <= 1 + 1e-6
    assert linear_accuracy(dataset) < 0.65


def test_modes_take_turns_on_the_circle_and_defeat_a_line() -> None:
    dataset = MAKERS["modes"]().load()
    x, y = points(dataset)
    turn = np.rint(np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi) * 6) % 6
    np.testing.assert_array_equal(turn % 2, y)
    assert len(np.unique(turn)) == 6
    assert linear_accuracy(dataset) < 0.75


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("blobs", {"classes": 1}, "classes=1: must .*>= 2"),
        ("blobs", {"shift": float("nan")}, "shift=nan: must be a number"),
        ("blobs", {"samples": 0}, "samples=0: must .*>= 1"),
        ("xor", {"gap": 2}, r"gap=2: must .*in \[0, 2\)"),
        ("xor", {"noise": -1}, "noise=-1: must .*>= 0"),
        ("rings", {"radius": 0}, r"radius=0: must .*in \(0, 1\)"),
        ("rings", {"gap": 0.5}, r"gap=0.5: must .*in \[0, 0.5\); the ring ends at radius 1"),
        ("modes", {"modes": 1}, "modes=1: must .*>= 2; with one mode per class use Blobs"),
        ("modes", {"seed": 0.5}, "seed=0.5: must be a whole number"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        MAKERS[name](**options)
