"""MNIST and Fashion-MNIST from idx files as they are published, packed or not."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import pytest

from lossbench.datasets import FashionMnist, Mnist
from lossbench.datasets import files as files_module
from tests.datasets.known_files import BY_IMAGE, data, idx, write_folder
from tests.readers.samples import refused

__all__ = ["data"]

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def images(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def labels(count: int) -> np.ndarray:
    return (np.arange(count) % 10).astype(np.uint8)


def four(*, packed: bool = True, **changes: np.ndarray) -> dict[str, bytes]:
    """The files of a set of 40 rows to train on and 20 to test on."""
    arrays = {
        "train-images-idx3": images(1, 40),
        "train-labels-idx1": labels(40),
        "t10k-images-idx3": images(2, 20),
        "t10k-labels-idx1": labels(20),
    }
    arrays |= {name.replace("_", "-"): array for name, array in changes.items()}
    end = "-ubyte.gz" if packed else "-ubyte"
    return {name + end: idx(array, packed=packed) for name, array in arrays.items()}


def mnist(**changes: object) -> Mnist:
    return Mnist(**{"path": None, "division": BY_IMAGE, **changes})


def fashion(**changes: object) -> FashionMnist:
    return FashionMnist(**{"path": None, "division": BY_IMAGE, **changes})


def test_rows_come_as_they_stand_in_the_files(data: Path) -> None:
    write_folder(data / "mnist", four())
    dataset = mnist().load()
    assert dataset.name == "mnist"
    assert not dataset.open_set
    assert {role: len(split) for role, split in dataset.splits.items()} == {
        "train": 30,
        "val": 10,
        "test": 20,
    }
    assert dataset.shape == (28, 28, 1)
    test = dataset.splits["test"]
    assert test.labels.tolist() == sorted(labels(20).tolist())
    assert (test.read(slice(2))[..., 0] == images(2, 20)[[0, 10]]).all()
    found = mnist().collect()
    assert found.origin[[0, 39, 40]].tolist() == ["train/00000", "train/00039", "test/00000"]


def test_unpacked_files_give_the_same_rows(data: Path, tmp_path: Path) -> None:
    one = write_folder(tmp_path / "one", four())
    other = write_folder(tmp_path / "other", four(packed=False))
    assert mnist(path=str(one)).load().sha256 == mnist(path=str(other)).load().sha256


def test_the_two_sets_are_not_taken_for_each_other(data: Path) -> None:
    write_folder(data, four())
    write_folder(data / "mnist", four(train_images_idx3=images(7, 40)))
    write_folder(data / "fashion_mnist", four())
    assert (mnist().collect().data[0, ..., 0] == images(7, 40)[0]).all()
    assert (fashion().collect().data[0, ..., 0] == images(1, 40)[0]).all()
    assert fashion().load().splits["train"].names[:2] == ("T-shirt/top", "Trouser")


def test_missing_files_are_downloaded_one_by_one(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, asked = four(), []

    def write(remote: object, place: Path) -> None:
        asked.append(place.name)
        write_folder(place.parent, {place.name: files[place.name]})

    monkeypatch.setattr(files_module, "download", write)
    write_folder(data / "mnist", {"train-images-idx3-ubyte.gz": files["train-images-idx3-ubyte.gz"]})
    assert len(mnist().load().splits["test"]) == 20
    assert asked == [name for name in files if name != "train-images-idx3-ubyte.gz"]


def test_the_fingerprint_downloads_nothing(data: Path) -> None:
    assert mnist().fingerprint() == mnist().fingerprint() != fashion().fingerprint()


def test_a_folder_without_the_files_is_refused(data: Path, tmp_path: Path) -> None:
    with refused(f"mnist: no train-images-idx3-ubyte.gz or train-images-idx3-ubyte in {tmp_path}"):
        mnist(path=str(tmp_path)).load()
    (tmp_path / "file").touch()
    with refused("file: is a file; name the folder with the four files"):
        mnist(path=str(tmp_path / "file")).fingerprint()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"train_labels_idx1": labels(39)}, "train: 40 images, 39 labels"),
        ({"t10k_labels_idx1": labels(20) + 5}, "labels up to 14, 10 classes"),
        ({"t10k_images_idx3": labels(20)}, "t10k-images-idx3-ubyte.gz has shape (20,)"),
        ({"t10k_labels_idx1": images(1, 20)}, "t10k-labels-idx1-ubyte.gz (20, 28, 28)"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    data: Path, changes: dict[str, np.ndarray], why: str
) -> None:
    write_folder(data / "mnist", four(**changes))
    with refused(why):
        mnist().load()


@pytest.mark.data
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="the package dataset-fashion-mnist is not installed")
def test_debians_package_is_the_published_set(data: Path) -> None:
    source = fashion(path=None)
    started = time.perf_counter()
    fingerprint = source.fingerprint()
    assert time.perf_counter() - started < 1
    assert fingerprint == fashion(path=str(DEBIAN)).fingerprint()
    pinned = [remote.sha256 for remote in source.facts.remotes.values()]
    assert source.content()["files"] == pinned
    found = source.collect()
    assert found.data.shape == (70000, 28, 28, 1)
    assert np.bincount(found.labels[:60000]).tolist() == [6000] * 10
    assert np.bincount(found.labels[60000:]).tolist() == [1000] * 10
    assert found.names[found.labels[0]] == "Ankle boot"
    assert hashlib.sha256(found.data[0].tobytes()).hexdigest()[:16] == "5bd44e331a6d6998"
