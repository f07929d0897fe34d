"""Where files of known sets are looked for, and what is said where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossbench.datasets import files as files_module
from lossbench.datasets.download import Remote
from lossbench.datasets.files import Facts, fetch_file, file_key, find_file, missing
from tests.datasets.known_files import data, write_folder
from tests.readers.samples import refused

__all__ = ["data"]

REMOTE = Remote("https://example.org/set.gz", 3, "a" * 64, also=("b" * 64,))
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def facts(**changes: object) -> Facts:
    known = {"name": "set", "licence": "MIT", "homepage": "https://example.org", "citation": "A, 2000"}
    return Facts(**{**known, "remotes": {"set.gz": REMOTE}, **changes})


def test_the_sets_folder_comes_first_then_all_data_then_the_system_then_downloads(
    data: Path, tmp_path: Path
) -> None:
    known = facts(system=str(tmp_path / "system"))
    folders = [data / "set", data, tmp_path / "system", tmp_path / "cache" / "downloads" / "set"]
    assert known.folders() == folders
    assert find_file(known, "x") is None
    for folder in reversed(folders):
        write_folder(folder, {"x": b"abc"})
        assert find_file(known, "x") == folder / "x"


def test_files_with_names_of_other_sets_are_not_looked_for_beside_theirs(data: Path) -> None:
    write_folder(data, {"x": b"abc"})
    assert find_file(facts(), "x") == data / "x"
    assert find_file(facts(common_names=True), "x") is None


def test_without_a_data_folder_only_downloads_are_looked_in(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOSSBENCH_DATA")
    assert facts().folders() == [tmp_path / "cache" / "downloads" / "set"]
    text = str(missing(facts(), "x", "y"))
    assert text.startswith(f"set: no x or y in {tmp_path}/cache/downloads/set: put it there (https://")
    assert text.endswith("LOSSBENCH_DATA=FOLDER is looked in, too")
    monkeypatch.setenv("LOSSBENCH_DATA", str(data))
    assert str(missing(facts(), "x")).endswith("put it there (https://example.org)")


def test_the_first_name_wins_wherever_it_lies(data: Path) -> None:
    write_folder(data, {"set/second": b"2", "first": b"1"})
    assert find_file(facts(), "first", "second") == data / "first"


def test_a_path_is_the_file_or_the_only_folder(data: Path, tmp_path: Path) -> None:
    write_folder(data, {"set/x": b"abc"})
    mine = write_folder(tmp_path / "mine", {"other": b"abc"})
    assert find_file(facts(), "x", path=str(mine)) is None
    assert find_file(facts(), "x", path=str(mine / "other")) == mine / "other"
    with refused("dataset.path=", "nowhere", "there is nothing"):
        find_file(facts(), "x", path=str(tmp_path / "nowhere"))


def test_a_tilde_is_the_home_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(data))
    write_folder(data, {"mine/x": b"abc"})
    assert find_file(facts(), "x", path="~/mine") == data / "mine" / "x"
    monkeypatch.setenv("LOSSBENCH_DATA", "~")
    assert find_file(facts(name="mine"), "x") == data / "mine" / "x"


def test_a_download_goes_where_it_is_found_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(remote: Remote, place: Path) -> None:
        write_folder(place.parent, {place.name: remote.url.encode()})

    monkeypatch.setattr(files_module, "download", write)
    place = fetch_file(facts(), "set.gz")
    assert place.read_text() == REMOTE.url
    assert find_file(facts(), "set.gz") == place


def test_the_key_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert file_key(path) == file_key(path, REMOTE) == ABC
    path.write_bytes(b"abcd")
    assert file_key(path) != ABC


def test_what_holds_the_same_has_the_key_of_the_download(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    remote = Remote("https://example.org/set.gz", 3, "a" * 64, also=(ABC,))
    assert file_key(path, remote) == file_key(None, remote) == "a" * 64


def test_the_key_of_a_folder_changes_with_its_files(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", {"a/b": b"1"})
    first = file_key(folder)
    assert file_key(folder) == first
    write_folder(folder, {"c": b"2"})
    assert file_key(folder) != first
