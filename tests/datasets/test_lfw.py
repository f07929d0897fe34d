"""LFW: the people of the first folds are tested on, whatever the division does with the others."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lossbench.datasets import Dataset, Lfw
from tests.datasets.known_files import by_identity, data, real_data, write_folder, write_tar
from tests.readers.samples import encoded, pixels, refused

__all__ = ["data", "real_data"]

# images of each person; A to D are in fold 1, E to H in fold 2, the others in none
PEOPLE = dict(zip("ABCDEFGHIJKLM", (3, 2, 1, 1, 2, 2, 1, 1, 4, 3, 2, 2, 1), strict=True))
FOLDS = ("A 1 3", "B 1 2", "C 1 D 1", "A 2 B 1", "E 1 2", "F 1 2", "G 1 H 1", "E 1 F 1")
PAIRS = "\n".join(["2\t2", *(pair.replace(" ", "\t") for pair in FOLDS), ""])
PAIRS_WITHOUT_B = PAIRS.replace("B\t1\t2", "A\t1\t2").replace("A\t2\tB\t1", "A\t2\tC\t1")


@cache
def faces(side: int = 250) -> dict[str, bytes]:
    names = [(person, i) for person, count in PEOPLE.items() for i in range(1, count + 1)]
    images = {name: pixels(seed, side) for seed, name in enumerate(names)}
    return {f"lfw/{person}/{person}_{i:04}.jpg": encoded(image) for (person, i), image in images.items()}


def write(folder: Path, side: int = 250) -> Path:
    name = "lfw-deepfunneled.tgz" if side == 250 else "lfw_deepfunneled_crop144.tar.gz"
    write_tar(folder / name, faces(side))
    write_folder(folder, {"pairs.txt": PAIRS.encode()})
    return folder


def lfw(**changes: object) -> Lfw:
    options = {"path": None, "folds": 1, "height": 8, "width": 6, "channels": 1, "box": None}
    return Lfw(**{**options, "division": by_identity(), **changes})


def people(dataset: Dataset, role: str) -> str:
    return "".join(dataset.splits[role].names)


def test_people_of_the_first_folds_are_tested_on(data: Path) -> None:
    write(data / "lfw")
    dataset = lfw().load()
    assert dataset.open_set
    assert people(dataset, "test_open") == "ABCD"
    assert people(dataset, "train") == "EFIJKL"
    assert people(dataset, "distractors") == "GHM"
    assert {role: len(split) for role, split in dataset.splits.items()} == {
        "train": 15,
        "test_open": 7,
        "distractors": 3,
    }
    assert dataset.shape == (8, 6, 1)


def test_the_pairs_of_the_folds_tested_on_are_rows_of_the_test(data: Path) -> None:
    write(data / "lfw")
    dataset = lfw().load()
    assert dataset.pairs is not None
    pairs, same, fold = dataset.pairs
    assert same.tolist() == [True, True, False, False]
    assert fold.tolist() == [0, 0, 0, 0]
    test = dataset.splits["test_open"]
    names = ["".join(test.names[label] for label in test.labels[pair]) for pair in pairs]
    assert names == ["AA", "BB", "CD", "AB"]
    first = pixels(list(faces()).index("lfw/A/A_0001.jpg"), 250)
    box = lfw(height=96, width=96, channels=3)
    stored = box.load()
    assert (stored.splits["test_open"].read(stored.pairs.pairs[0, :1])[0] == first[84:180, 77:173]).all()


def test_validation_people_come_from_outside_the_folds(data: Path) -> None:
    write(data / "lfw")
    dataset = lfw(division=by_identity(val_identities=2, val_images=1, test_images=1)).load()
    assert people(dataset, "test_open") == "ABCD"
    assert len(people(dataset, "val_open")) == 2
    assert sorted(people(dataset, "val_open") + people(dataset, "train")) == list("EFIJKL")


def test_the_box_lies_tightly_around_the_face_in_crops_and_whole_images(data: Path) -> None:
    write(data / "lfw", 250)
    options = {"height": 96, "width": 96, "channels": 3}
    found = lfw(**options).collect()
    assert (found.data[0] == pixels(0, 250)[48 + 36 : 48 + 132, 48 + 29 : 48 + 125]).all()
    (data / "lfw" / "lfw-deepfunneled.tgz").unlink()
    write(data / "lfw", 144)
    found = lfw(**options).collect()
    assert (found.data[0] == pixels(0, 144)[36:132, 29:125]).all()


def test_a_box_of_ones_own_is_taken(data: Path) -> None:
    write(data / "lfw")
    found = lfw(height=4, width=3, channels=3, box=[10, 20, 13, 24]).collect()
    assert (found.data[1] == pixels(1, 250)[20:24, 10:13]).all()


def test_images_that_are_too_small_are_told(data: Path, tmp_path: Path) -> None:
    write_folder(data / "lfw", {"pairs.txt": PAIRS.encode()})
    archive = write_tar(tmp_path / "mine.tar.gz", faces(144))
    with refused(archive, "144x144 pixels do not hold box=[77, 84, 173, 180]"):
        lfw(path=str(archive)).load()


def test_a_folder_of_ones_own_gives_the_same_rows(data: Path, tmp_path: Path) -> None:
    write(data / "lfw")
    mine = write_folder(tmp_path / "mine", faces())
    assert lfw(path=str(mine / "lfw")).load().sha256 == lfw().load().sha256
    assert lfw(path=str(mine / "lfw")).fingerprint() != lfw().fingerprint()


def test_pairs_beside_ones_own_faces_come_first(data: Path, tmp_path: Path) -> None:
    write(data / "lfw")
    mine = write_folder(tmp_path / "mine", {**faces(), "pairs.txt": PAIRS_WITHOUT_B.encode()})
    assert people(lfw(path=str(mine / "lfw")).load(), "test_open") == "ACD"
    assert people(lfw().load(), "test_open") == "ABCD"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"folds": 0}, "folds=0: must be a whole number in [1, 9]"),
        ({"height": 0}, "height=0"),
        ({"channels": 2}, "channels=2"),
        ({"box": [3, 2, 1, 0]}, "box=[3, 2, 1, 0]"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, object], why: str) -> None:
    with refused(why):
        lfw(**changes)


def test_as_many_folds_as_the_list_has_are_refused(data: Path) -> None:
    write(data / "lfw")
    with refused("folds=2: ", "pairs.txt has 2, some must train"):
        lfw(folds=2).load()


def test_people_of_the_list_must_be_there(data: Path) -> None:
    write(data / "lfw")
    write_folder(data / "lfw", {"pairs.txt": PAIRS.replace("D", "Z").encode()})
    with refused("1 people of ", "pairs.txt are not there, e.g. Z"):
        lfw().load()


def test_what_is_missing_is_told(data: Path) -> None:
    with refused("lfw: no ", "lfw-deepfunneled.tgz", data / "lfw", "put it there (http"):
        lfw().fingerprint()
    write_tar(data / "lfw" / "lfw-deepfunneled.tgz", faces())
    with refused("lfw: no pairs.txt in ", data / "lfw"):
        lfw().fingerprint()


def test_every_option_changes_the_fingerprint(data: Path) -> None:
    write(data / "lfw")
    changes: list[dict[str, object]] = [{"folds": 2}, {"height": 9}, {"channels": 3}, {"box": [0, 0, 9, 9]}]
    changes.append({"division": by_identity(split_seed=1)})
    assert len({lfw(**change).fingerprint() for change in ({}, *changes)}) == 6


@pytest.mark.data
def test_the_real_set_has_the_numbers_of_the_design(data: Path, real_data: Path, monkeypatch) -> None:
    monkeypatch.setenv("LOSSBENCH_DATA", str(real_data))
    dataset = lfw(folds=3, height=32, width=32).load()
    train, test = dataset.splits["train"], dataset.splits["test_open"]
    assert (len(train.names), len(train)) == (1209, 6613)
    assert (len(test.names), len(test)) == (1241, 3321)
    assert (np.bincount(test.labels) >= 2).sum() == 471
    assert len(dataset.splits["distractors"].names) == len(dataset.splits["distractors"]) == 3299
    divided = lfw(folds=3, height=32, width=32, division=by_identity(val_identities=150)).load()
    assert len(divided.splits["val_open"].names) == 150
    assert len(divided.splits["train"].names) == 1059
