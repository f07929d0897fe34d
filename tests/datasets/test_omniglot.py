"""Omniglot from the official zips, one archive or folders: who is in which role, and the turns."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lossbench.datasets import Omniglot
from lossbench.datasets import files as files_module
from tests.datasets.known_files import by_identity, data, real_data, write_folder, write_tar, write_zip
from tests.readers.samples import refused

__all__ = ["data", "real_data"]

BACKGROUND = ("Braille", "Greek", "Latin", "N_Ko")
EVALUATION = ("Angelic", "Tengwar")
DRAWERS = 4


def drawing(seed: int) -> np.ndarray:
    """(105, 105) bool, true where there is ink."""
    return np.random.default_rng(seed).random((105, 105)) < 0.2


def png(ink: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(~ink).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def half(name: str) -> dict[str, bytes]:
    """Two characters of each alphabet, drawn by four people each."""
    alphabets = BACKGROUND if name == "images_background" else EVALUATION
    return {
        f"{name}/{alphabet}/character{character:02}/{character:04}_{drawer:02}.png": png(
            drawing(hash_of(alphabet, character, drawer))
        )
        for alphabet in alphabets
        for character in (1, 2)
        for drawer in range(1, DRAWERS + 1)
    }


def hash_of(alphabet: str, character: int, drawer: int) -> int:
    return 100 * (BACKGROUND + EVALUATION).index(alphabet) + 10 * character + drawer


def write(folder: Path) -> Path:
    for name in ("images_background", "images_evaluation"):
        write_zip(folder / f"{name}.zip", half(name))
    return folder


def omniglot(**changes: object) -> Omniglot:
    options = {"path": None, "val_alphabets": 1, "rotations": False, "side": 28, "division": by_identity()}
    return Omniglot(**{**options, **changes})


def alphabets(names: tuple[str, ...]) -> set[str]:
    return {name.partition("/")[0] for name in names}


def test_alphabets_have_one_role_each(data: Path) -> None:
    write(data / "omniglot")
    dataset = omniglot().load()
    splits = dataset.splits
    assert dataset.open_set
    assert dataset.name == "omniglot"
    assert {role: len(split) for role, split in splits.items()} == {
        "train": 24,
        "val_open": 8,
        "test_open": 16,
    }
    assert alphabets(splits["test_open"].names) == set(EVALUATION)
    assert len(alphabets(splits["val_open"].names)) == 1
    assert alphabets(splits["train"].names) | alphabets(splits["val_open"].names) == set(BACKGROUND)


def test_more_validation_alphabets_are_added_to_fewer(data: Path) -> None:
    write(data / "omniglot")
    one, two = (omniglot(val_alphabets=n).load().splits["val_open"].names for n in (1, 2))
    assert set(one) < set(two)
    assert "val_open" not in omniglot(val_alphabets=0).load().splits


def test_pixels_are_the_mean_ink_of_their_part(data: Path) -> None:
    write(data / "omniglot")
    found = omniglot(side=35).collect()
    row = found.origin.tolist().index("images_evaluation/Tengwar/character02/0002_03.png")
    ink = drawing(hash_of("Tengwar", 2, 3)).reshape(35, 3, 35, 3).mean((1, 3)) * 255
    assert np.abs(found.data[row, ..., 0] - ink).max() <= 0.5
    assert found.names[found.labels[row]] == "Tengwar/character02"
    whole = omniglot(side=105).collect()
    assert (whole.data[row, ..., 0] == 255 * drawing(hash_of("Tengwar", 2, 3))).all()


def test_training_characters_alone_are_turned(data: Path) -> None:
    write(data / "omniglot")
    plain, turned = omniglot().load().splits, omniglot(rotations=True).load().splits
    assert len(turned["train"].names) == 4 * len(plain["train"].names)
    for role in ("val_open", "test_open"):
        assert turned[role].names == plain[role].names
    found = omniglot(rotations=True).collect()
    rows = {origin: row for row, origin in enumerate(found.origin.tolist())}
    name = next(origin for origin in rows if origin.endswith(" turned 90")).removesuffix(" turned 90")
    upright = found.data[rows[name]]
    for turns, degrees in enumerate((90, 180, 270), 1):
        row = rows[f"{name} turned {degrees}"]
        assert (found.data[row] == np.rot90(upright, turns)).all()
        assert found.names[found.labels[row]].endswith(f" turned {degrees}")


def test_drawers_are_held_out_of_each_training_character(data: Path) -> None:
    write(data / "omniglot")
    splits = omniglot(division=by_identity(val_images=1, test_images=1)).load().splits
    assert [len(splits[role]) for role in ("train", "val", "test")] == [12, 6, 6]
    assert len(splits["test_open"]) == 16


def test_one_archive_and_folders_give_the_same_rows(data: Path, tmp_path: Path) -> None:
    write(tmp_path / "zips")
    both = half("images_background") | half("images_evaluation")
    archive = write_tar(tmp_path / "all.tar.gz", {f"omniglot/{name}": file for name, file in both.items()})
    write_folder(tmp_path / "folders", both)
    digests = {
        omniglot(path=str(path)).load().sha256 for path in (tmp_path / "zips", archive, tmp_path / "folders")
    }
    assert len(digests) == 1


def test_half_of_the_set_is_refused(data: Path, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "images_background.zip", half("images_background"))
    with refused(path, "expected drawings in images_background and in images_evaluation"):
        omniglot(path=str(path)).load()
    with refused("omniglot: no ", "images_evaluation.zip", tmp_path):
        omniglot(path=str(tmp_path)).fingerprint()


def test_a_broken_drawing_is_named(data: Path) -> None:
    write(data / "omniglot")
    broken = half("images_evaluation") | {"images_evaluation/Angelic/character01/0001_01.png": b"no image"}
    path = write_zip(data / "omniglot" / "images_evaluation.zip", broken)
    with refused(path, "Angelic/character01/0001_01.png", "cannot be read as an image"):
        omniglot().load()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"val_alphabets": 30}, "val_alphabets=30: must be a whole number in [0, 29]"),
        ({"val_alphabets": 0.5}, "val_alphabets=0.5"),
        ({"side": 106}, "side=106: must be a whole number in [8, 105]"),
        ({"rotations": 1}, "rotations=1: must be true or false"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, object], why: str) -> None:
    with refused(why):
        omniglot(**changes)


def test_some_alphabet_must_train(data: Path) -> None:
    write(data / "omniglot")
    with refused("val_alphabets=4: of 4 none is left to train on"):
        omniglot(val_alphabets=4).load()


def test_every_option_changes_the_fingerprint_and_nothing_is_downloaded(data: Path) -> None:
    changes: list[dict[str, object]] = [{"val_alphabets": 2}, {"rotations": True}, {"side": 32}]
    changes.append({"division": by_identity(split_seed=1)})
    prints = {omniglot(**change).fingerprint() for change in ({}, *changes)}
    assert len(prints) == 5


def test_what_is_not_there_is_downloaded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(remote: object, place: Path) -> None:
        write_zip(place, half(place.stem))

    monkeypatch.setattr(files_module, "download", fetch)
    assert len(omniglot().load().splits["test_open"]) == 16


@pytest.mark.data
def test_the_real_set_has_its_published_numbers(data: Path, real_data: Path) -> None:
    plan = omniglot(path=str(real_data / "omniglot"), val_alphabets=5).plan()
    given, labels = plan.columns["given"], plan.columns["labels"]
    counts = {role: (int((given == role).sum()), len(set(labels[given == role]))) for role in set(given)}
    assert counts["test"] == (13180, 659)
    assert counts["val"] == (2740, 137)
    assert counts["train"] == (19280 - 2740, 964 - 137)
    names = [plan.names[label] for label in sorted(set(labels[given == "val"]))]
    assert alphabets(tuple(names)) == {
        "Alphabet_of_the_Magi",
        "Korean",
        "Malay_(Jawi_-_Arabic)",
        "Ojibwe_(Canadian_Aboriginal_Syllabics)",
        "Syriac_(Estrangelo)",
    }


@pytest.mark.data
@pytest.mark.slow
def test_every_drawing_is_as_other_code_made_it(data: Path, real_data: Path) -> None:
    found = omniglot(path=str(real_data / "omniglot")).collect()
    with np.load(real_data / "omniglot" / "omniglot.npz") as known:
        names, drawers, images = known["class_names"][known["label"]], known["drawer"], known["images28"]
    expected = {
        f"{name} {drawer:02}": image for name, drawer, image in zip(names, drawers, images, strict=True)
    }
    assert len(found) == len(expected) == 32460
    for origin, image in zip(found.origin, found.data, strict=True):
        character, _, file = origin.rpartition("/")
        assert (expected[f"{character} {file[5:7]}"] == image[..., 0]).all()
