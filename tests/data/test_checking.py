"""``python -m lossbench.data check``: every kind of finding once, what it prints, how it ends."""

from __future__ import annotations

import csv
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from lossbench.command import finish
from lossbench.data import checking
from lossbench.data.__main__ import main
from lossbench.data.checking import find_faults
from lossbench.data.contents import contents
from lossbench.datasets.threads import cores
from lossbench.readers import write_records
from tests.data.images import encoded, picture, png
from tests.datasets.known_files import write_folder, write_tar, write_zip

GOOD = {
    f"{who}/{i}.png": png(10 * number + i) for number, who in enumerate(("anna", "ben")) for i in range(3)
}
FAULTY = GOOD | {
    "anna/empty.jpg": b"",
    "anna/copy.bmp": encoded(picture(0), "BMP"),
    "ben/also.png": png(0),
    "carl/alone.png": png(100),
    "dora/1.jpg": encoded(picture(5), "JPEG")[:-200],
    "dora/2.jpg": b"no image",
    "dora/3.gif": encoded(picture(6), "GIF", save_all=True, append_images=[picture(7)]),
    "notes.txt": b"",
    "stray.png": png(200),
    "anna/.hidden.png": png(201),
    "anna/Makefile": b"",
}
EXPECTED = [
    ("empty", "anna", "anna/empty.jpg"),
    ("truncated", "dora", "dora/1.jpg"),
    ("broken", "dora", "dora/2.jpg"),
    ("animated", "dora", "dora/3.gif"),
    ("copy", "anna", "anna/copy.bmp"),
    ("copy of another identity", "ben", "ben/also.png"),
    ("identity of one image", "carl", "carl/alone.png"),
]


def kinds(path: Path) -> list[tuple[str, str, str]]:
    found = find_faults(contents(path))
    return [(one.kind, one.identity, one.file) for one in found if one.kind != "passed over"]


@pytest.mark.parametrize("write", [write_folder, write_tar, write_zip])
def test_every_fault_is_found_once_in_folders_and_archives(tmp_path: Path, write) -> None:
    assert sorted(kinds(write(tmp_path / "set", FAULTY))) == sorted(EXPECTED)


def test_processes_find_what_threads_find(tmp_path: Path, monkeypatch) -> None:
    path = write_zip(tmp_path / "set", FAULTY)
    found = list(find_faults(contents(path)))
    monkeypatch.setattr(checking, "MANY", 1)
    assert list(find_faults(contents(path))) == found


def test_damaged_members_of_a_zip_are_named_and_the_others_read(tmp_path: Path, capsys) -> None:
    path = write_zip(tmp_path / "set.zip", {"anna/1.png": png(1)})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"anna/2.png": png(2), "ben/1.png": b"", "ben/2.png": png(4)}.items():
            archive.writestr(name, data)
    with zipfile.ZipFile(path) as archive:
        stored, packed = (archive.getinfo(name).header_offset for name in ("anna/1.png", "anna/2.png"))
    data = bytearray(path.read_bytes())
    data[stored + 30 + len("anna/1.png") + 50] ^= 1  # a pixel: the checksum is wrong
    data[packed + 30 + len("anna/2.png")] = 0xFF  # of the first block: deflate knows no such kind
    path.write_bytes(data)
    found = {one.file: (one.kind, one.what) for one in find_faults(contents(path))}
    assert {name: kind for name, (kind, _) in found.items()} == {
        "anna/1.png": "broken",
        "anna/2.png": "broken",
        "ben/1.png": "empty",
    }
    assert "anna/1.png is damaged (Bad CRC-32" in found["anna/1.png"][1]
    assert "anna/2.png is damaged (Error -3 while decompressing" in found["anna/2.png"][1]
    assert main(["check", str(path)]) == 1
    assert "4 images of 2 identities, 3 cannot be read" in capsys.readouterr().out


def test_files_passed_over_are_counted_by_reason(tmp_path: Path) -> None:
    found = contents(write_folder(tmp_path / "set", FAULTY))
    assert found.passed_over == {
        "hidden": 1,
        "no image by its suffix, .txt": 1,
        "without a suffix": 1,
        "beside the folders of the identities": 1,
    }


def test_a_copy_names_the_image_that_it_equals(tmp_path: Path) -> None:
    images = {"a/1.png": png(1), "a/2.png": png(1), "b/1.png": png(1), "b/2.png": png(1), "c/1.png": png(2)}
    found = find_faults(contents(write_folder(tmp_path / "set", images)))
    assert [(one.file, one.kind, one.what) for one in found if "copy" in one.kind] == [
        ("a/2.png", "copy", "equals a/1.png"),
        ("b/1.png", "copy of another identity", "equals a/1.png, which shows a"),
        ("b/2.png", "copy", "equals b/1.png"),
    ]


def test_files_that_cannot_be_read_are_no_copies_of_each_other(tmp_path: Path) -> None:
    found = Counter(kind for kind, *_ in kinds(write_folder(tmp_path, {"a/1.png": b"", "a/2.png": b""})))
    assert found == {"empty": 2}


def test_a_set_with_unreadable_images_ends_with_1_and_names_them(tmp_path: Path, capsys) -> None:
    folder, file = write_folder(tmp_path / "set", FAULTY), tmp_path / "out" / "findings.csv"
    assert main(["check", str(folder), "--csv", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "  anna/empty.jpg: no bytes" in lines
    assert lines[-1].startswith(f"{folder}: 13 images of 4 identities, 3 cannot be read, 8 cautions, ")
    assert not any("anna/0.png" in line and "equals" not in line for line in lines)
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 11
    assert {"kind": "empty", "identity": "anna", "file": "anna/empty.jpg", "what": "no bytes"} in rows


def test_a_set_with_cautions_alone_ends_with_0(tmp_path: Path, capsys) -> None:
    folder = write_folder(tmp_path, {f"p{i:02}/1.png": png(i) for i in range(25)})
    assert main(["check", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 20 + 1 + 1
    assert lines[-2] == "  and 5 more: --csv FILE writes all"


def test_a_good_set_is_one_line(tmp_path: Path, capsys) -> None:
    assert main(["check", str(write_folder(tmp_path, GOOD))]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_record_file_is_read_to_its_end(tmp_path: Path) -> None:
    images = [encoded(picture(i), "JPEG") for i in (0, 1, 2, 2)]
    images[1] = images[1][:100] + bytes(200) + b"\xff\xd9"
    write_records(tmp_path / "train.rec", images, [0, 0, 1, 2], height=20, width=24)
    expected = [
        ("copy of another identity", "2"),
        ("identity of one image", "1"),
        ("identity of one image", "2"),
    ]
    for path in (tmp_path, tmp_path / "train.rec"):
        found = [(kind, who) for kind, who, _ in kinds(path)]
        assert found[0][0] in ("broken", "truncated")
        assert found[1:] == expected


def test_a_list_is_read_with_its_root(tmp_path: Path, capsys) -> None:
    write_folder(tmp_path / "images", {"1.png": png(1), "2.png": b""})
    (tmp_path / "list.csv").write_text("path,label\n1.png,anna\n2.png,anna\n")
    assert main(["check", str(tmp_path / "list.csv"), "--root", str(tmp_path / "images")]) == 1
    assert "empty: 1\n  2.png: no bytes\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder or archive"),
        (lambda path: path.write_bytes(b"no archive"), "damaged, or no tar or zip"),
        (lambda path: path.mkdir(), "no images in"),
        (lambda path: path.write_bytes(write_tar(path, GOOD).read_bytes()[:500]), "damaged"),
    ],
)
def test_a_set_that_cannot_be_read_at_all_is_one_line(tmp_path: Path, capsys, make, message: str) -> None:
    make(tmp_path / "set")
    assert main(["check", str(tmp_path / "set")]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("lossbench.data: error: ")
    assert message in errors[0]


def test_a_root_goes_with_a_list_alone(tmp_path: Path, capsys) -> None:
    assert main(["check", str(tmp_path), "--root", str(tmp_path)]) == 1
    assert "goes with a .csv alone" in capsys.readouterr().err


def test_ctrl_c_is_one_line(tmp_path: Path, capsys, monkeypatch) -> None:
    def interrupted(data: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lossbench.data.checking.examined", interrupted)
    folder = write_folder(tmp_path, GOOD)
    with pytest.raises(SystemExit, match="130"):
        finish(lambda: main(["check", str(folder)]), "lossbench.data")
    assert capsys.readouterr().err == "lossbench.data: stopped\n"


@pytest.mark.parametrize("told", [1, 10_000])  # threads and processes
def test_memory_holds_a_few_chunks_at_a_time(told: int) -> None:
    read = 0
    seen = []

    def counted():
        nonlocal read
        for row in range(10_000):
            read += 1
            yield row, b""

    for done, _ in enumerate(checking._examined(counted(), told)):
        seen.append(read - done)
    assert len(seen) == 10_000
    assert max(seen) <= 512 * (2 * cores() + 1)
