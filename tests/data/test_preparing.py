"""``python -m lossbench.data prepare``: what it says of a set, its sheet, its mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lossbench.data.__main__ import main
from lossbench.data.sheet import contact_sheet, write_sheet
from lossbench.datasets import Dataset, Split
from lossbench.readers import write_records
from tests.data.images import encoded, picture, png
from tests.datasets.known_files import write_folder

FACES = {f"p{who}/{i}.png": png(10 * who + i) for who in range(8) for i in range(4)} | {"notes.txt": b""}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def prepared(*arguments: object) -> int:
    return main(["prepare", *map(str, arguments)])


def images(roles: dict[str, int], side: int = 6) -> Dataset:
    """Each role has so many identities with three grey images each, whose pixels are their numbers."""
    splits = {}
    for role, identities in roles.items():
        labels = np.repeat(np.arange(identities), 3)
        data = np.broadcast_to(np.arange(len(labels))[:, None, None, None], (len(labels), side, side, 1))
        names = tuple(f"{role} {i}" for i in range(identities))
        splits[role] = Split(data.astype(np.uint8), labels, names)
    return Dataset(name="mine", splits=splits, open_set=True, sha256="0" * 64)


def test_a_folder_is_described(tmp_path: Path, own_cache: Path, capsys) -> None:
    faces = write_folder(tmp_path / "faces", FACES)
    assert prepared("folder", f"dataset.path={faces}", "dataset.height=16", "dataset.width=12") == 0
    told = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line.strip()
    )
    folder = next(own_cache.glob("faces-*[0-9a-f]"))
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert told["from"] == str(faces)
    assert told["dataset"] == "faces, open set"
    assert told["rows"] == "16x12x3 uint8"
    assert len(told["sha256"]) == 64
    assert told["prepared"] == f"{folder}, {size / 1e6:.1f} MB"
    assert told["passed"].startswith("over  1 files")
    assert told["test_open"].split() == ["12", "3", "4", "4", "4"]
    assert told["train"].split() == ["8", "4", "2", "2", "2"]


def test_images_left_out_are_named_every_time(tmp_path: Path, capsys) -> None:
    faces = write_folder(tmp_path / "faces", FACES | {"p0/broken.png": b"no image"})
    arguments = ("folder", f"dataset.path={faces}")
    assert prepared(*arguments) == 1
    assert "p0/broken.png" in capsys.readouterr().err
    for _ in range(2):
        assert prepared(*arguments, "dataset.source.skip_broken=true") == 0
        assert "left out     p0/broken.png: cannot be read" in capsys.readouterr().out


def test_copies_are_a_warning(tmp_path: Path, caplog) -> None:
    faces = write_folder(tmp_path / "faces", FACES | {"p0/copy.png": png(0)})
    assert prepared("folder", f"dataset.path={faces}") == 0
    assert "1 rows repeat an image of the same identity" in caplog.text


def test_embeddings_stay_where_they_are(tmp_path: Path, capsys) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32))
    (tmp_path / "who.txt").write_text("".join(f"p{i // 6}\n" for i in range(60)))
    paths = (f"dataset.path={tmp_path / 'rows.npy'}", f"dataset.labels={tmp_path / 'who.txt'}")
    assert prepared("embeddings", *paths) == 0
    told = capsys.readouterr().out
    assert "rows         5 float32" in told
    assert f"mapped       {tmp_path / 'rows.npy'}, 0.0 MB" in told


def test_images_of_a_large_record_file_stay_encoded(tmp_path: Path, capsys) -> None:
    images = [encoded(picture(i), "JPEG") for i in range(60)]
    write_records(tmp_path / "train.rec", images, [i // 6 for i in range(60)], height=20, width=24)
    options = ("dataset.source.decoded_limit=0", "dataset.height=20", "dataset.width=24")
    sheet = tmp_path / "sheet.png"
    assert prepared("insightface", f"dataset.path={tmp_path}", *options, "--sheet", sheet) == 0
    assert f"encoded      {tmp_path / 'train.rec'}, 0.1 MB, decoded in every epoch" in capsys.readouterr().out
    assert sheet.is_file()


def test_a_drawn_set_lies_in_memory_and_cautions_are_told(capsys) -> None:
    assert prepared("blobs", "dataset.label_noise=0.1") == 0
    told = capsys.readouterr().out
    assert "in memory    0.0 MB" in told
    assert "label_noise  rows 60" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flw"], "dataset=flw: no such dataset; did you mean lfw?"),
        (["folder"], "dataset.path is not set: give dataset.path=..."),
        (["folder", "dataset.path=/nowhere"], "/nowhere: no such folder or archive"),
        (["blobs", "dataset.smaples=3"], "dataset.smaples: no such option"),
        (["blobs", "dataset.source.classes=0"], "classes=0"),
        (["blobs", "dataset.label_noise=7"], "label_noise=7: must be"),
        (["blobs", "--sheet", "x.png"], "--sheet=x.png: blobs holds vectors, no images"),
        (["torch", "dataset.train._target_=nomodule.Faces"], "nomodule"),
    ],
)
def test_a_mistake_is_answered_in_one_line(capsys, arguments: list[str], message: str) -> None:
    assert prepared(*arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("lossbench.data: error: ")
    assert message in lines[0]


def test_a_sheet_is_the_same_whenever_it_is_written(tmp_path: Path) -> None:
    dataset = images({"train": 9, "test_open": 2})
    for name in ("one.png", "deep/other.png"):
        write_sheet(dataset, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "deep/other.png").read_bytes()
    with Image.open(tmp_path / "one.png") as sheet:
        assert sheet.width > 1000


def test_a_sheet_shows_identities_from_first_to_last_with_their_images() -> None:
    figure = contact_sheet(images({"train": 11, "test_open": 2, "distractors": 1}))
    assert [part.get_title(loc="left") for part in figure.axes] == [
        "train: 11 identities, 33 images",
        "test_open: 2 identities, 6 images",
        "distractors: 1 identities, 3 images",
    ]
    train = figure.axes[0]
    names = [label.get_text() for label in train.get_yticklabels()]
    assert names == [f"train {i}" for i in (0, 2, 4, 6, 8, 10)]
    # six pixels and a gap of two: the third image of the second row is row 8 of the split
    assert train.images[0].get_array()[8 + 3, 16 + 3] == 2 * 3 + 2


def test_names_that_the_font_cannot_write_and_signs_of_mathematics_are_plain_text(tmp_path: Path) -> None:
    dataset = images({"train": 3})
    names = ("李 Li", "$x^2", "a" * 30 + "b" * 30)
    split = dataset.splits["train"]
    odd = Dataset(
        name="odd", splits={"train": Split(split.data, split.labels, names)}, open_set=True, sha256="0" * 64
    )
    write_sheet(odd, tmp_path / "odd.png")
    labels = [label.get_text() for label in contact_sheet(odd).axes[0].get_yticklabels()]
    assert labels == ["? Li", "$x^2", "a" * 12 + "…" + "b" * 11]


def test_a_sheet_is_a_png(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name a file that ends in \.png"):
        write_sheet(images({"train": 2}), tmp_path / "sheet.jpg")
