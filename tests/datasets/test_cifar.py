"""CIFAR-10 and CIFAR-100 from archives as they are published, and CIFAR-10 from JPEGs."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import pytest

from lossbench.datasets import Cifar10, Cifar100
from lossbench.datasets import files as files_module
from tests.datasets.known_files import BY_IMAGE, data, real_data, write_folder, write_tar
from tests.readers.python2 import python2_pickle
from tests.readers.samples import encoded, pixels, refused

__all__ = ["data", "real_data"]

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TEN = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def rows(seed: int, count: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def ten(**changes: bytes) -> dict[str, bytes]:
    """Files of CIFAR-10: six batches, with two rows of each class in each."""
    labels = list(range(10)) * 2
    batches = {name: python2_pickle({"labels": labels, "data": rows(seed)}) for seed, name in enumerate(TEN)}
    meta = {"batches.meta": python2_pickle({"num_vis": 3072, "label_names": NAMES})}
    return {f"cifar-10-batches-py/{name}": file for name, file in {**batches, **meta, **changes}.items()}


def hundred() -> dict[str, bytes]:
    """Files of CIFAR-100: four fine classes in two coarse ones, the names in no order."""
    labels = {"fine_labels": [0, 1, 2, 3] * 5, "coarse_labels": [0, 0, 1, 1] * 5}
    train, test = ({**labels, "data": rows(seed)} for seed in (1, 2))
    meta = {"fine_label_names": ["wolf", "ant", "cup", "bed"], "coarse_label_names": ["beasts", "articles"]}
    files = {"train": train, "test": test, "meta": meta}
    return {f"cifar-100-python/{name}": python2_pickle(value) for name, value in files.items()}


def jpegs() -> dict[str, bytes]:
    """Three classes, three images each to train on, one to test on."""
    members = [(role, name, i) for role in ("train", "test") for name in NAMES[:3] for i in range(3)]
    members = [member for member in members if member[0] == "train" or member[2] == 0]
    images = {member: encoded(pixels(seed, 32)) for seed, member in enumerate(members)}
    return {f"cifar10/{role}/{name}/{i:04}.jpg": image for (role, name, i), image in images.items()}


def cifar10(**changes: object) -> Cifar10:
    return Cifar10(**{"path": None, "division": BY_IMAGE, **changes})


def cifar100(**changes: object) -> Cifar100:
    return Cifar100(**{"path": None, "labels": "fine", "division": BY_IMAGE, **changes})


def test_the_official_archive_is_read_and_its_test_split_kept(data: Path) -> None:
    write_tar(data / "cifar10" / "cifar-10-python.tar.gz", ten())
    dataset = cifar10().load()
    assert dataset.name == "cifar10"
    assert not dataset.open_set
    assert dataset.splits["train"].names == tuple(NAMES)
    assert {role: len(split) for role, split in dataset.splits.items()} == {
        "train": 80,
        "val": 20,
        "test": 20,
    }
    test = dataset.splits["test"]
    expected = rows(5)[[0, 10]].reshape(2, 3, 32, 32).transpose(0, 2, 3, 1)
    assert (test.read(np.flatnonzero(test.labels == 0)) == expected).all()


def test_rows_tell_their_batch(data: Path) -> None:
    write_tar(data / "cifar-10-python.tar.gz", ten())
    found = cifar10().collect()
    assert found.origin[[0, 21, 119]].tolist() == [
        "data_batch_1/00000",
        "data_batch_2/00001",
        "test_batch/00019",
    ]
    assert found.given is not None
    assert found.given[[0, 99, 100]].tolist() == ["train", "train", "test"]


def test_unpacked_batches_give_the_same_rows(data: Path, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a" / "cifar-10-python.tar.gz", ten())
    write_folder(tmp_path / "b", ten())
    packed, unpacked = cifar10(path=str(archive)).load(), cifar10(path=str(tmp_path / "b")).load()
    assert packed.sha256 == unpacked.sha256
    assert unpacked.name == "cifar10"


def test_fine_and_coarse_classes_are_sorted_by_name(data: Path) -> None:
    write_tar(data / "cifar100" / "cifar-100-python.tar.gz", hundred())
    fine, coarse = cifar100().load(), cifar100(labels="coarse").load()
    assert fine.splits["train"].names == ("ant", "bed", "cup", "wolf")
    assert coarse.splits["train"].names == ("articles", "beasts")
    assert (fine.name, coarse.name) == ("cifar100", "cifar100-coarse")
    wolves = fine.splits["test"].read(np.flatnonzero(fine.splits["test"].labels == 3))
    assert (wolves == rows(2)[::4].reshape(5, 3, 32, 32).transpose(0, 2, 3, 1)).all()
    assert cifar100().fingerprint() != cifar100(labels="coarse").fingerprint()


def test_jpegs_are_another_data_set(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tar(data / "cifar10" / "cifar10_jpg.tar.gz", jpegs())
    with caplog.at_level(logging.WARNING):
        dataset = cifar10().load()
    assert dataset.name == "cifar10-jpeg"
    assert dataset.splits["train"].names == ("airplane", "automobile", "bird")
    assert "recorded as cifar10-jpeg" in caplog.text
    write_tar(data / "cifar10" / "cifar-10-python.tar.gz", ten())
    assert cifar10().name == "cifar10"


def test_a_folder_of_jpegs_is_read_where_the_path_says(data: Path, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "mine.tar", jpegs())
    write_folder(tmp_path / "x", jpegs())
    folder = (tmp_path / "x" / "cifar10").rename(tmp_path / "x" / "CIFAR-10-images").parent
    places = (archive, folder, folder / "CIFAR-10-images")
    found = [cifar10(path=str(place)).load() for place in places]
    assert {dataset.name for dataset in found} == {"cifar10-jpeg"}
    assert len({dataset.sha256 for dataset in found}) == 1


def test_jpegs_without_a_test_split_are_refused(data: Path, tmp_path: Path) -> None:
    members = {name: image for name, image in jpegs().items() if "/train/" in name}
    archive = write_tar(tmp_path / "mine.tar.gz", members)
    with refused(archive, "expected folders train and test"):
        cifar10(path=str(archive)).load()


def test_the_official_archive_is_known_by_its_bytes(data: Path, tmp_path: Path, monkeypatch) -> None:
    archive = write_tar(tmp_path / "renamed.tgz", ten())
    known = cifar10().facts.remotes["cifar-10-python.tar.gz"]
    monkeypatch.setattr(files_module, "content_key", lambda *_: known.sha256)
    assert cifar10(path=str(archive)).name == "cifar10"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"batches.meta": python2_pickle({"label_names": NAMES[:9]})}, "data_batch_1: label 9, but 9 names"),
        ({"data_batch_3": b"cos\nsystem\n."}, "data_batch_3: byte 0: the pickle names os.system"),
        ({"test_batch": python2_pickle({"labels": [], "data": [1]})}, "test_batch: data is no array"),
    ],
)
def test_a_broken_archive_is_one_line(data: Path, changes: dict[str, bytes], why: str) -> None:
    path = write_tar(data / "cifar-10-python.tar.gz", ten(**changes))
    with refused(path, why):
        cifar10().load()


def test_an_archive_without_a_batch_is_refused(data: Path) -> None:
    files = ten()
    del files["cifar-10-batches-py/data_batch_4"]
    path = write_tar(data / "cifar-10-python.tar.gz", files)
    with refused(path, "holds no data_batch_4"):
        cifar10().load()


def test_a_folder_without_it_is_not_made_up_for_by_a_download(data: Path, tmp_path: Path) -> None:
    with refused(f"cifar100: no cifar-100-python.tar.gz or cifar-100-python in {tmp_path}"):
        cifar100(path=str(tmp_path)).fingerprint()


def test_labels_are_fine_or_coarse() -> None:
    with refused("labels=medium: must be fine or coarse"):
        cifar100(labels="medium")


def test_the_fingerprint_downloads_nothing_and_is_that_of_the_download(data: Path) -> None:
    assert cifar10().fingerprint() == cifar10().fingerprint()
    before = cifar10().fingerprint()
    write_tar(data / "cifar10" / "cifar-10-python.tar.gz", ten())
    assert cifar10().fingerprint() != before  # other bytes than those pinned


def test_the_division_counts(data: Path) -> None:
    other = type(BY_IMAGE)(val_fraction=0.5, test_fraction=0.0, split_seed=0)
    assert cifar10().fingerprint() != cifar10(division=other).fingerprint()


@pytest.mark.data
def test_the_jpegs_are_found_and_known_fast(data: Path, real_data: Path) -> None:
    source = cifar10(path=str(real_data / "cifar10" / "cifar10_jpg.tar.gz"))
    assert source.name == "cifar10-jpeg"
    started = time.perf_counter()
    assert len(source.fingerprint()) == 64
    assert time.perf_counter() - started < 1


@pytest.mark.data
@pytest.mark.slow
def test_all_jpegs_are_read(data: Path, real_data: Path) -> None:
    dataset = cifar10(path=str(real_data / "cifar10" / "cifar10_jpg.tar.gz")).load()
    sizes = {role: len(split) for role, split in dataset.splits.items()}
    assert sizes == {"train": 37500, "val": 12500, "test": 10000}
    assert dataset.splits["train"].names == tuple(NAMES)
    train = dataset.splits["train"]
    assert np.bincount(train.labels).tolist() == [3750] * 10
    rows_of_train = np.sort(np.concatenate([dataset.splits[role].rows for role in ("train", "val")]))
    mean = train.data[rows_of_train].mean((0, 1, 2)) / 255
    assert mean == pytest.approx([0.49125, 0.48209, 0.44652], abs=1e-5)  # measured once, with other code
