"""Cautions: what they change, and above all what they leave alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.config import CAUTIONS
from lossbench.datasets import Dataset, Split
from lossbench.datasets.cautions import RANGES, with_cautions, with_label_noise, with_leak, with_long_tail
from lossbench.datasets.division import ByIdentity, ByImage
from tests.datasets.samples import collection, origins, people

OPEN = {"val_identities": 2, "test_identities": 6, "val_images": 1, "test_images": 1}
OPEN |= {"least_images": 2, "split_seed": 0}


def closed_set(counts=(40, 40, 40, 40)):
    return ByImage(val_fraction=0.2, test_fraction=0.2, split_seed=0)(collection(counts), "closed")


FOUND = collection([9, 8, 7, 6, 5, 4, 3, 2] * 3)


def open_set():
    return ByIdentity(**OPEN)(FOUND, "open")


def copied(dataset):
    """The same rows, each split with an array of its own, as generated sets have them."""
    splits = {
        role: Split(split.read(slice(None)), split.labels, split.names)
        for role, split in dataset.splits.items()
    }
    return replace(dataset, splits=splits)


def contents(split):
    """(name, pixels) of each row, sorted."""
    rows = split.read(np.arange(len(split)))
    return sorted((split.names[label], row.tobytes()) for label, row in zip(split.labels, rows, strict=True))


def others_are_untouched(before, after, *changed):
    assert set(after.splits) == set(before.splits)
    for role, split in before.splits.items():
        if role not in changed:
            assert contents(after.splits[role]) == contents(split), role


# label noise


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 0.8])
def test_that_share_of_the_training_rows_and_no_other_carries_a_wrong_label(share):
    before = closed_set()
    after = with_label_noise(before, share, 0)
    old, new = (dataset.splits["train"] for dataset in (before, after))
    assert (old.labels != new.labels).sum() == round(share * len(old)) == after.facts["label_noise"]["rows"]
    assert np.array_equal(old.rows, new.rows)
    assert after.classes == before.classes
    others_are_untouched(before, after, "train")


def test_every_other_label_is_equally_likely():
    before = closed_set([6000] * 4)
    old, new = before.splits["train"].labels, with_label_noise(before, 0.5, 0).splits["train"].labels
    table = np.zeros((4, 4))
    np.add.at(table, (old, new), 1)
    wrong = table[~np.eye(4, dtype=bool)]
    assert abs(wrong - wrong.mean()).max() < 5 * np.sqrt(wrong.mean())
    assert wrong.sum() == round(0.5 * len(old))


def test_more_noise_adds_to_the_noise_there_was_and_a_seed_fixes_it():
    before = closed_set()
    one, more, other = (
        with_label_noise(before, share, seed).splits["train"].labels
        for share, seed in ((0.1, 0), (0.3, 0), (0.1, 1))
    )
    clean = before.splits["train"].labels
    assert (more[one != clean] == one[one != clean]).all()
    assert not np.array_equal(one, other)
    assert np.array_equal(one, with_label_noise(before, 0.1, 0).splits["train"].labels)


def test_the_wrong_labels_are_the_same_under_every_version_of_numpy():
    train = Split(np.zeros((8, 2), np.float32), np.arange(8) % 4, tuple("abcd"))
    noisy = with_label_noise(Dataset("d", {"train": train}, open_set=False, sha256="0"), 0.5, 0)
    assert noisy.splits["train"].labels.tolist() == [0, 3, 1, 1, 0, 1, 3, 3]


# long tail


def test_classes_follow_the_exponential_profile_of_long_tailed_cifar():
    after = with_long_tail(closed_set([500] * 10), 100, 0)
    expected = [int(300 * 0.01 ** (i / 9)) for i in range(10)]
    assert sorted(after.counts(), reverse=True) == expected
    assert (expected[0], expected[-1]) == (300, 3)
    assert after.facts["long_tail"] == {"rows": sum(expected), "most": 300, "fewest": 3}


def test_a_tail_of_one_keeps_every_row():
    before = closed_set()
    others_are_untouched(before, with_long_tail(before, 1, 0))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.floats(1, 1e6), st.integers(0, 9))
def test_no_class_is_lost_or_grows_and_a_steeper_tail_keeps_fewer_of_the_same(counts, ratio, seed):
    before = closed_set(counts)
    after, steeper = (with_long_tail(before, r, seed) for r in (ratio, 3 * ratio))
    kept, left = np.array(after.counts()), np.array(before.counts())
    assert (kept >= 1).all()
    assert (kept <= left).all()
    rows = [set(contents(dataset.splits["train"])) for dataset in (steeper, after, before)]
    assert rows[0] <= rows[1] <= rows[2]
    others_are_untouched(before, after, "train")


def test_which_classes_are_rare_follows_from_the_seed():
    before = closed_set([50] * 10)
    tails = [tuple(with_long_tail(before, 10, seed).counts()) for seed in (0, 0, 1)]
    assert tails[0] == tails[1] != tails[2]
    assert tails[0] != tuple(sorted(tails[0], reverse=True))


# leak


@pytest.mark.parametrize("own_arrays", [False, True])
@pytest.mark.parametrize("share", [0, 0.3, 0.5, 1])
def test_every_share_is_tested_on_the_same_images_and_leaks_none_of_them(share, own_arrays):
    before = copied(open_set()) if own_arrays else open_set()
    after = with_leak(before, share, 0)
    train, test = set(contents(after.splits["train"])), contents(after.splits["test_open"])
    assert test == contents(with_leak(before, 0, 1).splits["test_open"])
    assert not train & set(test)
    leaked = train - set(contents(before.splits["train"]))
    assert {name for name, _ in leaked} == set(after.leaked)
    assert leaked <= set(contents(before.splits["test_open"]))
    assert set(contents(before.splits["train"])) <= train
    assert after.facts["leak"]["rows"] == len(leaked)
    others_are_untouched(before, after, "train", "test_open")


def test_half_of_the_images_of_those_with_four_or_more_are_set_aside():
    before = open_set()
    after = with_leak(before, 1, 0)
    old = people(origins(FOUND, before)["test_open"])
    assert people(origins(FOUND, after)["test_open"]) == {
        name: count - count // 2 if count >= 4 else count for name, count in old.items()
    }
    assert set(after.leaked) == {name for name, count in old.items() if count >= 4}
    assert min(old.values()) < 4 < max(old.values())


def test_leaked_people_are_new_classes_after_the_old_ones():
    before = open_set()
    after = with_leak(before, 0.5, 0)
    assert after.splits["train"].names == before.splits["train"].names + after.leaked
    assert {after.splits[role].names for role in ("val", "test")} == {after.splits["train"].names}
    assert after.classes == before.classes + len(after.leaked)
    assert min(after.counts()) >= 1
    assert after.splits["train"].data is before.splits["train"].data


def test_a_smaller_leak_is_part_of_a_larger_one():
    leaks = [set(with_leak(open_set(), share, 0).leaked) for share in (0, 0.25, 0.5, 1)]
    assert leaks[0] < leaks[1] < leaks[2] < leaks[3]


def test_copies_of_an_image_are_all_leaked_or_all_tested():
    before = copied(open_set())
    test = before.splits["test_open"]
    doubled = Split(test.data.repeat(2, 0), test.labels.repeat(2), test.names)
    after = with_leak(replace(before, splits={**before.splits, "test_open": doubled}), 1, 0)
    assert not set(contents(after.splits["train"])) & set(contents(after.splits["test_open"]))


def test_a_picture_that_is_tested_under_another_name_is_not_leaked():
    before = open_set()
    test = copied(before).splits["test_open"]
    image = test.read(np.array([int(np.flatnonzero(test.labels == 0)[0])]))
    rows = test.read(slice(None)).copy()
    for label in np.unique(test.labels):
        rows[np.flatnonzero(test.labels == label)[:2]] = image  # two rows each, leaked here or tested there
    splits = {**copied(before).splits, "test_open": Split(rows, test.labels, test.names)}
    after = with_leak(replace(before, splits=splits), 1, 0)
    shown = [
        {row.tobytes() for row in after.splits[role].read(slice(None))} for role in ("train", "test_open")
    ]
    assert image[0].tobytes() in shown[1]
    assert not shown[0] & shown[1]
    assert min(after.counts()) >= 1


def test_a_data_set_refuses_an_overlap_that_is_not_a_declared_leak():
    after = with_leak(open_set(), 0.5, 0)
    with pytest.raises(ValueError, match="identities are in both train and test_open"):
        replace(after, leaked=())


def test_a_closed_set_has_nobody_to_leak():
    with pytest.raises(ValueError, match=r"^leak=0\.5: closed has no test identities apart from those"):
        with_leak(closed_set(), 0.5, 0)


def test_people_with_too_few_images_cannot_leak():
    few = ByIdentity(**{**OPEN, "val_images": 0, "test_images": 0})(collection([3] * 20), "few")
    with pytest.raises(ValueError, match=r"^leak=0\.5: no identity of test_open has four images"):
        with_leak(few, 0.5, 0)


# together


def test_cautions_that_are_not_set_change_nothing():
    dataset = open_set()
    assert with_cautions(dataset, {"label_noise": None, "difficulty": 1.0}) is dataset


def test_cautions_add_up_and_the_digest_of_the_data_stays():
    before = open_set()
    after = with_cautions(before, {"label_noise": 0.5, "long_tail": 3, "leak": 1.0})
    assert set(after.facts) == {"leak", "long_tail", "label_noise"}
    assert after.facts["label_noise"]["rows"] == round(0.5 * after.facts["long_tail"]["rows"])
    assert after.sha256 == before.sha256
    others_are_untouched(before, after, "train", "test_open")


def test_every_caution_is_a_knob_and_every_knob_a_caution():
    assert set(RANGES) == set(CAUTIONS)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"label_noise": 1}, r"label_noise=1: must be a number in \[0, 1\); a share of the training rows"),
        ({"label_noise": -0.1}, r"label_noise=-0\.1: must be a number"),
        ({"label_noise": float("nan")}, "label_noise=nan: must be a number"),
        ({"long_tail": 0.5}, r"long_tail=0\.5: must be a number >= 1; images of the largest class"),
        ({"leak": 2}, r"leak=2: must be a number in \[0, 1\]; a share of the test identities"),
        ({"leak": True}, "leak=True: must be a number"),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_line(knobs, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        with_cautions(open_set(), knobs)
