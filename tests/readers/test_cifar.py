"""Batches of CIFAR, as Python 2 and Python 3 write them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from lossbench.readers import read_cifar_batch, read_cifar_names
from tests.readers.python2 import python2_pickle
from tests.readers.samples import refused

ROWS = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
LABELS = [3, 0, 255, 3]
BATCH = {"batch_label": "training batch 1 of 5", "labels": LABELS, "data": ROWS, "filenames": ["a.png"] * 4}


def read(batch, name="batch", labels="labels"):
    data = batch if isinstance(batch, bytes) else python2_pickle(batch)
    return read_cifar_batch(data, name, labels=labels)


def names_of(value):
    return read_cifar_names(python2_pickle({"label_names": value}), "meta", names="label_names")


def test_a_batch_of_python_2_is_read_pixel_by_pixel():
    images, labels = read(BATCH)
    assert images.shape == (4, 32, 32, 3)
    assert labels.tolist() == LABELS
    assert labels.dtype == np.int64
    for row, y, x, channel in ((0, 0, 0, 0), (1, 0, 5, 1), (2, 31, 31, 2), (3, 7, 11, 0)):
        assert images[row, y, x, channel] == ROWS[row, channel * 1024 + y * 32 + x]


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("key", [str, str.encode])
def test_batches_of_python_3_are_the_same(protocol, key):
    data = pickle.dumps({key(name): value for name, value in BATCH.items()}, protocol)
    for one, other in zip(read(data), read(BATCH), strict=True):
        assert (one == other).all()


def test_an_array_stored_by_columns_is_the_same():
    data = pickle.dumps(BATCH | {"data": np.asfortranarray(ROWS)}, 2)
    assert (read(data)[0] == read(BATCH)[0]).all()


def test_fine_and_coarse_labels_are_told_apart():
    batch = {"fine_labels": [9, 8, 7, 6], "coarse_labels": [1, 1, 0, 0], "data": ROWS}
    assert read(batch, labels="fine_labels")[1].tolist() == [9, 8, 7, 6]
    assert read(batch, labels="coarse_labels")[1].tolist() == [1, 1, 0, 0]
    with refused("batch: has no labels"):
        read(batch)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": ROWS[:, :-1]}, "data is no array (n, 3072) of bytes"),
        ({"data": ROWS.ravel()}, "data is no array"),
        ({"data": [1, 2]}, "data is no array"),
        ({"data": ROWS[:3]}, "3 images, 4 labels"),
        ({"labels": [1, 2, 3, -1]}, "labels is no list of numbers from 0 to 255"),
        ({"labels": [1, 2, 3, 256]}, "labels is no list"),
        ({"labels": [1, 2, 3, "4"]}, "labels is no list"),
        ({"labels": "abcd"}, "labels is no list"),
    ],
)
def test_other_contents_are_refused(changes, why):
    with refused("batch: ", why):
        read(BATCH | changes)


def test_arrays_of_other_types_are_refused():
    with refused("data is no array"):
        read(pickle.dumps(BATCH | {"data": ROWS.astype(np.int64)}, 2))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "batch: byte 0: the pickle ends"),
        (python2_pickle(BATCH)[:-9], "batch: byte "),
        (python2_pickle([1]), "batch: the pickle holds list, expected dict"),
        (b"cos\nsystem\n(S'true'\ntR.", "names os.system"),
        (b"\x80\x02}(U\x04dataU\x06labelsu.", "has no labels"),
    ],
)
def test_what_is_no_batch_is_refused(data, why):
    with refused(why):
        read(data)


def test_names_come_in_the_order_of_labels():
    assert names_of(["frog", "cat"]) == ("frog", "cat")
    text = b"(dp1\nS'num_vis'\np2\nI3072\nsS'label_names'\np3\n(lp4\nS'frog'\np5\naS'cat'\np6\nas."
    assert read_cifar_names(text, "meta", names="label_names") == ("frog", "cat")


@pytest.mark.parametrize("value", [["cat", "cat"], ["cat", ""], ["cat", 1], ["a\nb"], [b"\xff"], "cat"])
def test_odd_names_are_refused(value):
    with refused("meta: label_names is no list of different names"):
        names_of(value)
