"""LFW lists: small ones written here, and the real ones where they are given."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.readers import (
    RecordFile,
    decode_rgb,
    image_name,
    image_positions,
    read_image_list,
    read_pairs,
    read_people,
    sha256_of,
    write_records,
)
from tests.readers.samples import refused

SMALL = "2\t2\nA\t1\t2\nA\t3\t1\nA\t1\tB\t2\nC\t1\tD\t1\nE\t1\t2\nE\t2\t3\nE\t1\tF\t12\nG\t1\tF\t1\n"


def written(folder, text, name="pairs.txt"):
    path = folder / name
    path.write_text(text)
    return path


def test_pairs_folds_and_kinds_follow_the_lines(tmp_path):
    pairs = read_pairs(written(tmp_path, SMALL))
    assert pairs.left == ("A_0001", "A_0003", "A_0001", "C_0001", "E_0001", "E_0002", "E_0001", "G_0001")
    assert pairs.right == ("A_0002", "A_0001", "B_0002", "D_0001", "E_0002", "E_0003", "F_0012", "F_0001")
    assert pairs.same.tolist() == [True, True, False, False] * 2
    assert pairs.fold.tolist() == [0] * 4 + [1] * 4
    assert (pairs.folds, len(pairs)) == (2, 8)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 4))
def test_any_number_of_folds_and_pairs_is_read(tmp_path_factory, folds, each):
    lines = [f"{folds} {each}"]
    for fold in range(folds):
        lines += [f"P{fold} {i} {i + 1}" for i in range(1, each + 1)]
        lines += [f"P{fold} {i} Q{fold} {i}" for i in range(1, each + 1)]
    pairs = read_pairs(written(tmp_path_factory.mktemp("pairs"), "\n".join(lines)))
    assert pairs.fold.tolist() == [fold for fold in range(folds) for _ in range(2 * each)]
    assert pairs.same.tolist() == ([True] * each + [False] * each) * folds
    assert [a[:2] == b[:2] for a, b in zip(pairs.left, pairs.right, strict=True)] == pairs.same.tolist()


def test_a_first_line_of_one_number_is_one_fold(tmp_path):
    pairs = read_pairs(written(tmp_path, "1\nA\t1\t2\nA\t1\tB\t2\n"))
    assert (pairs.folds, pairs.fold.tolist(), pairs.same.tolist()) == (1, [0, 0], [True, False])


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("2\t2\nA", "two\nA", "pairs.txt:1: 'two', expected the number of folds"),
        ("2\t2\nA", "2\t2\t2\nA", "pairs.txt:1: "),
        ("2\t2\nA", "0\t2\nA", "pairs.txt:1: "),
        ("2\t2\nA", "\nA", "pairs.txt:1: ''"),
        ("A\t3\t1", "A\t3\tB\t1", "pairs.txt:3: expected name i j, a pair of one person"),
        ("C\t1\tD\t1", "C\t1\t2", "pairs.txt:5: expected name1 i name2 j, a pair of two people"),
        ("C\t1\tD\t1", "", "pairs.txt:5: expected name1"),
        ("E\t1\t2", "E\t0\t2", "pairs.txt:6: expected name i j"),
        ("E\t1\t2", "E\tx\t2", "pairs.txt:6: expected name i j"),
        ("E\t1\t2", "E\t1\t-2", "pairs.txt:6: expected name i j"),
        ("E\t1\t2", "E\t02\t2", "pairs.txt:6: one image twice"),
        ("E\t1\tF\t12", "E\t1\tE\t12", "pairs.txt:8: one person twice"),
        ("G\t1\tF\t1\n", "", "pairs.txt: line 1 promises 8 pairs, there are 7: truncated?"),
        (
            "G\t1\tF\t1\n",
            "G\t1\tF\t1\nG\t1\tF\t2\n",
            "pairs.txt:10: line 1 promises 8 pairs, here is one more",
        ),
    ],
)
def test_the_first_wrong_line_of_pairs_is_named(tmp_path, old, new, why):
    assert SMALL.count(old) == 1
    with refused(why):
        read_pairs(written(tmp_path, SMALL.replace(old, new)))


def test_pairs_become_rows_of_a_list(tmp_path):
    pairs = read_pairs(written(tmp_path, "1\nA\t1\t2\nA\t1\tB\t2\n"))
    positions = image_positions(["B_0002", "x", "A_0002", "A_0001"])
    assert pairs.rows(positions).tolist() == [[3, 2], [3, 0]]
    with refused("2 images of the pairs are not in the list, the first is A_0002"):
        pairs.rows({"A_0001": 0})
    with refused("image x stands at 1 and at 2"):
        image_positions(["y", "x", "x"])


def test_names_of_people_become_names_of_images(tmp_path):
    names = read_people(written(tmp_path, "AJ_Cook\t1\nAbdullah_Gul 3\n"))
    assert names == ("AJ_Cook_0001", *(f"Abdullah_Gul_000{i}" for i in (1, 2, 3)))
    assert image_name("X", 12345) == "X_12345"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("B", "expected a name and its number of images"),
        ("B x", "expected a name"),
        ("B 0", "expected a name"),
        ("A 2", "A stands there a second time"),
    ],
)
def test_a_wrong_line_of_people_is_named(tmp_path, line, why):
    with refused("pairs.txt:2: ", why):
        read_people(written(tmp_path, f"A 1\n{line}\n"))


def test_lists_of_files_become_names_of_images(tmp_path):
    text = "lfw/AJ_Cook/AJ_Cook_0001.jpg\nB\\Frank_Keating_Jr._0002.PNG 17\nC_0003\t4\nD_0001.jpg\n"
    assert read_image_list(written(tmp_path, text)) == (
        "AJ_Cook_0001",
        "Frank_Keating_Jr._0002",
        "C_0003",
        "D_0001",
    )
    with refused("pairs.txt:2: expected the path of an image"):
        read_image_list(written(tmp_path, "a.jpg\n\nb.jpg\n"))
    with refused("pairs.txt:3: image a stands in line 1 already"):
        read_image_list(written(tmp_path, "x/a.jpg\nb.jpg\ny/a.png\n"))


@pytest.fixture(scope="module")
def lfw():
    folder = os.environ.get("LOSSBENCH_DATA")
    if not folder or not Path(folder, "lfw", "pairs.txt").exists():
        pytest.skip("LOSSBENCH_DATA holds no lfw/pairs.txt")
    return Path(folder, "lfw")


@pytest.fixture(scope="module")
def archive(lfw):
    return sorted(lfw.glob("lfw*.tar.gz"))[0]


@pytest.fixture(scope="module")
def members(archive):
    with tarfile.open(archive) as tar:
        return [name for name in tar.getnames() if name.endswith(".jpg")]


@pytest.mark.data
def test_view_2_has_ten_folds_of_people_of_their_own(lfw):
    pairs = read_pairs(lfw / "pairs.txt")
    assert sha256_of(lfw / "pairs.txt").startswith("ea42330c62c92989")
    assert (pairs.folds, len(pairs), int(pairs.same.sum())) == (10, 6000, 3000)
    assert np.bincount(pairs.fold).tolist() == [600] * 10
    fold_of = {}
    for left, right, fold in zip(pairs.left, pairs.right, pairs.fold.tolist(), strict=True):
        for name in (left, right):
            assert fold_of.setdefault(name[:-5], fold) == fold


@pytest.mark.data
@pytest.mark.parametrize(("name", "each"), [("pairsDevTrain.txt", 1100), ("pairsDevTest.txt", 500)])
def test_view_1_is_one_fold(lfw, name, each):
    pairs = read_pairs(lfw / name)
    assert (pairs.folds, len(pairs), int(pairs.same.sum())) == (1, 2 * each, each)


@pytest.mark.data
def test_every_image_of_the_pairs_is_among_the_images(lfw, members, tmp_path):
    images = read_image_list(written(tmp_path, "\n".join(members)))
    assert (len(images), len({name[:-5] for name in images})) == (13233, 5749)
    pairs = read_pairs(lfw / "pairs.txt")
    rows = pairs.rows(image_positions(images))
    assert [images[row] for row in rows[:, 0]] == list(pairs.left)
    assert [images[row] for row in rows[:, 1]] == list(pairs.right)


@pytest.mark.data
def test_real_images_survive_a_training_set(archive, tmp_path):
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.name.endswith(".jpg")][:60]
        images = [tar.extractfile(file).read() for file in files]
    people = [Path(file.name).parent.name for file in files]
    labels = [sorted(set(people)).index(person) for person in people]
    order = np.argsort(labels, kind="stable").tolist()
    write_records(tmp_path / "train.rec", [images[i] for i in order], sorted(labels), height=144, width=144)
    records = RecordFile(tmp_path / "train.rec")
    assert records.labels.tolist() == sorted(labels)
    assert len(records.identities) == len(set(people))
    for key, i in zip(records.images.tolist(), order, strict=True):
        assert records.image_bytes(key) == images[i]
        assert decode_rgb(records.image_bytes(key)).shape == (144, 144, 3)
