"""The handwritten digits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lossbench.datasets import Digits

DEFAULTS = {"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0}


def test_splits_share_out_all_1797_images_by_class() -> None:
    dataset = Digits(**DEFAULTS).load()
    sizes = {role: len(split) for role, split in dataset.splits.items()}
    assert sizes == {"train": 1079, "val": 359, "test": 359}
    total = np.bincount(load_digits().target)
    for role, share in {"train": 0.6, "val": 0.2, "test": 0.2}.items():
        counts = np.bincount(dataset.splits[role].labels)
        assert np.abs(counts - share * total).max() <= 1
    assert not dataset.open_set
    assert dataset.classes == 10
    assert dataset.shape == (8, 8, 1)


def test_pixels_are_those_of_sklearn_scaled_to_bytes() -> None:
    dataset = Digits(**DEFAULTS).load()
    rows = np.concatenate([split.data for split in dataset.splits.values()]).reshape(-1, 64)
    labels = np.concatenate([split.labels for split in dataset.splits.values()])
    mine = sorted((label, tuple(np.rint(row / 255 * 16))) for label, row in zip(labels, rows, strict=True))
    theirs = sorted((y, tuple(x)) for x, y in zip(*load_digits(return_X_y=True), strict=True))
    assert mine == theirs
    assert rows.dtype == np.uint8
    assert rows.max() == 255


def test_the_same_seed_gives_the_same_split_and_another_another() -> None:
    one, again, other = (Digits(**{**DEFAULTS, "split_seed": seed}).load() for seed in (0, 0, 1))
    assert one.sha256 == again.sha256 != other.sha256
    np.testing.assert_array_equal(one.splits["test"].data, again.splits["test"].data)


def test_fingerprint_changes_with_every_option() -> None:
    changes = ({}, {"val_fraction": 0.3}, {"test_fraction": 0.3}, {"split_seed": 1})
    assert len({Digits(**{**DEFAULTS, **change}).fingerprint() for change in changes}) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_fraction": 1.0}, r"val_fraction=1.0: must .*in \[0, 1\)"),
        (
            {"val_fraction": 0.5, "test_fraction": 0.5},
            r"test_fraction=0.5: must .*in \[0, 0.5\); train needs rows",
        ),
        ({"split_seed": -1}, "split_seed=-1: must .*>= 0"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Digits(**{**DEFAULTS, **options})
