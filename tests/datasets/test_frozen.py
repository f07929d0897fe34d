"""Embeddings from files as a data set: rows, roles and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors.numpy import save_file

from lossbench.datasets import Embeddings
from lossbench.datasets.division import ByIdentity, ByImage
from tests.readers.samples import refused

DIVISION = ByIdentity(
    val_identities=1, test_identities=2, val_images=1, test_images=1, least_images=2, split_seed=0
)
NAMES = ("ann", "bob", "cid", "dan", "eve")
LABELS = [name for name in NAMES for _ in range(5)]
ROWS = np.random.default_rng(0).normal(size=(len(LABELS), 3)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, ROWS)
    np.savez(tmp_path / "both.npz", embeddings=ROWS, labels=np.array(LABELS))
    save_file({"embeddings": ROWS, "labels": np.arange(len(LABELS)) // 5}, tmp_path / "both.safetensors")
    return tmp_path


def write(folder, rows, labels=LABELS):
    np.save(folder / "rows.npy", rows)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))


def source(folder, path="rows.npy", labels="labels.txt", split=None, division=DIVISION):
    full = {"path": path, "labels": labels, "split": split}
    full = {key: name and str(folder / name) for key, name in full.items()}
    return Embeddings(**full, division=division)


def test_rows_of_an_npy_file_are_mapped_with_their_labels(folder):
    found = source(folder).collect()
    assert isinstance(found.data, np.memmap)
    assert np.array_equal(found.data, ROWS)
    assert [found.names[label] for label in found.labels] == LABELS
    assert found.origin.tolist()[9:11] == ["09", "10"]
    assert found.given is None


@pytest.mark.parametrize(("path", "names"), [("both.npz", NAMES), ("both.safetensors", tuple("01234"))])
def test_an_archive_holds_rows_and_labels(folder, path, names):
    found = source(folder, path, None).collect()
    assert np.array_equal(found.data, ROWS)
    assert found.names == names


def test_by_default_nobody_trains_on_the_identities_that_are_verified(folder):
    dataset = source(folder).load()
    assert dataset.name == "rows"
    assert dataset.open_set
    assert {role: len(split) for role, split in dataset.splits.items()} == {
        "train": 6, "val": 2, "test": 2, "val_open": 5, "test_open": 10
    }  # fmt: skip
    assert dataset.shape == (3,)
    for split in dataset.splits.values():
        names = [split.names[label] for label in split.labels]
        assert names == [LABELS[row] for row in split.rows]
        assert np.array_equal(split.read(slice(None)), ROWS[split.rows])


def test_a_file_of_roles_prescribes_who_goes_where(folder):
    roles = ["train", "train", "train", "val", "test"] * 5
    (folder / "split.txt").write_text("\n".join(roles))
    division = ByImage(val_fraction=0.2, test_fraction=0.2, split_seed=0)
    dataset = source(folder, split="split.txt", division=division).load()
    for role, split in dataset.splits.items():
        assert {roles[row] for row in split.rows} == {role}


@pytest.mark.parametrize(
    ("stored", "kept"),
    [(np.float16, np.float16), (np.float32, np.float32), (np.float64, np.float32), (">f4", np.float32)],
)
def test_numbers_have_at_most_32_bits(folder, stored, kept):
    write(folder, ROWS.astype(stored))
    found = source(folder).collect()
    assert found.data.dtype == kept
    assert np.array_equal(found.data, ROWS.astype(stored).astype(kept))


def test_a_number_beyond_float32_is_refused(folder):
    write(folder, ROWS.astype(np.float64) * 1e39)
    with refused("rows.npy: holds numbers beyond float32"):
        source(folder).collect()


def test_distractors_are_refused(folder):
    write(folder, ROWS, [*LABELS[:20], *["-1"] * 5])
    with refused("labels.txt: 5 rows are labelled as distractors (-1), the first is row 20"):
        source(folder).collect()


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        ("train\nval", "split.txt: 2 roles for 25 rows"),
        ("train\nvalid\n", "split.txt:2: valid: expected train, val, test or nothing"),
        ("train\n\0", "split.txt:2: line holds a NUL byte"),
    ],
)
def test_roles_that_are_unknown_or_too_few_are_refused(folder, roles, told):
    (folder / "split.txt").write_text(roles)
    with refused(told):
        source(folder, split="split.txt").collect()


def test_an_empty_line_prescribes_nothing(folder):
    (folder / "split.txt").write_text("test\n" + "\n" * 24)
    assert source(folder, split="split.txt").collect().given.tolist() == ["test"] + [""] * 24


@pytest.mark.parametrize("which", ["path", "labels", "split"])
@pytest.mark.parametrize("method", ["fingerprint", "load"])
def test_a_missing_file_is_named(folder, which, method):
    with refused(folder / "nowhere", "no such file"):
        getattr(source(folder, **{which: "nowhere"}), method)()


def test_a_pickle_is_never_run(folder):
    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(folder / "ran"),))

    np.save(folder / "rows.npy", np.array([[Harmful()]], dtype=object), allow_pickle=True)
    with refused("rows.npy"):
        source(folder).collect()
    assert not (folder / "ran").exists()


def test_the_fingerprint_changes_with_files_and_division_and_not_with_the_place(folder):
    one = source(folder).fingerprint()
    (folder / "deeper").mkdir()
    for name in ("rows.npy", "labels.txt"):
        (folder / name).rename(folder / "deeper" / name)
    deeper = folder / "deeper"
    assert source(deeper).fingerprint() == one
    other = ByIdentity(**{**vars(DIVISION), "split_seed": 1})
    found = {source(deeper, division=other).fingerprint(), source(deeper, labels=None).fingerprint()}
    # the same file as labels and as roles must not be taken for one another
    found |= {source(deeper, labels=None, split="labels.txt").fingerprint()}
    write(deeper, ROWS, LABELS[::-1])
    found |= {source(deeper).fingerprint()}
    assert len(found - {one}) == 4


def test_the_sha256_is_that_of_rows_labels_and_names_whatever_the_format(folder):
    one, other = source(folder).collect(), source(folder, "both.npz", None).collect()
    assert one.sha256 == other.sha256
    write(folder, ROWS, [*LABELS[1:], "ann"])
    assert source(folder).collect().sha256 != one.sha256


def test_the_yaml_makes_this_source(folder):
    body = OmegaConf.load(Path(__file__).parents[2] / "conf" / "dataset" / "embeddings.yaml")
    config = OmegaConf.create({"dataset": body.dataset})
    config.dataset.path = str(folder / "both.npz")
    made = instantiate(config.dataset.source)
    assert isinstance(made, Embeddings)
    assert made.load().shape == (3,)
