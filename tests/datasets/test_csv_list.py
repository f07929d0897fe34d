"""Your own images in a list: what its lines mean, and which line is at fault."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from lossbench.datasets import CsvList
from tests.datasets.test_folder import OPTIONS, AllTrain, same, tarred, zipped

LINES = "path,label\nb.png,bo\na/1.png,anna\na/2.png,anna\n"


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))
    for number, name in enumerate(("a/1.png", "a/2.png", "b.png", "ü.png")):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), number * 10, dtype=np.uint8)).save(path)
    return tmp_path / "images"


def listed(folder, text, root=None, **options):
    (folder / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    path, root = str(folder / "list.csv"), None if root is None else str(root)
    return CsvList(path=path, root=root, **{**OPTIONS, "division": AllTrain(), **options})


def refusal(source):
    with pytest.raises(ValueError, match=r"\S") as raised:
        source.collect()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_lines_name_images_and_their_identities(images):
    found = listed(images, LINES).collect()
    assert found.origin.tolist() == ["b.png", "a/1.png", "a/2.png"]
    assert [found.names[label] for label in found.labels] == ["bo", "anna", "anna"]
    assert found.data[:, 0, 0, 0].tolist() == [20, 0, 10]
    assert found.given is None
    assert listed(images, LINES).load().name == "list"


def test_spreadsheets_of_all_kinds_are_read(images):
    expected = listed(images, LINES).collect()
    text = '\ufeffsize, label ,path\r\n4,"bo",.\\b.png\r\n\r\n5, anna,"a/1.png"\r\n6,anna ,a//2.png'
    same(listed(images, text).collect(), expected)


def test_paths_are_relative_to_the_root_which_may_be_an_archive(images, tmp_path):
    expected = listed(images, LINES).collect()
    for root in (images, tarred(images, tmp_path / "a.tgz", "w:gz"), zipped(images, tmp_path / "a.zip")):
        same(listed(tmp_path, LINES, root).collect(), expected)
    assert "2: b.png is not in" in refusal(listed(tmp_path, LINES))
    assert "no such folder or archive" in refusal(listed(tmp_path, LINES, tmp_path / "nowhere"))


def test_words_of_splits_are_roles(images):
    found = listed(images, "path,label,split\nb.png,bo,Train\na/1.png,anna,valid\na/2.png,anna,\n").collect()
    assert found.given.tolist() == ["train", "val", ""]
    assert listed(images, "path,label,split\nb.png,bo,\na/1.png,anna,\n").collect().given is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", ":1: columns : expected path,label"),
        ("file,label\nb.png,bo\n", ":1: columns file, label: expected path,label"),
        ("path;label\nb.png;bo\n", ":1: columns path;label: expected"),
        ("path,label\n", "no lines below its header"),
        ("path,label\nb.png\n", ":2: 1 columns, the header has 2"),
        ("path,label\nb.png,bo,train\n", ":2: 3 columns"),
        ("path,label\nb.png,bo\n\nc.png,bo\n", ":4: c.png is not in"),
        ("path,label\nb.png,bo\n./b.png,anna\n", ":3: b.png stands in line 2 already"),
        ("path,label\n/etc/passwd,bo\n", ":2: path '/etc/passwd': must be relative"),
        ("path,label\n../images/b.png,bo\n", "must be relative"),
        ("path,label\nC:\\b.png,bo\n", "must be relative"),
        ("path,label\n,bo\n", "must be relative"),
        ("path,label\nb.png, \n", ":2: label is empty"),
        ("path,label,split\nb.png,bo,holdout\n", ":2: split 'holdout': must be train, val, test or empty"),
        ('path,label\n"b.png"x,bo\n', ":2: "),
        (b"path,label\nb.png,\xff\n", ":2: line is not UTF-8"),
        ("path,label\nb.png,b\0o\n", ":2: line holds a NUL"),
        ("path,label\nb.png," + "x" * 2000, ":2: the name"),
        ("path,label\na,bo\n", ":2: a is not in"),
        ("path,label\nb.png,bo\na/1.png,bo\n", "all images are of one identity, bo"),
    ],
)
def test_the_line_at_fault_is_named(images, text, why):
    assert why in refusal(listed(images, text))


def test_broken_images_and_other_paths_are_refused(images):
    (images / "b.png").write_bytes(b"")
    source = listed(images, LINES)
    assert "1 of 3 images are broken: b.png" in refusal(source)
    third = listed(images, LINES + "ü.png,Čapek\n", skip_broken=True).collect()
    assert third.names == ("anna", "Čapek")
    (images / "list.csv").unlink()
    assert "no such folder or archive" in refusal(source)
    (images / "list.csv").mkdir()
    assert "is a folder, not a CSV file" in refusal(source)


def test_fingerprints_follow_the_list_and_the_files(images):
    keys = [listed(images, LINES).fingerprint()]
    keys.append(listed(images, LINES.replace("bo", "Bo")).fingerprint())
    os.utime(images / "b.png", ns=(1, 1))
    keys.append(listed(images, LINES).fingerprint())
    keys.append(listed(images, LINES, division=AllTrain(1)).fingerprint())
    assert len(set(keys)) == len(keys)
    os.utime(images / "ü.png", ns=(1, 1))
    assert listed(images, LINES, division=AllTrain(1)).fingerprint() == keys[-1]
