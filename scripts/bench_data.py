"""Make a table of what data cost: preparing faces once, opening them again, and batches while training.

Faces are those of LFW if they lie under LOSSBENCH_DATA, else as many random JPEGs; all become 112x96 RGB.
Sides take turns in one run; ratios are medians over the turns and only mean something on an idle machine.
About 5 minutes on two cores, 1 with --quick, 3 GB of memory, 1 GB of disk, no download. `--out FILE` writes
the table as Markdown.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from measured import CPU, Row, beside, run, turns
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lossbench.augment import compose, crop, flip
from lossbench.datasets import ByIdentity, Folder, Lfw, Split
from lossbench.datasets.files import find_file
from lossbench.datasets.folders import find_images
from lossbench.lightning.datamodule import Batches
from lossbench.lightning.stored_rows import StoredRows
from lossbench.readers.archives import read_files
from lossbench.readers.members import members

IDENTITIES, IMAGES, SIDE = 5749, 13_233, 144  # of LFW's crops
HEIGHT, WIDTH, BOX = 112, 96, (29, 36, 125, 132)
BATCH, PADDING = 256, 4
CORES = len(os.sched_getaffinity(0))
DIVISION = ByIdentity(
    val_identities=150, test_identities=1000, val_images=0, test_images=0, least_images=2, split_seed=0
)


@cache
def faces() -> Path:
    """LFW, or a folder of noise like it: blurred, so that its JPEGs are of a photograph's size."""
    found = find_file(Lfw.facts, "lfw_deepfunneled_crop144.tar.gz", "lfw-deepfunneled.tgz")
    if found is not None:
        return found
    folder = Path(tempfile.mkdtemp(dir=_temporary()))
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        rough = Image.fromarray(generator.integers(0, 256, (SIDE // 4, SIDE // 4, 3), dtype=np.uint8))
        place = folder / f"{number % IDENTITIES:04}" / f"{number:05}.jpg"
        place.parent.mkdir(exist_ok=True)
        rough.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(place, quality=90)
    return folder


@cache
def _kept() -> tempfile.TemporaryDirectory:
    """Removed when this process ends."""
    return tempfile.TemporaryDirectory()


def _temporary() -> str:
    return _kept().name


def source(path: Path) -> Folder:
    return Folder(
        path=str(path),
        height=HEIGHT,
        width=WIDTH,
        channels=3,
        box=BOX,
        fit="stretch",
        skip_broken=False,
        division=DIVISION,
    )


@cache
def encoded() -> list[bytes]:
    """All files, in memory."""
    found = find_images(faces())
    return [data for _, data in read_files(found.root, found.files)]


def decoded(data: bytes) -> np.ndarray:
    """What one would write with Pillow alone."""
    with Image.open(io.BytesIO(data)) as image:
        cut = image.convert("RGB").crop(BOX)
        return np.asarray(cut.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


@contextmanager
def cache_in(folder: str) -> Iterator[None]:
    before = os.environ.get("LOSSBENCH_CACHE")
    os.environ["LOSSBENCH_CACHE"] = folder
    try:
        yield
    finally:
        os.environ.pop("LOSSBENCH_CACHE") if before is None else os.environ.update(LOSSBENCH_CACHE=before)


def prepare_anew() -> None:
    """Into a cache of its own, removed at the end, and with nothing known of the archive."""
    members.cache_clear()
    folder = tempfile.mkdtemp(dir=_temporary())
    with cache_in(folder):
        source(faces()).collect()


def decode_by_hand(part: int = 0, parts: int = 1) -> None:
    for data in encoded()[part::parts]:
        decoded(data)


def preparing(quick: bool) -> Iterator[Row]:
    """All images read, decoded, hashed and written, beside decoding and resizing them in one thread.

    And the latter in as many processes as there are cores: what the machine itself makes of two of them.
    """
    shares = [(part, CORES) for part in range(CORES)]
    with get_context("spawn").Pool(CORES, initializer=encoded) as pool:
        sides = {
            "ours": prepare_anew,
            "bare": decode_by_hand,
            "processes": partial(pool.starmap, decode_by_hand, shares, chunksize=1),
        }
        taken = turns(sides, 1 if quick else 5)
    what = f"{len(encoded()):,} JPEGs to {HEIGHT}x{WIDTH} RGB"
    bare = [seconds / CORES for seconds in taken["bare"]]
    line = f"{what} on disk with {CORES} processes, beside Pillow in one thread / {CORES}, s"
    yield beside(line, taken["ours"], bare, 1.5)
    line = f"{what} on disk with {CORES} processes, beside Pillow in {CORES} processes, nothing kept, s"
    yield beside(line, taken["ours"], taken["processes"])
    line = f"{what} by Pillow in {CORES} processes, nothing kept, beside one thread / {CORES}, s"
    yield beside(line, taken["processes"], bare)


def opening(quick: bool) -> Iterator[Row]:
    """The data set of images that are prepared, in a process that has seen nothing of it."""
    with cache_in(_temporary()):
        source(faces()).collect()
        with get_context("spawn").Pool(1) as pool:
            seconds = pool.apply(open_once, (faces(),))
    what = "opening them prepared: digest of the files, division into splits, s"
    yield Row(what, f"{seconds:.2f}", required="< 1", met=seconds < 1)


def open_once(path: Path) -> float:
    started = time.perf_counter()
    source(path).load()
    return time.perf_counter() - started


class Decoding(TorchDataset):
    """One sample at a time, as most training loops have it: decode, resize, flip, crop."""

    def __init__(self, files: list[bytes]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(decoded(self.files[row]).copy()).permute(2, 0, 1).float().div_(255)
        if torch.rand(()) < 0.5:
            image = image.flip(-1)
        padded = torch.nn.functional.pad(image, (PADDING,) * 4)
        top, left = torch.randint(2 * PADDING + 1, (2,)).tolist()
        return padded[:, top : top + HEIGHT, left : left + WIDTH].mul(2).sub_(1), row


def feeding(quick: bool) -> Iterator[Row]:
    """Shuffled, augmented batches of all images: from memory, from the memory map, and decoded one by one."""
    with cache_in(_temporary()):
        collection = source(faces()).collect()
    count = min(len(collection), 2048 if quick else 2**13)
    labels = np.array(collection.labels[:count])
    split = Split(collection.data, labels, collection.names, np.arange(count))
    stored, label = StoredRows(split, CPU), torch.from_numpy(labels)
    augment = partial(compose, steps=[partial(flip, p=0.5), partial(crop, padding=PADDING)])
    files = Decoding(encoded()[:count])
    loader = partial(DataLoader, files, BATCH, shuffle=True, drop_last=True)
    sides = {
        "memory": Batches(stored.held(), label, BATCH, 0, augment),
        "map": Batches(stored, label, BATCH, 0, augment),
        "process": loader(),
        "workers": loader(num_workers=CORES, persistent_workers=True, multiprocessing_context="spawn"),
    }
    taken = turns({side: partial(exhaust, batches) for side, batches in sides.items()}, 2 if quick else 5)
    images = count // BATCH * BATCH
    rates = {side: [images / seconds for seconds in every] for side, every in taken.items()}
    what = f"batches of {BATCH}, flip and crop, images/s: "
    yield beside(f"{what}in memory, beside a DataLoader that decodes", rates["memory"], rates["process"])
    yield beside(
        f"{what}in memory, beside one with {CORES} worker processes", rates["memory"], rates["workers"]
    )
    yield beside(f"{what}from the memory map, beside in memory", rates["map"], rates["memory"])


def exhaust(batches: Batches | DataLoader) -> None:
    for _ in batches:
        pass


PARTS = {"preparing": preparing, "opening": opening, "feeding": feeding}

if __name__ == "__main__":
    run(__doc__, "What data cost", PARTS)
