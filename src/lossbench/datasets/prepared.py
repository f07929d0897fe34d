"""Images decoded once, in a folder of the cache, and memory-mapped by every run after that."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from lossbench.datasets.cache import Arrays, cache_folder, digest, one_line, report_unwritable
from lossbench.datasets.collection import Collection
from lossbench.datasets.decoding import Decoded
from lossbench.datasets.processes import MANY, in_processes
from lossbench.datasets.progress import bar
from lossbench.datasets.threads import in_threads

logger = logging.getLogger(__name__)

Block = tuple[Sequence[int], Sequence[np.ndarray]]
Put = Callable[[Sequence[int], list[np.ndarray]], object]

Share = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]  # as ``in_threads``

_IMAGES = "images.npy"
_FACTS = "facts.json"
_SENT_EVERY = 0.2  # seconds


@dataclass(frozen=True)
class Plan:
    """How to make the rows, before any is decoded.

    shape: (n, h, w, c) of all images.
    columns: n entries each; ``labels`` and ``origin``, and ``given`` where the set prescribes roles.
    names: one name per identity, ``labels`` index them.
    blocks: some rows and their images, uint8, in any order; other threads keep them, so that nobody may write
    into images once handed out. A row in none of them is left out, and so is an identity without rows.
    facts: anything that json can write, kept with the images; read after the last block.
    decode: what makes such rows and images of a block, perhaps in another process: a function of a module;
    None: they are there already.
    broken: told of each row that turns out to have no image, and why.
    """

    shape: tuple[int, int, int, int]
    columns: Arrays
    names: Sequence[str]
    blocks: Iterable[Any]
    facts: dict[str, Any] = field(default_factory=dict)
    decode: Callable[[Any], Decoded] | None = None
    broken: Callable[[int, str], object] | None = None


@dataclass(frozen=True)
class Prepared:
    """images: (n, h, w, c) uint8, read-only. columns: those of the plan, and ``pixels``, (n,) S16: a
    digest of each image. sha256: of images, labels and names."""

    images: np.ndarray
    columns: Arrays
    names: tuple[str, ...]
    facts: dict[str, Any]
    sha256: str

    def collection(self) -> Collection:
        return Collection(self.images, names=self.names, sha256=self.sha256, **self.columns)


def prepared(name: str, key: str, plan: Callable[[], Plan]) -> Prepared:
    """What is stored under ``key``, or else what ``plan`` makes, which is then stored.

    name: begins the folder's name, for people. key: digest (hex) of all that decides the result. One process
    prepares a key while others wait for it; what it leaves when it is killed is never read. A damaged folder
    is reported in one line and made again; a cache that cannot be written is reported once and the images
    stay in memory.

    Raises:
        ValueError: in one line, if the disk has no room; whatever ``plan`` raises.
    """
    readable = re.sub(r"[^\w.-]+", "_", name)[:40]
    folder = cache_folder() / f"{readable}-{key[:16]}"
    found = _open(folder)
    if found is None:
        with _locked(folder) as writable:
            # another process may have made it meanwhile
            found = _open(folder, report=True) if writable else None
            if found is None:
                found = _store(folder, plan()) if writable else _in_memory(plan())
    return found


def _open(folder: Path, *, report: bool = False) -> Prepared | None:
    if not folder.is_dir():
        return None
    try:
        known = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        for name, size in known["sizes"].items():
            if (folder / name).stat().st_size != size:
                raise ValueError(f"{name} has not its {size} bytes")
        columns = {Path(name).stem: np.load(folder / name, mmap_mode="r") for name in known["sizes"]}
        images, names = columns.pop("images"), columns.pop("names")
        known_rows = {"pixels": columns["pixels"], "labels": columns["labels"], "names": names}
        if digest(known_rows) != known["sha256"]:
            raise ValueError("labels or names do not match its sha256")
        return Prepared(images, columns, tuple(names.tolist()), known["facts"], known["sha256"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        if report:
            logger.warning("%s is damaged (%s): preparing it again", folder, one_line(error))
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Keep other processes from preparing the same; false if the cache cannot be written."""
    lock = FileLock(f"{folder}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("%s: waiting for another process that prepares it", folder)
            lock.acquire()
    except OSError as error:
        report_unwritable(folder.parent, one_line(error))
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _store(folder: Path, plan: Plan) -> Prepared:
    """Write beside ``folder``, then rename: nobody ever opens half a folder."""
    unfinished = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    _sweep(folder.parent)
    _check_room(folder.parent, math.prod(plan.shape))
    try:
        unfinished.mkdir()
        pixels = _write_images(unfinished / _IMAGES, plan)
        images = np.load(unfinished / _IMAGES, mmap_mode="r+")
        made = _described(images, pixels, plan)
        if len(made.images) < len(images):
            images.flush()
            _shortened(unfinished / _IMAGES, made.images)
        _write_rest(unfinished, made)
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        unfinished.replace(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return _open(folder) or made


def _shortened(path: Path, kept: np.ndarray) -> None:
    """Let the file end after ``kept``, its first rows: numpy's header has room for any smaller number."""
    with path.open("r+b") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": kept.shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + kept.size)


def _sweep(cache: Path) -> None:
    """Remove what killed processes left: nobody holds the lock of it."""
    for unfinished in cache.glob("*.partial"):
        try:
            with FileLock(unfinished.with_suffix(".lock"), timeout=0):
                shutil.rmtree(unfinished, ignore_errors=True)
        except (OSError, Timeout):
            continue


def _check_room(cache: Path, needed: int) -> None:
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise ValueError(
            f"LOSSBENCH_CACHE={cache}: {needed / 1e9:.2g} GB of decoded images do not fit on this disk, "
            f"{free / 1e9:.2g} GB are free: name a folder on another one, or choose smaller images"
        )


def _write_images(path: Path, plan: Plan) -> np.ndarray:
    """Write an .npy file; what ``_filled`` returns. Through a memory map it takes three times as long."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": plan.shape}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        file.truncate(start + math.prod(plan.shape))
        file.flush()
        many = plan.decode is not None and plan.shape[0] >= MANY
        share: Share = in_processes if many else in_threads
        with _sent_to_disk(file.fileno()):
            return _filled(partial(_put, path, start), plan, share)


def _put(path: Path, start: int, rows: Sequence[int], images: list[np.ndarray]) -> None:
    """Write images into a file whose first row begins at byte ``start``."""
    with path.open("r+b") as file:
        for row, image in zip(rows, images, strict=True):
            file.seek(start + row * image.nbytes)
            file.write(image.data)


@contextmanager
def _sent_to_disk(file: int) -> Iterator[None]:
    """See to it that what is written meanwhile outlives a failing computer, as the folder's name may.

    A thread does this all the time: at the end one would wait for all of it.
    """
    done = Event()

    def send() -> None:
        while not done.wait(_SENT_EVERY):
            os.fsync(file)

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        try:
            yield
        finally:
            done.set()
            sending.result()
    os.fsync(file)


def _write_rest(folder: Path, made: Prepared) -> None:
    for name, column in {**made.columns, "names": np.array(made.names, dtype=np.str_)}.items():
        np.save(folder / f"{name}.npy", column)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    facts = {"sha256": made.sha256, "sizes": sizes, "facts": made.facts}
    (folder / _FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _in_memory(plan: Plan) -> Prepared:
    images = np.empty(plan.shape, np.uint8)

    def put(rows: Sequence[int], some: list[np.ndarray]) -> None:
        for row, image in zip(rows, some, strict=True):
            images[row] = image

    made = _described(images, _filled(put, plan, in_threads), plan)
    made.images.setflags(write=False)
    return made


def _filled(put: Put, plan: Plan, share: Share) -> np.ndarray:
    """Hand every row to ``put``, as ``share`` shares the work; digests (n,) S16, b"" for rows left out."""
    pixels = np.zeros(plan.shape[0], "S16")
    keep = partial(_keep, put, plan.shape[1:], plan.decode)
    with bar("decoding", plan.shape[0]) as advance:
        for kept in share(keep, plan.blocks):
            pixels[kept.rows] = kept.pixels
            for row, reason in kept.broken.items():
                assert plan.broken is not None  # or nothing could be broken
                plan.broken(row, reason)
            advance(len(kept.rows))
    return pixels


class _Kept(NamedTuple):
    """Rows that were written, digests of their images, and why others have none."""

    rows: list[int]
    pixels: list[bytes]
    broken: dict[int, str]


def _keep(put: Put, shape: tuple[int, ...], decode: Callable[[Any], Decoded] | None, block: Any) -> _Kept:
    rows, images, broken = (*block, {}) if decode is None else decode(block)
    whole = [np.ascontiguousarray(image, np.uint8).reshape(shape) for image in images]
    put(rows, whole)
    digests = [hashlib.blake2b(image.data, digest_size=16).digest() for image in whole]
    return _Kept(list(rows), digests, broken)


def _described(images: np.ndarray, pixels: np.ndarray, plan: Plan) -> Prepared:
    """The rows with what is known of them; rows that were left out leave a gap, which is closed."""
    columns, names = {**plan.columns, "pixels": pixels}, np.array(plan.names, dtype=np.str_)
    kept = np.flatnonzero(pixels != b"")
    if len(kept) < len(pixels):
        for to, source in enumerate(kept):
            images[to] = images[source]
        images, columns = images[: len(kept)], {name: column[kept] for name, column in columns.items()}
        present, columns["labels"] = np.unique(columns["labels"], return_inverse=True)
        names = np.array(names[present].tolist(), dtype=np.str_)  # as wide as they are read again
    sha256 = digest({"pixels": columns["pixels"], "labels": columns["labels"], "names": names})
    return Prepared(images, columns, tuple(names.tolist()), plan.facts, sha256)
