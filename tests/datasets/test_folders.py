"""Which files of a folder or an archive are images of whom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lossbench.datasets.folders import content_key, find_images
from tests.readers.test_archives import tar_bytes, zip_bytes


def touched(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def names_of(found):
    return list(zip(found.identities, found.origin, strict=True))


def test_images_are_sorted_and_other_files_counted(tmp_path):
    touched(tmp_path, "b/2.png", "b/10.JPG", "a/x/1.webp", "a/1.tiff", "c/notes.txt")
    touched(tmp_path, "loose.png", "a/._1.png", ".hidden/1.png", "a/.git/1.png")
    found = find_images(tmp_path)
    expected = [("a", "a/1.tiff"), ("a", "a/x/1.webp"), ("b", "b/10.JPG"), ("b", "b/2.png")]
    assert names_of(found) == expected
    assert found.passed_over == 5


def test_a_folder_without_images_is_refused(tmp_path):
    for folder, why in ((tmp_path / "none", "no such folder"), (touched(tmp_path, "a.png"), "no images in")):
        with pytest.raises(ValueError, match=why):
            find_images(folder)


def test_linked_identities_folders_and_files_are_read(tmp_path):
    root = touched(tmp_path / "root", "a/1.png")
    touched(tmp_path / "elsewhere", "b/2.png", "more/3.png", "4.png")
    (root / "b").symlink_to(tmp_path / "elsewhere/b")
    (root / "a/more").symlink_to(tmp_path / "elsewhere/more")
    (root / "a/4.png").symlink_to(tmp_path / "elsewhere/4.png")
    found = find_images(root)
    assert names_of(found) == [
        ("a", "a/1.png"),
        ("a", "a/4.png"),
        ("a", "a/more/3.png"),
        ("b", "b/2.png"),
    ]
    assert found.passed_over == 0


@pytest.mark.parametrize("target", [".", "..", "a", "a/deep", "../root"])
@pytest.mark.parametrize("place", ["z", "a/z", "a/deep/z"])
def test_links_that_lead_back_are_passed_over(tmp_path, target, place):
    root = touched(tmp_path / "root", "a/1.png", "a/deep/2.png")
    (root / place).symlink_to(root / target)
    found = find_images(root)
    own = [(identity, name) for identity, name in names_of(found) if identity == "a"]
    assert own == [("a", "a/1.png"), ("a", "a/deep/2.png")]
    # An identity of its own may be another name for a folder; anything else is a loop.
    another = place == "z" and target.startswith("a")
    assert found.passed_over == (not another)
    assert len(found.files) == 2 + (another and {"a": 2, "a/deep": 1}[target])


def test_links_that_branch_at_every_level_do_not_multiply(tmp_path):
    root = tmp_path / "root"
    for level in range(30):
        touched(root.parent / f"level{level}", f"{level}.png")
        for way in "xy":
            (root.parent / f"level{level}" / way).symlink_to(root.parent / f"level{level + 1}")
    touched(root.parent / "level30", "30.png")
    root.mkdir()
    (root / "a").symlink_to(root.parent / "level0")
    found = find_images(root)
    assert (len(found.files), found.passed_over) == (31, 30)


def test_links_to_nothing_pipes_and_links_to_themselves_are_counted(tmp_path):
    root = touched(tmp_path, "a/1.png")
    (root / "a/gone.png").symlink_to(root / "nowhere.png")
    (root / "a/self.png").symlink_to(root / "a/self.png")
    (root / "b").symlink_to(root / "b")
    os.mkfifo(root / "a/pipe.png")
    found = find_images(root)
    assert names_of(found) == [("a", "a/1.png")]
    assert found.passed_over == 4


@pytest.mark.parametrize("closed", [".", "a", "a/deep"])
def test_a_folder_that_cannot_be_listed_is_told_of(tmp_path, monkeypatch, closed):
    touched(tmp_path, "a/1.png", "a/deep/2.png")
    scandir = os.scandir

    def refusing(place):
        if Path(place) == tmp_path / closed:
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ValueError, match=r"cannot be listed \(Permission denied\)"):
        find_images(tmp_path)


def packed(tmp_path, *names):
    """A folder, a tar and a zip of empty files."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "a.tar").write_bytes(tar_bytes(dict.fromkeys(names, b"")))
    (tmp_path / "a.zip").write_bytes(zip_bytes(dict.fromkeys(names, b"")))
    return touched(tmp_path / "folder", *names), tmp_path / "a.tar", tmp_path / "a.zip"


def test_archives_are_found_like_folders(tmp_path):
    names = (
        "b/2.png",
        "b/10.JPG",
        "a/x/1.webp",
        "c/notes.txt",
        "loose.png",
        "a/._1.png",
        "__MACOSX/a/._1.png",
    )
    one, *others = (find_images(path) for path in packed(tmp_path, *names))
    assert names_of(one) == [("a", "a/x/1.webp"), ("b", "b/10.JPG"), ("b", "b/2.png")]
    for other in others:
        assert (names_of(other), other.passed_over) == (names_of(one), one.passed_over) == (names_of(one), 4)


def test_folders_around_all_of_an_archive_do_not_count(tmp_path):
    names = ("all/faces/b/2.png", "all/faces/a/x/1.png", "all/faces/a/1.png", "all/faces/stray.png", "readme")
    folder, *archives = packed(tmp_path, *names)
    for archive in archives:
        found = find_images(archive)
        assert names_of(found) == [("a", "a/1.png"), ("a", "a/x/1.png"), ("b", "b/2.png")]
        assert found.passed_over == 2
    assert set(find_images(folder).identities) == {"all"}  # a folder is what the user named


def test_an_identity_alone_in_an_archive_is_no_folder_around_all(tmp_path):
    _, *archives = packed(tmp_path, "anna/1.png", "anna/2.png")
    for archive in archives:
        assert names_of(find_images(archive)) == [("anna", "anna/1.png"), ("anna", "anna/2.png")]


def test_a_file_and_a_folder_of_one_name_in_an_archive_are_two_things(tmp_path):
    names = ("all.png", "all.png/a/1.png", "all.png/b/2.png", "all.png/b/3.png")
    (tmp_path / "a.tar").write_bytes(tar_bytes(dict.fromkeys(names, b"")))
    found = find_images(tmp_path / "a.tar")
    assert (found.identities, found.passed_over) == (["a", "b", "b"], 1)


def test_folders_of_roles_prescribe_them(tmp_path):
    names = ("Train/a/1.png", "Train/b/2.png", "validation/a/3.png", "test/c/4.png", "test/5.png")
    for path in packed(tmp_path, *names):
        found = find_images(path)
        rows = list(zip(found.origin, found.identities, found.given, strict=True))
        assert rows == [
            ("Train/a/1.png", "a", "train"),
            ("Train/b/2.png", "b", "train"),
            ("test/c/4.png", "c", "test"),
            ("validation/a/3.png", "a", "val"),
        ]
        assert found.passed_over == 1


def test_one_role_alone_is_still_a_role_and_identities_may_have_such_names(tmp_path):
    for path in packed(tmp_path / "one", "test/a/1.png", "test/b/1.png"):
        assert find_images(path).given == ["test", "test"]
    for path in packed(tmp_path / "two", "test/1.png", "train/1.png"):
        assert (find_images(path).identities, find_images(path).given) == (["test", "train"], None)
    for path in packed(tmp_path / "three", "train/a/1.png", "car/a/1.png"):
        assert (find_images(path).identities, find_images(path).given) == (["car", "train"], None)


@pytest.mark.parametrize("name", ["a/1\n2.png", "a\r/1.png", "a/" + "x" * 1000 + ".png"])
def test_names_that_no_list_can_hold_are_refused(tmp_path, name):
    (tmp_path / "a.tar").write_bytes(tar_bytes({name: b""}))
    with pytest.raises(ValueError, match=r"rename it$") as raised:
        find_images(tmp_path / "a.tar")
    assert "\n" not in str(raised.value)


def test_names_that_are_no_text_are_refused_and_other_files_may_have_any(tmp_path):
    root = touched(tmp_path, "a/1.png", "a/Icon\r")
    assert find_images(root).passed_over == 1
    touched(tmp_path, os.fsdecode(b"a/\xff.png"))
    with pytest.raises(ValueError, match=r"no UTF-8: rename the file"):
        find_images(root)


def test_the_content_key_follows_names_sizes_times_and_bytes_of_archives(tmp_path):
    folder, tar, _ = packed(tmp_path, "a/1.png")
    keys = [content_key(folder, ["a/1.png"])]
    os.utime(folder / "a/1.png", ns=(1, 1))
    keys.append(content_key(folder, ["a/1.png"]))
    (folder / "a/1.png").write_bytes(b"1")
    os.utime(folder / "a/1.png", ns=(1, 1))
    keys.append(content_key(folder, ["a/1.png"]))
    keys.append(content_key(tar, ()))
    other = tmp_path / "other"
    other.write_bytes(tar.read_bytes())
    assert content_key(other, ()) == keys[-1]
    tar.write_bytes(tar.read_bytes() + bytes(512))
    keys.append(content_key(tar, ()))
    assert len(set(keys)) == len(keys)
