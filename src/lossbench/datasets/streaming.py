"""Images too many to keep decoded: read and decoded when a batch needs them, by processes that work ahead."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np

from lossbench.config import ConfigError
from lossbench.datasets.decoding import Pixels
from lossbench.readers.recordio.framing import read_record
from lossbench.readers.recordio.payload import unpacked

BLOCK = 32
"""Neighbours in a file that are read at about the same time."""

WINDOW = 4096 * BLOCK
"""Rows that are shuffled together: those of many blocks, as neighbours are mostly of one identity."""

_PIECE = 1 << 17  # bytes of the file that are fetched together, some ten faces


@dataclass(frozen=True)
class EncodedImages:
    """Images (n, h, w, c) uint8 of a .rec file, decoded each time they are indexed: an array's stand-in.

    path: the file. offsets: (n,) int64, byte where the record of each image begins.

    Indexing raises ValueError, in one line with the byte, for a damaged record or image.
    """

    path: Path
    offsets: np.ndarray
    pixels: Pixels

    dtype = np.dtype(np.uint8)
    itemsize = 1
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.offsets), *self.pixels.shape)

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        return _decoded(self.path, self.offsets[index], self.pixels)


def block_order(count: int, *, seed: int, block: int = BLOCK, window: int = WINDOW) -> np.ndarray:
    """Order (count,) int64 of the rows in an epoch, each once: random, and kind to a disk.

    Blocks of neighbours come in random order, and the rows of every ``window`` rows of them once more: while
    these are read, no other part of the file is needed. seed: of the run and the epoch together.
    """
    generator = np.random.default_rng(seed)
    blocks = generator.permutation(-(-count // block))
    order = (blocks[:, None] * block + np.arange(block)).ravel()
    order = order[order < count]
    for start in range(0, count, window):
        generator.shuffle(order[start : start + window])
    return order


def read_ahead(images: EncodedImages, batches: Iterable[np.ndarray], workers: int) -> Iterator[np.ndarray]:
    """Yield ``images[rows]`` for each (b,) ``rows`` of ``batches``, in their order, whatever the processes.

    workers: processes that decode, two batches ahead each; they end with the iterator, on Ctrl-C, and when
    this process is killed. 0: decode here, when asked.

    Raises:
        ConfigError: in one line, for a damaged record or image, and if a process was killed.
    """
    try:
        yield from _ahead(images, batches, workers) if workers else (images[rows] for rows in batches)
    except BrokenProcessPool as error:
        raise ConfigError(
            f"{images.path}: a process that decodes images was killed, perhaps for want of memory"
        ) from error
    except (ValueError, OSError) as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _ahead(images: EncodedImages, batches: Iterable[np.ndarray], workers: int) -> Iterator[np.ndarray]:
    jobs = (images.offsets[rows] for rows in batches)
    # A fork of a process with threads, which training has, may hang.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, _obey_parent)

    def submitted(count: int) -> list[Future[np.ndarray]]:
        return [pool.submit(_decoded, images.path, some, images.pixels) for some in islice(jobs, count)]

    try:
        with _deaf():  # the first jobs start the processes
            ahead = deque(submitted(2 * workers))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(submitted(1))
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C from their first moment; for so long, so does this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _decoded(path: Path, offsets: np.ndarray, pixels: Pixels) -> np.ndarray:
    """Images (k, h, w, c) uint8 of the records that begin at ``offsets``."""
    decoded = np.empty((len(offsets), *pixels.shape), dtype=np.uint8)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _fetch(data, offsets)
        for place, offset in enumerate(offsets.tolist()):
            where = f"{path}: byte {offset}"
            image = unpacked(read_record(data, offset, path)[0], where)[1]
            try:
                decoded[place] = pixels.decode(image)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
    return decoded


def _fetch(data: mmap.mmap, offsets: np.ndarray) -> None:
    """Ask for the pieces around all records at once; one by one, a disk would be waited for each time."""
    if hasattr(mmap, "MADV_WILLNEED"):
        data.madvise(mmap.MADV_RANDOM)  # no reading ahead of one's own, which may be megabytes
        for piece in np.unique(offsets // _PIECE).tolist():
            data.madvise(mmap.MADV_WILLNEED, piece * _PIECE, min(_PIECE, len(data) - piece * _PIECE))


def _obey_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # this runs in children only

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
