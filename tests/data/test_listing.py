"""``python -m lossbench.data list``: every set, without a network and without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lossbench.config import conf_dir
from lossbench.data.__main__ import main
from lossbench.data.catalogue import Entry, cached_bytes, catalogue, first_comment, megabytes
from tests.datasets.known_files import data, write_folder  # noqa: F401

ALL = sorted(path.stem for path in (conf_dir() / "dataset").glob("*.yaml"))


def entries() -> dict[str, Entry]:
    return {entry.name: entry for entry in catalogue()}


@pytest.mark.usefixtures("data")
def test_every_option_of_conf_is_an_entry_with_its_first_comment() -> None:
    found = entries()
    assert list(found) == ALL
    assert found["blobs"].what == "Gaussian blobs on a circle: points in the plane, closed set"
    for name, entry in found.items():
        assert f"# {entry.what}" in (conf_dir() / "dataset" / f"{name}.yaml").read_text()


def test_every_file_of_conf_begins_with_what_it_is() -> None:
    assert all(len(first_comment(conf_dir() / "dataset" / f"{name}.yaml")) > 20 for name in ALL)


@pytest.mark.usefixtures("data")
def test_files_that_are_not_here_would_be_downloaded_or_must_be_put_there(tmp_path: Path) -> None:
    found = entries()
    assert found["cifar10"].files == "would be downloaded, 170 MB"
    assert found["omniglot"].files == "would be downloaded, 16 MB"
    assert found["lfw"].files == f"not here: put them into {tmp_path / 'data' / 'lfw'}"
    assert found["lfw"].homepage.startswith("http")
    assert found["folder"].files == "yours: dataset.path=..."
    assert found["torch"].files == "yours: dataset.train._target_=..."
    assert found["glyphs"].files == found["digits"].files == "no files needed"


def test_files_that_are_here_are_named(data: Path) -> None:  # noqa: F811
    write_folder(data, {"lfw/pairs.txt": b"", "lfw/lfw-deepfunneled.tgz": b"", "cifar-10-python.tar.gz": b""})
    found = entries()
    assert found["lfw"].files == f"here: {data / 'lfw'}"
    assert found["cifar10"].files == f"here: {data / 'cifar-10-python.tar.gz'}"
    assert "lfw-deepfunneled" in found["lfw"].names


def test_the_cache_is_told_by_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path))
    key = "0123456789abcdef"
    stored = {f"mnist-{key}/images.npy": bytes(3_000_000), f"mnist-{key}/facts.json": bytes(500_000)}
    stored |= {f"glyphs-{key}.npz": bytes(40), f"faces-{key}/images.npy": bytes(2_000_000)}
    write_folder(tmp_path, stored | {f"mnist-{key}.lock": b"", "downloads/mnist/x.gz": bytes(9)})
    assert cached_bytes() == {"mnist": [3_500_000], "glyphs": [40], "faces": [2_000_000]}
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "3.5 MB" in printed
    assert f"cache: {tmp_path}; also holds faces 2.0 MB" in printed


def test_an_empty_cache_need_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "none"))
    assert cached_bytes() == {}


def test_sizes_are_told_in_thousands() -> None:
    assert [megabytes(size) for size in (0, 1_250_000, 28_030_130, 2_345_000_000)] == [
        *("0.0 MB", "1.2 MB", "28 MB", "2.3 GB")
    ]


def test_a_list_needs_neither_torch_nor_hydra(tmp_path: Path) -> None:
    code = (
        "import sys; from lossbench.data.__main__ import main; main(['list']); "
        "print([name for name in ('torch', 'hydra', 'matplotlib') if name in sys.modules])"
    )
    environment = {**os.environ, "LOSSBENCH_CACHE": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert found.stdout.splitlines()[-1] == "[]"
