"""Two caches: arrays on disk, shared by processes, and whole data sets in memory, shared by jobs."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from platformdirs import user_cache_dir

from lossbench.datasets.dataset import Dataset, Source

Arrays = dict[str, np.ndarray]
logger = logging.getLogger(__name__)

KEPT_IN_MEMORY = 2
_loaded: dict[tuple[str, str], Dataset] = {}


def load(source: Source) -> Dataset:
    """``source.load()``, read once per process: the jobs of a sweep share the last two data sets.

    Treat the arrays as read-only.
    """
    # the same rows may have another name, or be refused, by options that the fingerprint leaves out
    key = source.fingerprint(), repr(source)
    dataset = _loaded.pop(key) if key in _loaded else source.load()
    _loaded[key] = dataset
    while len(_loaded) > KEPT_IN_MEMORY:
        del _loaded[next(iter(_loaded))]
    return dataset


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Sha256 (hex) of names, types, shapes and contents; the order of the names does not matter."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.view(np.uint8).data if array.size else b"")
    return total.hexdigest()


def cache_folder() -> Path:
    """``LOSSBENCH_CACHE``, else the platform's cache folder. It need not exist yet.

    Raises:
        ValueError: if it is a file.
    """
    given = os.environ.get("LOSSBENCH_CACHE")
    folder = Path(given or user_cache_dir("lossbench", appauthor=False)).expanduser()
    if folder.is_file():
        raise ValueError(
            f"LOSSBENCH_CACHE={folder}: is a file; name a folder (it will be made if it is missing)"
        )
    return folder


def cached_arrays(key: str, draw: Callable[[], Arrays]) -> Arrays:
    """The arrays stored under ``key``, or those ``draw`` makes, which are then stored.

    A damaged file is reported in one line, removed and drawn again. A folder that cannot be written is
    reported once and then done without.
    """
    path = cache_folder() / f"{key}.npz"
    arrays = _read(path)
    if arrays is None:
        arrays = draw()
        _write(path, arrays)
    return arrays


@cache
def report_unwritable(folder: Path, reason: str) -> None:
    """Warn of it once."""
    logger.warning("cannot write the cache folder %s (%s): going on without it", folder, reason)


def one_line(error: Exception) -> str:
    """Kind and text of an error."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _read(path: Path) -> Arrays | None:
    try:
        if not path.is_file():
            return None
        # np.load, given a path, leaves a torn file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            stored = {name: archive[name] for name in archive.files}
        if str(stored.pop("sha256")) != digest(stored):
            raise ValueError("its contents do not match its sha256")
    except Exception as error:  # a torn zip raises anything from EOFError to zlib.error
        logger.warning("%s is damaged (%s): drawing it again", path, one_line(error))
        _remove(path)
        return None
    return stored


def _write(path: Path, arrays: Arrays) -> None:
    """Write beside ``path``, then rename: a reader or a second writer never sees half a file."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, sha256=np.array(digest(arrays)), **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    except OSError as error:
        report_unwritable(path.parent, one_line(error))
        if temporary is not None:
            _remove(temporary)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("cannot remove %s (%s)", path, one_line(error))
