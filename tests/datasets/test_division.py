"""Divisions, against a plain reading of their rules one identity and one row at a time."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.datasets.division import ByIdentity, ByImage
from tests.datasets.samples import collection, origins, people

OPEN = {
    "val_identities": 1,
    "test_identities": 2,
    "val_images": 0,
    "test_images": 0,
    "least_images": 2,
    "split_seed": 0,
}
CLOSED = {"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0}


def by_identity(found, **options):
    return origins(found, ByIdentity(**{**OPEN, **options})(found, "set"))


def by_image(found, **options):
    return origins(found, ByImage(**{**CLOSED, **options})(found, "set"))


def in_hash_order(words, *prefix):
    def key(word):
        return hashlib.sha256("\0".join(map(str, (*prefix, word))).encode()).digest()

    return sorted(words, key=key)


def slow_by_identity(found, options):
    """Origins of each role, worked out with dictionaries and without numpy."""
    images = {}
    for label, origin in zip(found.labels, found.origin, strict=True):
        images.setdefault(found.names[label], []).append(str(origin))
    enough = in_hash_order(
        [n for n in images if len(images[n]) >= options["least_images"]], options["split_seed"]
    )
    test, val = options["test_identities"], options["val_identities"]
    role = dict.fromkeys(images, "distractors") | dict.fromkeys(enough, "train")
    role |= dict.fromkeys(enough[:test], "test_open") | dict.fromkeys(enough[test : test + val], "val_open")
    roles = {}
    for name, own in images.items():
        parts = {role[name]: own}
        held = options["test_images"] + options["val_images"]
        if role[name] == "train" and len(own) >= held + 2:
            order = in_hash_order(own, options["split_seed"], name)
            parts = {"test": order[: options["test_images"]], "val": order[options["test_images"] : held]}
            parts["train"] = order[held:]
        for one, part in parts.items():
            roles.setdefault(one, set()).update(part)
    return {one: part for one, part in roles.items() if part}


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 6), min_size=6, max_size=12),
    val=st.integers(0, 2),
    test=st.integers(1, 2),
    held=st.tuples(st.integers(0, 1), st.integers(0, 2)),
    seed=st.integers(0, 5),
    shuffle=st.randoms(use_true_random=False),
)
def test_roles_are_those_of_a_slow_reading_whatever_the_order_of_rows(counts, val, test, held, seed, shuffle):
    counts = [6, 6, 6, 6, 6, *counts]
    options = {"val_identities": val, "test_identities": test, "val_images": held[0], "test_images": held[1]}
    options |= {"least_images": 2, "split_seed": seed}
    order = list(range(sum(counts)))
    plain = collection(counts)
    expected = slow_by_identity(plain, options)
    found = by_identity(plain, **options)
    assert {role: set(rows) for role, rows in found.items()} == expected
    assert sum(map(len, found.values())) == sum(counts)  # every row in exactly one role
    shuffle.shuffle(order)
    assert by_identity(collection(counts, order=order), **options) == found


def test_labels_name_the_identity_of_their_row_and_data_is_shared():
    found = collection([3, 1, 4, 5, 2, 6], order=np.random.default_rng(0).permutation(21))
    dataset = ByIdentity(**{**OPEN, "test_images": 1})(found, "set")
    assert dataset.open_set
    for split in dataset.splits.values():
        assert split.data is found.data
        assert split.names == tuple(sorted(split.names))
        for label, row in zip(split.labels, split.rows, strict=True):
            assert split.names[label] == found.names[found.labels[row]]
    assert dataset.splits["train"].names == dataset.splits["test"].names


def test_a_share_counts_identities_with_enough_images_and_is_at_least_one():
    found = collection([1] * 30 + [3] * 20)
    roles = by_identity(found, test_identities=0.25, val_identities=0.01)
    assert {role: len(people(rows)) for role, rows in roles.items()} == {
        "train": 14,
        "val_open": 1,
        "test_open": 5,
        "distractors": 30,
    }


def test_fewer_validation_identities_leave_the_test_as_it_was():
    found = collection([3] * 20)
    assert (
        by_identity(found, val_identities=7)["test_open"] == by_identity(found, val_identities=0)["test_open"]
    )


def test_who_tests_does_not_depend_on_identities_that_come_later():
    one, more = collection([3] * 20), collection([3] * 20 + [1] * 50)
    assert by_identity(one)["test_open"] == by_identity(more)["test_open"]


def test_another_seed_divides_otherwise():
    found = collection([3] * 30)
    assert by_identity(found) != by_identity(found, split_seed=1)
    assert by_image(found, val_fraction=0.5) != by_image(found, val_fraction=0.5, split_seed=1)


def test_an_identity_keeps_two_images_to_train_on_or_gives_none():
    roles = by_identity(
        collection([2, 3, 4, 5, 9, 9, 9]), test_images=1, val_images=1, test_identities=1, val_identities=0
    )
    train, test, val = (people(roles[role]) for role in ("train", "test", "val"))
    assert min(train.values()) >= 2
    assert set(test.values()) == set(val.values()) == {1}
    assert {"p000", "p001"}.isdisjoint(test)


# prescribed roles


def test_prescribed_people_make_the_open_set_and_prescribed_images_the_closed_one():
    given = ["train", "train", "test"] * 2 + ["test"] * 3 + ["val"] * 2 + ["", "", ""] + [""]
    found = collection([3, 3, 3, 2, 3, 1], given=given)
    roles = {role: people(rows) for role, rows in by_identity(found, test_images=2).items()}
    assert roles == {
        "train": {"p000": 2, "p001": 2, "p004": 3},  # nothing is drawn for a test that is prescribed
        "test": {"p000": 1, "p001": 1},
        "test_open": {"p002": 3},
        "val_open": {"p003": 2},
        "distractors": {"p005": 1},
    }


def test_what_is_not_prescribed_is_drawn_from_train_and_the_prescribed_test_left_alone():
    given = ["train"] * 24 + ["test"] * 6
    roles = by_identity(collection([3] * 10, given=given), val_identities=2)
    assert set(people(roles["test_open"])) == {"p008", "p009"}
    assert len(people(roles["val_open"])) == 2
    assert len(people(roles["train"])) == 6


def test_a_closed_set_keeps_its_test_and_draws_validation_from_train():
    given = (["train"] * 10 + ["test"] * 5) * 3
    roles = by_image(collection([15] * 3, given=given), val_fraction=0.2, test_fraction=0.5)
    assert {role: people(rows) for role, rows in roles.items()} == {
        "train": {"p000": 8, "p001": 8, "p002": 8},
        "val": {"p000": 2, "p001": 2, "p002": 2},
        "test": {"p000": 5, "p001": 5, "p002": 5},
    }


def test_a_prescribed_validation_is_kept_too():
    given = ["train", "train", "val", "test", ""] * 2
    roles = by_image(collection([5, 5], given=given), val_fraction=0.5, test_fraction=0.4)
    assert {role: list(people(rows).values()) for role, rows in roles.items()} == {
        "train": [3, 3],
        "val": [1, 1],
        "test": [1, 1],
    }


# closed sets


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 15), min_size=2, max_size=8),
    val=st.sampled_from([0, 0.1, 0.25, 0.5]),
    test=st.sampled_from([0, 0.2, 0.49]),
    shuffle=st.randoms(use_true_random=False),
)
def test_a_closed_set_takes_its_shares_of_each_identity(counts, val, test, shuffle):
    plain = collection(counts)
    roles = by_image(plain, val_fraction=val, test_fraction=test)
    expected = {"train": set(), "val": set(), "test": set()}
    for label, name in enumerate(plain.names):
        own = in_hash_order(plain.origin[plain.labels == label].tolist(), 0, name)
        tested = min(round(test * len(own)), len(own) - 1)
        validated = min(round(val * len(own)), len(own) - 1 - tested)
        expected["test"] |= set(own[:tested])
        expected["val"] |= set(own[tested : tested + validated])
        expected["train"] |= set(own[tested + validated :])
    assert {role: set(rows) for role, rows in roles.items()} == {k: v for k, v in expected.items() if v}
    order = list(range(len(plain)))
    shuffle.shuffle(order)
    assert by_image(collection(counts, order=order), val_fraction=val, test_fraction=test) == roles


def test_classes_keep_the_order_of_the_collections_names():
    names = ("zebra", "ant", "lion")
    dataset = ByImage(**CLOSED)(collection([5, 5, 5], names=names), "set")
    assert {split.names for split in dataset.splits.values()} == {names}
    assert not dataset.open_set


def test_the_digest_covers_the_data_and_who_is_where():
    found = collection([6] * 8)
    one, again, other = (ByImage(**{**CLOSED, "split_seed": seed})(found, "set") for seed in (0, 0, 1))
    assert one.sha256 == again.sha256 != other.sha256


# refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_identities": -1}, "test_identities=-1: must be a whole number >= 0"),
        ({"test_identities": 1.0}, r"test_identities=1.0: must be a number in \(0, 1\); a share of the"),
        ({"test_identities": True}, "test_identities=True: must be a whole number"),
        ({"val_identities": -1}, "val_identities=-1: must be a whole number >= 0"),
        ({"val_identities": float("nan")}, "val_identities=nan: must be a number"),
        ({"val_identities": "many"}, "val_identities=many: must be a number"),
        ({"val_images": 0.5}, "val_images=0.5: must be a whole number"),
        ({"least_images": 0}, "least_images=0: must be a whole number >= 1"),
        ({"split_seed": -1}, "split_seed=-1: must be a whole number >= 0"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ByIdentity(**{**OPEN, **options})


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ((1, 0), r"val_fraction=1: must be a number in \[0, 1\)"),
        ((0.5, 0.5), r"test_fraction=0.5: must be a number in \[0, 0.5\); train needs rows"),
    ],
)
def test_fractions_that_leave_nothing_to_train_on_are_refused(fractions, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ByImage(val_fraction=fractions[0], test_fraction=fractions[1], split_seed=0)


def faulty(found, **options):
    with pytest.raises(ValueError, match=r"^\S") as fault:
        by_identity(found, **options)
    assert "\n" not in str(fault.value)
    return str(fault.value)


@pytest.mark.parametrize("counts", [[], [5], [5, 5, 5, 5], [1] * 50])
def test_too_few_identities_are_counted_and_the_options_to_lower_named(counts):
    line = faulty(collection(counts))
    assert line.startswith("val_identities=1, test_identities=2: of ")
    assert f"of {sum(count >= 2 for count in counts)} identities with 2 images or more" in line
    assert line.endswith("lower them or least_images")


def test_an_open_set_that_compares_nobody_with_themselves_is_refused():
    line = faulty(collection([1] * 9), least_images=1, val_identities=0)
    assert line == "test_open: no identity has two images to compare; raise least_images to 2"


def test_images_nobody_can_spare_are_refused():
    line = faulty(collection([3] * 9), val_images=1, test_images=1)
    assert "no training identity has 4 images, two of them to train on; lower them (0: no such split)" in line


def test_an_identity_prescribed_for_two_open_roles_is_refused():
    line = faulty(collection([2] * 9, given=["val", "test"] + [""] * 16))
    assert line.startswith("1 identities are prescribed for val and for test but not for train, e.g. p000")


def test_those_without_a_role_are_drawn_before_those_who_are_to_train():
    given = ["train"] * 12 + [""] * 12
    found = by_identity(collection([3] * 8, given=given), test_identities=2, val_identities=1, val_images=0)
    drawn = {row[:4] for role in ("test_open", "val_open") for row in found[role]}
    assert drawn < {f"p{i:03}" for i in range(4, 8)}
    assert {row[:4] for row in found["train"]} >= {f"p{i:03}" for i in range(4)}


def test_a_set_whose_test_shows_who_trains_is_called_a_closed_set():
    line = faulty(collection([4] * 6, given=["train", "train", "train", "test"] * 6))
    assert "closed set; take ByImage" in line


def test_a_role_nobody_knows_is_refused():
    assert faulty(collection([2] * 9, given=["probe"] * 18)).startswith("given=probe: ")


def test_a_closed_set_that_tests_who_it_does_not_train_on_is_refused():
    found = collection([4, 4, 4], given=["train"] * 8 + ["test"] * 4)
    with pytest.raises(
        ValueError, match=r"^1 identities have no rows to train on, e\.g\. p002: a closed set"
    ):
        by_image(found)


@pytest.mark.parametrize("counts", [[], [7]])
def test_one_class_is_no_closed_set(counts):
    with pytest.raises(ValueError, match=f"^train: shows {len(counts)} identities; a classifier needs two"):
        by_image(collection(counts))
