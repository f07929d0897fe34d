"""What a data set refuses to be."""

from __future__ import annotations

import numpy as np
import pytest

from lossbench.datasets import Dataset, Split


def rows(values, labels=(0, 1)):
    return Split(np.array(values, dtype=np.float32), np.array(labels), ("a", "b"))


def test_rows_that_are_not_finite_are_counted_and_the_first_is_named():
    with pytest.raises(ValueError, match="1 rows hold NaN or infinity, the first is row 1"):
        rows([[0.0, 1.0], [np.nan, 1.0]])


@pytest.mark.parametrize("labels", [(0, 2), (-1, 0)])
def test_labels_outside_the_names_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels lie outside 0\.\.1"):
        rows([[0.0], [1.0]], labels)


def test_every_class_is_counted_also_one_without_rows():
    train = Split(np.zeros((3, 2), np.float32), np.array([0, 0, 2]), ("a", "b", "c"))
    assert Dataset("d", {"train": train}, open_set=False, sha256="0").counts() == [2, 0, 1]
