"""python -m lossbench.evaluate with lists that tell what each row shows: IJB's, and images in pairs."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lossbench.evaluate.__main__ import main
from lossbench.functional.templates import pool_templates
from lossbench.protocols import ijb_identification, ijb_verification, lfw
from lossbench.protocols.lfw import contiguous_folds
from lossbench.readers import TemplatePairs, TemplateSubjects, sha256_of, write_pairs_bin
from lossbench.records import read_record

SUBJECTS, TEMPLATES, IMAGES = 6, 30, 90


def call(folder, *options, out="out"):
    faces = str(folder / "faces.npy")
    return main([faces, "--out", str(folder / out), "--no-figures", *map(str, options)])


@pytest.fixture
def ijb(tmp_path):
    """90 images of 30 templates of 6 subjects, as files, and as the arrays that are in them."""
    rng = np.random.default_rng(0)
    template = np.sort(np.arange(IMAGES) % TEMPLATES) * 10
    media = np.arange(IMAGES) // 2
    rows = rng.normal(size=(SUBJECTS, 8))[template // 10 % SUBJECTS] + rng.normal(size=(IMAGES, 8))
    rows, score = rows.astype(np.float32), rng.uniform(0.5, 1, IMAGES).astype(np.float32)
    np.save(tmp_path / "faces.npy", rows)
    names = [f"{i + 1}.jpg" for i in range(IMAGES)]
    write(tmp_path / "media.txt", zip(names, template, media, strict=True))
    write(tmp_path / "points.txt", [(name, *[1.0] * 10, s) for name, s in zip(names, score, strict=True)])
    first, second = (part * 10 for part in np.triu_indices(TEMPLATES, 1))
    same = first // 10 % SUBJECTS == second // 10 % SUBJECTS
    write(tmp_path / "pairs.txt", zip(first, second, same.astype(int), strict=True))
    ids = np.arange(TEMPLATES) * 10
    parts = {"g1": ids[:3], "g2": ids[3:6], "probes": ids[6:]}
    for name, part in parts.items():
        lines = [f"{t},{t // 10 % SUBJECTS},x.jpg" for t in part]
        (tmp_path / f"{name}.csv").write_text("\n".join(["TEMPLATE_ID,SUBJECT_ID,FILENAME", *lines]) + "\n")
    subjects = {
        name: TemplateSubjects(part, part // 10 % SUBJECTS, len(part)) for name, part in parts.items()
    }
    tensors = [torch.from_numpy(part) for part in (rows, template, media)]
    return tmp_path, tensors, torch.from_numpy(score), TemplatePairs(first, second, same), subjects


def write(path, rows):
    path.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))


def verify(folder, *options, **changes):
    lists = {"media": "media.txt", "pairs": "pairs.txt"} | changes
    named = [part for option, name in lists.items() for part in (f"--{option}", folder / name)]
    return call(folder, "--protocol", "ijb_verification", *named, *options)


def search(folder, *options):
    named = ["--media", folder / "media.txt", "--probes", folder / "probes.csv"]
    galleries = ["--gallery", folder / "g1.csv", folder / "g2.csv"]
    return call(folder, "--protocol", "ijb_identification", *named, *galleries, *options)


@pytest.mark.parametrize(
    ("options", "detector", "norm", "flip", "flags"),
    [
        ((), False, True, None, "N1D0F?"),
        (("--unit", "--flip", "none"), False, False, False, "N0D0F0"),
        (("--detector", "points.txt", "--flip", "sum"), True, True, True, "N1D1F1"),
    ],
)
def test_listed_pairs_of_templates_give_the_numbers_of_the_protocol(
    ijb, options, detector, norm, flip, flags
):
    folder, rows, score, pairs, _ = ijb
    assert verify(folder, *(folder / word if ".txt" in word else word for word in options)) == 0
    templates = pool_templates(*rows, detector_score=score if detector else None, norm=norm)
    expected = ijb_verification(templates, pairs, flip=flip)
    record = read_record(folder / "out")
    assert record.metrics == {f"test/{name}": value for name, value in expected.metrics.items()}
    assert record.details["test/ijb_verification"]["flags"] == flags
    lists = record.config["protocol"]["lists"]
    assert set(lists) == {"media", "pairs", *(["detector"] if detector else [])}
    assert lists["pairs"] == [{"name": "pairs.txt", "sha256": sha256_of(folder / "pairs.txt")}]


def test_two_galleries_give_the_numbers_of_the_protocol(ijb, capsys):
    folder, rows, _, _, subjects = ijb
    assert search(folder, "--flip", "sum") == 0
    galleries = [subjects["g1"], subjects["g2"]]
    expected = ijb_identification(pool_templates(*rows), galleries, subjects["probes"], flip=True)
    record = read_record(folder / "out")
    assert record.metrics == {f"test/{name}": value for name, value in expected.metrics.items()}
    assert [file["name"] for file in record.config["protocol"]["lists"]["gallery"]] == ["g1.csv", "g2.csv"]
    assert "flags N1D0F1" in capsys.readouterr().out


def test_another_gallery_is_another_result(ijb, capsys):
    folder = ijb[0]
    assert search(folder) == 0
    assert search(folder) == 0
    assert "finished before" in capsys.readouterr().out
    (folder / "g1.csv").write_bytes((folder / "g2.csv").read_bytes())
    assert search(folder) == 1
    assert "holds the result of something else" in capsys.readouterr().err


def drop_a_row(folder):
    np.save(folder / "faces.npy", np.load(folder / "faces.npy")[1:])


def shuffle_the_points(folder):
    lines = (folder / "points.txt").read_text().splitlines()
    (folder / "points.txt").write_text("\n".join(lines[::-1]) + "\n")


def name_an_unknown_template(folder):
    (folder / "pairs.txt").write_text("0 7 1\n")


def remove_the_pairs(folder):
    (folder / "pairs.txt").unlink()


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (drop_a_row, "media.txt: lists 90 images, there are 89 rows"),
        (shuffle_the_points, "points.txt: lists other images than"),
        (name_an_unknown_template, "1 templates have no image: the first is 7"),
        (remove_the_pairs, "pairs.txt: No such file"),
    ],
)
def test_lists_that_do_not_fit_the_rows_are_one_line_and_leave_nothing(ijb, capsys, spoil, line):
    folder = ijb[0]
    spoil(folder)
    assert verify(folder, detector="points.txt") == 1
    err = capsys.readouterr().err
    assert line in err
    assert len(err.splitlines()) == 1
    assert not (folder / "out").exists()


def test_labels_beside_lists_are_refused(ijb, capsys):
    folder = ijb[0]
    labels = str(folder / "media.txt")
    options = ["--protocol", "ijb_verification", "--media", labels, "--pairs", labels]
    assert main([str(folder / "faces.npy"), labels, "--out", str(folder / "out"), *options]) == 1
    assert "leave it out, the lists tell what each row shows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("protocol", "line"),
    [
        ("ijb_verification", "needs --media FILE, --pairs FILE"),
        ("ijb_identification", "needs --media FILE, --gallery FILE, --probes FILE"),
    ],
)
def test_lists_that_are_not_named_are_asked_for(ijb, capsys, protocol, line):
    assert call(ijb[0], "--protocol", protocol) == 1
    assert line in capsys.readouterr().err


@pytest.fixture
def images(tmp_path):
    """20 pairs of images in a .bin, and a row for each image."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    same = np.arange(20) % 2 == 0
    write_pairs_bin(tmp_path / "faces.bin", [stream.getvalue()] * 40, same.tolist())
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 2, 8))
    rows[same, 1] = rows[same, 0] + 0.5 * rng.normal(size=(10, 8))
    rows = rows.reshape(40, 8).astype(np.float32)
    np.save(tmp_path / "faces.npy", rows)
    return tmp_path, torch.from_numpy(rows), torch.from_numpy(same)


def test_rows_in_the_order_of_a_bin_need_no_labels(images):
    folder, rows, same = images
    assert call(folder, "--protocol", "lfw", "--pairs", folder / "faces.bin", "--flip", "sum") == 0
    places = torch.arange(40).reshape(20, 2)
    expected = lfw(rows, places, same, contiguous_folds(20), flip="sum")
    record = read_record(folder / "out")
    assert record.metrics == {f"test/{name}": value for name, value in expected.metrics.items()}
    assert record.details["test/lfw"]["rule"] == "exact"
    assert record.details["dataset"] == "faces"


def test_a_bin_of_other_images_is_one_line(images, capsys):
    folder, rows, _ = images
    np.save(folder / "faces.npy", rows[:-1].numpy())
    assert call(folder, "--protocol", "lfw", "--pairs", folder / "faces.bin") == 1
    assert "faces.bin: lists 40 images, there are 39 rows; give one for each" in capsys.readouterr().err


def test_rows_of_a_bin_that_are_equal_are_counted_aloud(images, capsys):
    folder, rows, _ = images
    rows = rows.numpy().copy()
    rows[[5, 9]] = rows[2]
    np.save(folder / "faces.npy", rows)
    assert call(folder, "--protocol", "lfw", "--pairs", folder / "faces.bin") == 0
    assert "warning  rows that equal an earlier row of the file: 2" in capsys.readouterr().out
