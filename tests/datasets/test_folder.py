"""Your own images in folders and archives, from files to a collection and a data set."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from lossbench.datasets import Dataset, Folder, Split, image_files, load, prepared
from lossbench.datasets.decoding import Pixels

OPTIONS = {"height": 6, "width": 5, "channels": 3, "box": None, "fit": "stretch", "skip_broken": False}


@dataclass(frozen=True)
class AllTrain:
    """A division that lets every row train."""

    seed: int = 0

    def __call__(self, collection, name):
        splits = {"train": Split(collection.data, collection.labels, collection.names)}
        return Dataset(name=name, splits=splits, open_set=False, sha256=collection.sha256)


def source(path, **options):
    return Folder(path=str(path), **{**OPTIONS, "division": AllTrain(), **options})


@pytest.fixture(autouse=True)
def own(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LOSSBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def faces(tmp_path):
    """Images of all sizes, modes and orientations, with company that is none."""
    generator = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 8
    images = {
        "anna/1.png": ("RGB", {}),
        "anna/2 é.jpg": ("L", {"exif": exif}),
        "anna/deep/3.tiff": ("RGBA", {}),
        "Čapek 李/1.webp": ("RGB", {"lossless": True}),
        "Čapek 李/2.gif": ("P", {}),
        "zoe/1.JPEG": ("CMYK", {}),
    }
    for number, (name, (mode, options)) in enumerate(images.items()):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        array = generator.integers(0, 256, (7 + number, 9, 3), dtype=np.uint8)
        Image.fromarray(array).convert(mode).save(path, **options)
    for name in ("anna/._1.png", "anna/.DS_Store", "zoe/Thumbs.db", "notes.txt"):
        (tmp_path / "faces" / name).write_bytes(b"no image")
    (tmp_path / "faces" / "nobody").mkdir()
    return tmp_path / "faces"


def same(one, other):
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.origin, other.origin)
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.names, one.sha256) == (other.names, other.sha256)


def tarred(folder, path, mode, top=""):
    with tarfile.open(path, mode) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.add(file, top + str(file.relative_to(folder)), recursive=False)
    return path


def zipped(folder, path, top=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, top + str(file.relative_to(folder)))
    return path


def test_every_image_is_decoded_and_named(faces):
    found = source(faces).collect()
    origin = [
        "anna/1.png",
        "anna/2 é.jpg",
        "anna/deep/3.tiff",
        "zoe/1.JPEG",
        "Čapek 李/1.webp",
        "Čapek 李/2.gif",
    ]
    assert found.origin.tolist() == origin
    assert found.names == ("anna", "zoe", "Čapek 李")
    assert found.labels.tolist() == [0, 0, 0, 1, 2, 2]
    assert found.data.shape == (6, 6, 5, 3)
    assert isinstance(found.data, np.memmap)
    assert not found.data.flags.writeable
    assert found.given is None
    pixels = Pixels(height=6, width=5, channels=3)
    for name, row in zip(origin, found.data, strict=True):
        np.testing.assert_array_equal(row, pixels.decode((faces / name).read_bytes()))


def test_archives_are_twins_of_the_folder(faces, tmp_path):
    expected = source(faces).collect()
    for path in (
        tarred(faces, tmp_path / "plain.tar", "w"),
        tarred(faces, tmp_path / "faces.tar.gz", "w:gz", top="faces/"),
        tarred(faces, tmp_path / "faces.tgz", "w:gz", top="./all/faces/"),
        zipped(faces, tmp_path / "plain.zip"),
        zipped(faces, tmp_path / "faces.zip", top="faces/"),
    ):
        same(source(path).collect(), expected)


def test_the_store_is_used_again_and_is_the_same_every_time(faces, own, monkeypatch):
    first = source(faces).collect()
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "chunks", lambda *_, **__: pytest.fail("decoded again"))
        same(source(faces).collect(), first)
        same(source(faces, skip_broken=True, division=AllTrain(1)).collect(), first)
    with monkeypatch.context() as patch:
        patch.setenv("LOSSBENCH_CACHE", str(own / "other"))
        same(source(faces).collect(), first)
        patch.setenv("LOSSBENCH_CACHE", "/proc/none")
        same(source(faces).collect(), first)


def test_an_archive_that_is_prepared_is_not_listed_again(faces, tmp_path, monkeypatch):
    path = tarred(faces, tmp_path / "faces.tar.gz", "w:gz")
    first = source(path).collect()
    monkeypatch.setattr("lossbench.datasets.folders.list_files", lambda _: pytest.fail("listed again"))
    source(path).fingerprint()
    same(source(path).collect(), first)


def test_the_name_is_that_of_the_folder_or_archive(faces, tmp_path, monkeypatch):
    assert source(faces).load().name == "faces"
    assert source(tarred(faces, tmp_path / "my.faces.tar.gz", "w:gz")).load().name == "my.faces"
    assert source(zipped(faces, tmp_path / "zip.zip")).load().name == "zip"
    monkeypatch.chdir(faces)
    assert source(".").load().name == "faces"


def test_fingerprints_follow_files_options_and_division(faces, tmp_path):
    def prints():
        yield source(faces).fingerprint()
        for option in ({"height": 7}, {"channels": 1}, {"box": [0, 0, 4, 4]}, {"fit": "cover"}):
            yield source(faces, **option).fingerprint()
        yield source(faces, division=AllTrain(1)).fingerprint()
        yield source(tarred(faces, tmp_path / "a.tar", "w")).fingerprint()
        (faces / "anna/1.png").rename(faces / "anna/4.png")
        yield source(faces).fingerprint()
        os.utime(faces / "anna/4.png", ns=(1, 1))
        yield source(faces).fingerprint()
        yield source(tarred(faces, tmp_path / "a.tar", "w")).fingerprint()

    found = list(prints())
    assert len(set(found)) == len(found)
    before = source(faces).fingerprint()
    (faces / "anna/notes.txt").write_text("other files do not count")
    assert source(faces, skip_broken=True).fingerprint() == before
    assert source(f"{faces}/../faces").fingerprint() == before


def test_other_files_are_counted(faces, tmp_path):
    for path in (faces, zipped(faces, tmp_path / "a.zip")):
        made = source(path)
        stored = prepared.prepared(made._name(), made._key(), made._plan)
        assert stored.facts == {"images": 6, "passed_over": 4, "broken": {}}


def test_broken_images_are_named_or_left_out(faces, tmp_path):
    for number in range(7):
        (faces / f"zoe/b{number}.png").write_bytes(b"\x89PNG no more")
    (faces / "gone").mkdir()
    (faces / "gone/1.png").write_bytes(b"")
    for path in (faces, zipped(faces, tmp_path / "faces.zip")):
        for _ in range(2):
            with pytest.raises(
                ValueError, match=r"8 of 14 images are broken: gone/1\.png, zoe/b0\.png"
            ) as raised:
                source(path).collect()
            told = str(raised.value)
            assert told.count(".png") == 5
            assert told.endswith("dataset.source.skip_broken=true leaves them out")
            assert "\n" not in told
        found = source(path, skip_broken=True).collect()
        assert found.names == ("anna", "zoe", "Čapek 李")
        assert len(found) == 6
    for file in faces.rglob("*.*"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="14 of 14 images are broken"):
        source(faces, skip_broken=True).collect()


def test_what_one_job_leaves_out_the_next_one_refuses(faces):
    (faces / "zoe/2.png").write_bytes(b"\x89PNG no more")
    for _ in range(2):
        spared = load(source(faces, skip_broken=True))
        assert spared.facts["broken"] == 1
        assert load(source(faces, skip_broken=True)) is spared
        with pytest.raises(ValueError, match=r"1 of 7 images are broken: zoe/2\.png"):
            load(source(faces))


def test_roles_above_the_identities_are_prescribed(faces, tmp_path):
    root = tmp_path / "roles"
    root.mkdir()
    (root / "train").symlink_to(faces)
    (root / "valid").symlink_to(faces)
    for path in (root, zipped(faces, tmp_path / "t.zip", top="all/test/")):
        found = source(path).collect()
        assert found.names == ("anna", "zoe", "Čapek 李")
        expected = ["train"] * 6 + ["val"] * 6 if path == root else ["test"] * 6
        assert found.given.tolist() == expected


def test_paths_without_identities_are_refused_in_one_line(faces, tmp_path, monkeypatch):
    (tmp_path / "one/anna").mkdir(parents=True)
    held = io.BytesIO()
    Image.new("RGB", (4, 4)).save(held, "PNG")
    (tmp_path / "one/anna/1.png").write_bytes(held.getvalue())
    (tmp_path / "empty").mkdir()
    for path, why in (
        (tmp_path / "nowhere", "no such folder or archive"),
        (tmp_path / "empty", "no images in"),
        (faces / "anna/1.png", "damaged, or no tar or zip"),
        (tmp_path / "one", "all images are of one identity, anna"),
    ):
        with pytest.raises(ValueError, match=why) as raised:
            source(path).collect()
        assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="no such folder or archive"):
        source(tmp_path / "nowhere").fingerprint()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(source("~/faces").collect()) == 6


@pytest.mark.parametrize(
    "option", [{"height": 0}, {"channels": 2}, {"fit": "crop"}, {"box": [1, 2]}], ids=str
)
def test_options_are_checked_before_anything_is_read(option):
    ((name, _),) = option.items()
    with pytest.raises(ValueError, match=f"^{name}="):
        source("nowhere", **option)


@pytest.mark.parametrize("name", ["folder", "csv"])
def test_the_options_that_ship_make_an_open_set(tmp_path, name):
    generator = np.random.default_rng(0)
    lines = ["path,label"]
    for number in range(48):
        path = tmp_path / "faces" / f"p{number // 4}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
        lines.append(f"{path.relative_to(tmp_path)},p{number // 4}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    body = OmegaConf.load(Path(__file__).parents[2] / "conf" / "dataset" / f"{name}.yaml")
    body.path = str(tmp_path / {"folder": "faces", "csv": "list.csv"}[name])
    config = OmegaConf.create({"dataset": body}).dataset
    dataset = instantiate(config.source).load()
    assert (dataset.name, dataset.shape, dataset.open_set) == (Path(body.path).stem, (32, 32, 3), True)
    assert {role: len(split) for role, split in dataset.splits.items()} == {
        **{"train": 12, "val": 6, "test": 6},
        **{"val_open": 4, "test_open": 20},
    }
    images = torch.rand(2, 3, 32, 32)
    assert instantiate(config.augment)(images, torch.Generator()).shape == images.shape


@pytest.mark.data
@pytest.mark.skipif("LOSSBENCH_DATA" not in os.environ, reason="LOSSBENCH_DATA is not set")
def test_all_of_lfw_is_found_in_its_archive():
    path = Path(os.environ["LOSSBENCH_DATA"]) / "lfw" / "lfw_deepfunneled_crop144.tar.gz"
    found = source(path, height=8, width=8, channels=1).collect()
    assert (len(found), len(found.names)) == (13233, 5749)
    assert sum(np.bincount(found.labels) >= 2) == 1680


def test_files_of_equal_sizes_and_times_are_told_apart_by_their_contents(tmp_path):
    prints = []
    for colour in ("red", "blue"):
        file = tmp_path / colour / "faces" / "anna" / "1.bmp"
        file.parent.mkdir(parents=True)
        Image.new("RGB", (9, 9), colour).save(file)
        os.utime(file, (0, 0))
        prints.append(source(tmp_path / colour / "faces").fingerprint())
    assert prints[0] != prints[1]


def test_a_damaged_member_of_a_zip_is_one_broken_image(tmp_path):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for person in "ab":
            for number in range(3):
                buffer = io.BytesIO()
                Image.new("RGB", (9, 9), (50 * number, 0, ord(person))).save(buffer, "BMP")
                archive.writestr(f"{person}/{number}.bmp", buffer.getvalue())
    data = bytearray(path.read_bytes())
    data[data.index(b"BM") + 60] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"1 of 6 images are broken: a/0\.bmp"):
        source(path).collect()
    spared = source(path, skip_broken=True)
    assert len(spared.collect()) == 5
    assert spared.load().facts["broken"] == 1


def test_roles_beside_other_folders_are_no_identities(tmp_path):
    for name in ("train/a", "test/b", "junk/c", "more/d"):
        file = tmp_path / "faces" / name / "1.png"
        file.parent.mkdir(parents=True)
        Image.new("L", (9, 9)).save(file)
    with pytest.raises(ValueError, match="beside its folders train and test stands junk"):
        source(tmp_path / "faces").collect()
