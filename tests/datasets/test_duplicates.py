"""Copies of an image, against a search through all pairs of rows."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.datasets.division import ByIdentity, ByImage
from lossbench.datasets.duplicates import copies, image_numbers, pixel_digests
from tests.datasets.samples import collection, origins

CLOSED = {"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0}
FIRMNESS = ["test", "val", "train", ""]


def left_out(found):
    return found.origin[copies(found, image_numbers(found))].tolist()


def slow_copies(found, given):
    """Rows for which a better placed one of the same person shows the same pixels."""
    rows = range(len(found))

    def place(row):
        return FIRMNESS.index(given[row]), str(found.origin[row])

    def worse(row, other):
        same = found.labels[row] == found.labels[other] and np.array_equal(found.data[row], found.data[other])
        both_tested = given[row] == given[other] in ("test", "val")
        return row != other and same and not both_tested and place(row) > place(other)

    return [str(found.origin[row]) for row in rows if any(worse(row, other) for other in rows)]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_copies_are_those_of_a_search_through_all_pairs(data):
    counts = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    total = sum(counts)
    pixels = data.draw(st.lists(st.integers(0, 3), min_size=total, max_size=total))
    given_ = data.draw(st.lists(st.sampled_from(FIRMNESS), min_size=total, max_size=total))
    found = collection(counts, pixels=pixels, given=given_)
    assert left_out(found) == slow_copies(found, given_)
    assert left_out(replace(found, given=None)) == slow_copies(found, [""] * total)


def test_numbers_tell_rows_apart_by_their_pixels_alone():
    found = collection([3, 3], pixels=[7, 8, 7, 8, 7, 300])
    one = image_numbers(found)
    assert one[0] == one[2] == one[4] != one[1] == one[3]
    assert len(set(one.tolist())) == 3


def test_digests_that_a_prepared_set_brings_are_used_instead():
    found = collection([3, 3])
    brought = replace(found, pixels=pixel_digests(collection([3, 3], pixels=[1, 1, 2, 3, 4, 5]).data))
    assert left_out(brought) == ["p000/1.png"]
    as_void = replace(found, pixels=brought.pixels.view("V16"))
    assert left_out(as_void) == ["p000/1.png"]


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_digests_are_of_the_bytes_of_each_row(dtype):
    rows = np.arange(12).reshape(4, 3).astype(dtype)[[0, 1, 0, 3]]
    digests = pixel_digests(rows)
    assert (digests[0] == digests[2], len(set(digests.tolist()))) == (True, 3)
    assert pixel_digests(rows, np.array([3, 0])).tolist() == digests[[3, 0]].tolist()
    assert pixel_digests(np.asfortranarray(rows)).tolist() == digests.tolist()


def test_a_copy_is_left_out_counted_and_told_in_one_line(caplog):
    found = collection([6, 6], pixels=[0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 10, 11])
    with caplog.at_level(logging.WARNING):
        dataset = ByImage(**CLOSED)(found, "mine")
    rows = sorted(row for part in origins(found, dataset).values() for row in part)
    assert rows == sorted(set(found.origin) - {"p000/5.png"})
    assert dataset.facts == {"copies_left_out": 1}
    assert [record.getMessage() for record in caplog.records] == [
        "mine: 1 rows repeat an image of the same identity and are left out, e.g. p000/5.png"
    ]


def test_a_training_copy_of_a_prescribed_test_image_is_left_out_and_the_test_stays_whole():
    pixels = [0, 1, 2, 0, 3, 3, *range(10, 16)]
    given_ = (["train"] * 3 + ["test"] * 3) * 2
    found = collection([6, 6], pixels=pixels, given=given_)
    roles = origins(found, ByImage(**{**CLOSED, "val_fraction": 0})(found, "set"))
    assert len(roles["test"]) == 6
    assert roles["train"] == ["p000/1.png", "p000/2.png", "p001/6.png", "p001/7.png", "p001/8.png"]


def test_copies_within_a_prescribed_test_are_told(caplog):
    found = collection([4, 4], pixels=[0, 1, 2, 2, 4, 5, 6, 7], given=["train", "train", "test", "test"] * 2)
    dataset = ByImage(**{**CLOSED, "val_fraction": 0})(found, "mine")
    assert len(dataset.splits["test"]) == 4
    assert dataset.facts == {"copies_kept": 1}
    assert "1 rows of prescribed splits repeat an image of the same identity and stay" in caplog.text


@pytest.mark.parametrize("seed", range(4))
def test_an_image_of_two_people_is_told_and_never_both_trained_and_tested_on(caplog, seed):
    # the first of p000 is also p001's, the second of p002 also p003's
    pixels = list(range(40))
    pixels[5], pixels[16] = 0, 11
    found = collection([5] * 8, pixels=pixels)
    options = {"val_identities": 0, "test_identities": 4, "val_images": 0, "test_images": 0}
    with caplog.at_level(logging.WARNING):
        dataset = ByIdentity(**options, least_images=2, split_seed=seed)(found, "mine")
    people = {name: role for role, split in dataset.splits.items() for name in split.names}
    role = {origin: name for name, part in origins(found, dataset).items() for origin in part}
    pairs = [("p000/0.png", "p001/5.png"), ("p002/11.png", "p003/16.png")]
    crossing = [pair for pair in pairs if people[pair[0][:4]] != people[pair[1][:4]]]
    assert len(role) == 40 - len(crossing)
    for pair in crossing:
        assert [role.get(row) for row in pair if row in role] == ["test_open"]
    assert dataset.facts.get("left_out_of_training", 0) == len(crossing)
    told = dataset.facts.get("images_of_two_identities", {"images": 0, "across_splits": 0})
    assert (told["images"], told["across_splits"]) == (2 - len(crossing), 0)
    lines = [record.getMessage() for record in caplog.records]
    assert any("shown under two identities" in line for line in lines) == (len(crossing) < 2)
    assert any("show an image that is tested on: left out" in line for line in lines) == bool(crossing)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "division",
    [
        ByImage(val_fraction=0.2, test_fraction=0.3, split_seed=0),
        ByIdentity(
            val_identities=0, test_identities=2, val_images=2, test_images=2, least_images=2, split_seed=0
        ),
    ],
    ids=["by image", "by identity"],
)
def test_nobody_trains_on_an_image_that_is_tested_on_under_another_name(division, seed):
    # every person is filed once more, under the next name
    pixels = [image for person in range(8) for image in range(10 * person, 10 * person + 10)]
    copies = [image + 1000 * (image % 10 >= 6) for image in pixels]  # of ten pictures six
    found = collection([10] * 16, pixels=[*pixels, *copies])
    dataset = replace(division, split_seed=seed)(found, "mine")
    shown = {
        role: {row.tobytes() for row in split.read(np.arange(len(split)))}
        for role, split in dataset.splits.items()
    }
    assert shown["test"]
    for role in set(shown) & {"val", "test", "val_open", "test_open"}:
        assert not shown["train"] & shown[role]
    assert dataset.facts["left_out_of_training"] > 0


def test_a_set_without_copies_has_no_facts_and_says_nothing(caplog):
    assert ByImage(**CLOSED)(collection([5, 5]), "set").facts == {}
    assert not caplog.records
