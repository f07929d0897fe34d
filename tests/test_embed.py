"""Embeddings of a folder of images by a trained run."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from lossbench import build
from lossbench.embed import main
from lossbench.evaluate_splits import embed
from lossbench.readers import write_pairs_bin
from lossbench.run import run
from lossbench.trained import load_run
from tests.test_config import resolved

QUICK = ("dataset=digits", "trainer=smoke", "logger=none", "figures=false", "progress=false", "device=cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return run(*resolved(*QUICK, "backbone=mlp", "loss=amsoftmax", f"run_root={root}"))


@pytest.fixture
def photographs(finished, tmp_path):
    """The test images of the run as files, with company that is no image."""
    data = build.make_data(finished.record.config, torch.device("cpu"))
    rows, labels = data.rows("test")
    for number, (image, label) in enumerate(zip(rows[:40], labels[:40].tolist(), strict=True)):
        path = tmp_path / "photographs" / f"person {label}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    for name in ("._000.png", "Thumbs.db", ".DS_Store"):
        (path.parent / name).write_bytes(b"no image")
    (tmp_path / "photographs" / "readme.txt").write_text("no image either")
    return tmp_path / "photographs"


def test_images_in_files_get_the_embeddings_that_the_run_gives_them(finished, photographs, tmp_path, capsys):
    assert main([str(finished.folder), str(photographs), "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "40 images of 10 identities, 64 numbers each" in out
    assert "passed over, no images: 4 files" in out
    found = np.load(tmp_path / "out" / "embeddings.npy")
    labels = (tmp_path / "out" / "labels.txt").read_text().splitlines()
    images = (tmp_path / "out" / "images.txt").read_text().splitlines()
    assert [image.split("/")[0] for image in images] == labels
    data = build.make_data(finished.record.config, torch.device("cpu"))
    module = load_run(finished.folder, data).eval()
    rows, target = data.rows("test")
    expected = {
        (f"person {label}", number): row
        for number, (row, label) in enumerate(
            zip(embed(module.backbone, rows[:40], precision="fp32"), target[:40].tolist(), strict=True)
        )
    }
    order = sorted(expected)
    assert labels == [identity for identity, _ in order]
    assert np.allclose(found, np.stack([expected[key].numpy() for key in order]), atol=1e-5)


def test_an_archive_of_the_images_gives_the_same(finished, photographs, tmp_path, capsys):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for file in sorted(photographs.rglob("*.*"), reverse=True):
            archive.add(file, file.relative_to(tmp_path))
    for path, out in ((photographs, "folder"), (tmp_path / "a.tar.gz", "archive")):
        assert main([str(finished.folder), str(path), "--out", str(tmp_path / out)]) == 0
    assert "passed over, no images: 4 files" in capsys.readouterr().out.splitlines()[-2]
    for name in ("labels.txt", "images.txt"):
        assert (tmp_path / "archive" / name).read_bytes() == (tmp_path / "folder" / name).read_bytes()
    one, other = (np.load(tmp_path / out / "embeddings.npy") for out in ("folder", "archive"))
    assert np.allclose(one, other, atol=1e-5)


def test_images_are_cut_as_those_the_run_was_trained_on(tmp_path):
    generator = np.random.default_rng(0)
    for identity in range(6):
        for number in range(4):
            path = tmp_path / "faces" / f"p{identity}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 255, (20, 40, 3), np.uint8)).save(path)
    words = ("dataset=folder", f"dataset.path={tmp_path / 'faces'}", "dataset.source.box=[2,0,36,18]")
    words += ("dataset.height=16", "dataset.width=16", "dataset.division.val_images=0", "backbone=mlp")
    trained = run(*resolved(*QUICK[1:], *words, f"run_root={tmp_path / 'runs'}"))
    assert main([str(trained.folder), str(tmp_path / "faces"), "--out", str(tmp_path / "out")]) == 0
    found = np.load(tmp_path / "out" / "embeddings.npy")
    data = build.make_data(trained.record.config, torch.device("cpu"))
    rows, target = data.rows("test_open")
    own = embed(load_run(trained.folder, data).eval().backbone, rows, precision="fp32").numpy()
    names = [data.dataset.splits["test_open"].names[label] for label in target.tolist()]
    labels = (tmp_path / "out" / "labels.txt").read_text().splitlines()
    theirs = found[[label in names for label in labels]]
    assert len(theirs) == len(own)
    assert np.allclose(np.sort(theirs, 0), np.sort(own, 0), atol=1e-5)


def test_the_images_of_a_bin_keep_its_order(finished, photographs, tmp_path, capsys):
    files = sorted(photographs.rglob("[0-9]*.png"))[:8]
    write_pairs_bin(tmp_path / "pairs.bin", [file.read_bytes() for file in files], [True, False, True, False])
    assert main([str(finished.folder), str(tmp_path / "pairs.bin"), "--out", str(tmp_path / "bin")]) == 0
    out = capsys.readouterr().out
    assert "8 images in 4 pairs" in out
    assert "--protocol lfw --pairs" in out
    assert main([str(finished.folder), str(photographs), "--out", str(tmp_path / "all")]) == 0
    images = (tmp_path / "all" / "images.txt").read_text().splitlines()
    place = [images.index(str(file.relative_to(photographs))) for file in files]
    one, other = (np.load(tmp_path / out / "embeddings.npy") for out in ("bin", "all"))
    assert np.allclose(one, other[place], atol=1e-5)


def test_broken_images_are_left_out_and_named_where_that_is_asked_for(
    finished, photographs, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("lossbench.embed._BLOCK", 7)
    command = [str(finished.folder), str(photographs), "--out", str(tmp_path / "out")]
    assert main([*command, "--skip-broken"]) == 0
    whole = np.load(tmp_path / "out" / "embeddings.npy")
    images = (tmp_path / "out" / "images.txt").read_text().splitlines()
    for place in (3, 30):
        (photographs / images[place]).write_bytes(b"\x89PNG no more")
    assert main([*command[:2], "--out", str(tmp_path / "new")]) == 1
    assert "--skip-broken leaves such images out" in capsys.readouterr().err
    assert list((tmp_path / "new").iterdir()) == []
    assert main([*command, "--skip-broken"]) == 0
    assert "38 images of" in capsys.readouterr().out
    kept = [place for place in range(40) if place not in (3, 30)]
    assert np.allclose(np.load(tmp_path / "out" / "embeddings.npy"), whole[kept], atol=1e-5)
    assert (tmp_path / "out" / "images.txt").read_text().splitlines() == [images[place] for place in kept]
    named = (tmp_path / "out" / "broken.txt").read_text().splitlines()
    assert [line.split(": ")[0] for line in named] == [images[3], images[30]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("broken.txt", "embeddings.npy", "images.txt", "labels.txt")
    ]


def test_a_bin_has_no_image_to_spare(finished, photographs, tmp_path, capsys):
    files = sorted(photographs.rglob("[0-9]*.png"))[:2]
    write_pairs_bin(tmp_path / "pairs.bin", [file.read_bytes() for file in files], [True])
    command = [str(finished.folder), str(tmp_path / "pairs.bin"), "--out", str(tmp_path / "bin")]
    assert main([*command, "--skip-broken"]) == 1
    assert "--skip-broken: the pairs of a .bin need all of its images" in capsys.readouterr().err


def test_what_cannot_be_embedded_is_one_line(finished, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken" / "a"
    broken.mkdir(parents=True)
    (broken / "torn.png").write_bytes(b"\x89PNG no more")
    for run_folder, path, line in (
        (finished.folder, tmp_path / "nowhere", "no such folder or archive"),
        (finished.folder, tmp_path / "empty", "no images in"),
        (finished.folder, tmp_path / "broken", "torn.png: cannot be read as an image"),
        (tmp_path, tmp_path / "broken", "result.json: not there"),
    ):
        assert main([str(run_folder), str(path), "--out", str(tmp_path / "out")]) == 1
        err = capsys.readouterr().err
        assert err.startswith("lossbench.embed: error: ")
        assert line in err
        assert len(err.splitlines()) == 1
    (tmp_path / "file").write_text("")
    assert main([str(finished.folder), str(tmp_path / "broken"), "--out", str(tmp_path / "file")]) == 1
    assert f"--out {tmp_path / 'file'}: is a file" in capsys.readouterr().err
