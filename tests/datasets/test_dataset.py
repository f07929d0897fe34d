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


def test_a_split_of_shared_rows_reads_them_where_they_lie():
    data = np.arange(20, dtype=np.float32).reshape(10, 2)
    split = Split(data, np.array([0, 1, 0]), ("a", "b"), rows=np.array([7, 0, 3]))
    assert len(split) == 3
    assert split.read(np.array([2, 0])).tolist() == [[6, 7], [14, 15]]
    assert split.read(slice(1, None)).tolist() == [[0, 1], [6, 7]]
    assert split.describe() == {"rows": 3, "identities": 2, "names": ["a", "b"]}
    assert split.data is data


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_only_the_rows_of_a_split_must_be_finite(dtype, monkeypatch):
    monkeypatch.setattr("lossbench.datasets.dataset._BLOCK_BYTES", 1)  # row by row
    data = np.zeros((6, 3), dtype)
    data[2, 1], data[4, 0] = np.nan, np.inf
    assert len(Split(data, np.zeros(3, int), ("a",), rows=np.array([0, 3, 5]))) == 3
    with pytest.raises(ValueError, match="2 rows hold NaN or infinity, the first is row 1"):
        Split(data, np.zeros(3, int), ("a",), rows=np.array([0, 4, 2]))


@pytest.mark.parametrize("rows", [(0, 3), (-1, 0)])
def test_rows_outside_the_data_are_refused(rows):
    with pytest.raises(ValueError, match=r"rows lie outside 0\.\.2: they are places in data"):
        Split(np.zeros((3, 2), np.float32), np.array([0, 0]), ("a",), rows=np.array(rows))


def test_a_row_in_two_places_is_refused():
    data = np.zeros((4, 2), np.float32)
    splits = {
        role: Split(data, np.zeros(len(rows), int), ("a",), rows=np.array(rows))
        for role, rows in {"train": [0, 1, 2], "val": [3], "test": [2]}.items()
    }
    with pytest.raises(ValueError, match="1 rows are used twice: a row has one place in one split"):
        Dataset("d", splits, open_set=False, sha256="0")


def test_an_identity_trained_on_and_tested_is_refused_unless_it_is_a_declared_leak():
    splits = {"train": rows([[0.0], [1.0]]), "test_open": rows([[2.0], [3.0]])}
    with pytest.raises(ValueError, match="2 identities are in both train and test_open"):
        Dataset("d", splits, open_set=True, sha256="0")
    with pytest.raises(ValueError, match="1 identities are in both train and test_open"):
        Dataset("d", splits, open_set=True, sha256="0", leaked=("a",))
    Dataset("d", splits, open_set=True, sha256="0", leaked=("a", "b"))
    with pytest.raises(ValueError, match="2 identities are in both train and val_open"):
        Dataset("d", splits | {"val_open": splits["test_open"]}, open_set=True, sha256="0", leaked=("a", "b"))
