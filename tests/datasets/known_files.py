"""Divisions for the known sets, archives of a few files, and places where nobody's data lie."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lossbench.datasets import ByIdentity, ByImage
from lossbench.datasets import files as files_module

BY_IMAGE = ByImage(val_fraction=0.25, test_fraction=0.0, split_seed=0)
NONE_HELD_OUT = {"val_identities": 0, "test_identities": 1, "val_images": 0, "test_images": 0}


def by_identity(**changes: float) -> ByIdentity:
    return ByIdentity(**{**NONE_HELD_OUT, "least_images": 2, "split_seed": 0, **changes})


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """LOSSBENCH_DATA, an empty cache, and no way out: a download fails the test."""

    def refuse(remote: object, place: Path) -> None:
        raise AssertionError(f"{remote} was to be downloaded to {place}")

    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("LOSSBENCH_DATA", str(folder))
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files_module, "download", refuse)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("LOSSBENCH_DATA")
    if not folder:
        pytest.skip("LOSSBENCH_DATA names no folder with real files")
    return Path(folder)


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, contents in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return path


def write_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, contents in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(contents)
    return path


def idx(array: np.ndarray, *, packed: bool = True) -> bytes:
    written = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    return gzip.compress(written) if packed else written
