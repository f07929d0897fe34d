"""A data set of rows whose roles are given one by one."""

from __future__ import annotations

import numpy as np
import pytest

from lossbench.datasets.roles import divided, places
from tests.datasets.samples import collection, origins


def test_rows_go_where_they_are_told_and_an_empty_role_leaves_them_out():
    found = collection([2, 2, 2, 3], order=[8, 7, 6, 5, 4, 3, 2, 1, 0])
    role = np.array(["", "", "distractors", "test_open", "test_open", "train", "train", "test", "train"])
    dataset = divided(found, "set", role, open_set=True, facts={"told": 1})
    assert origins(found, dataset) == {
        "train": ["p000/0.png", "p001/2.png", "p001/3.png"],
        "test": ["p000/1.png"],
        "test_open": ["p002/4.png", "p002/5.png"],
        "distractors": ["p003/6.png"],
    }
    assert dataset.splits["test"].names == dataset.splits["train"].names == ("p000", "p001")
    assert dataset.splits["distractors"].labels.tolist() == [0]
    assert (dataset.facts, dataset.open_set) == ({"told": 1}, True)


def test_a_person_in_train_and_in_an_open_role_is_refused():
    role = np.array(["train", "test_open", "train", "train"])
    with pytest.raises(ValueError, match="1 identities are in both train and test_open"):
        divided(collection([2, 2]), "set", role, open_set=True)


def test_a_person_in_test_alone_is_refused():
    role = np.array(["train", "train", "train", "test"])
    with pytest.raises(ValueError, match=r"^1 identities have no rows to train on"):
        divided(collection([2, 1, 1]), "set", role, open_set=False)


def test_places_count_the_rows_of_each_label_in_the_order_given():
    labels = np.array([2, 0, 2, 2, 0])
    assert places(labels, np.array([4, 1, 3, 0, 2])).tolist() == [1, 1, 2, 0, 0]
