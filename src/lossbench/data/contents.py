"""The images of a folder, an archive, a .rec file or a list, encoded, and who they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossbench.datasets.csv_list import CsvList
from lossbench.datasets.decoding import Encoded
from lossbench.datasets.division import ByImage
from lossbench.datasets.folders import SUFFIXES, Found, find_images
from lossbench.readers import RecordFile
from lossbench.readers.archives import each_file, list_files


@dataclass(frozen=True)
class Contents:
    """Images that nobody has decoded yet.

    files: (n,) what people call each. identities: (n,) who is in each. passed_over: files that are no images,
    counted by reason. read: all of them, in any order.
    """

    files: Sequence[object]
    identities: Sequence[object]
    read: Callable[[], Iterator[Encoded]]
    passed_over: dict[str, int]


def contents(path: Path, root: Path | None = None) -> Contents:
    """What is in a folder, tar or zip of identity folders, a .rec, or a .csv with paths below ``root``.

    Raises:
        ValueError: in one line, for a set that cannot be read at all.
    """
    path = path.expanduser()
    if root is not None and path.suffix != ".csv":
        raise ValueError(f"--root={root}: goes with a .csv alone")
    record = path / "train.rec" if (path / "train.rec").is_file() else path
    if record.suffix == ".rec" and record.is_file():
        return _of_records(RecordFile(record))
    if path.suffix == ".csv":
        return _of_files(_listed(path, root), {})
    found = find_images(path)
    return _of_files(found, _passed_over(found))


def _of_files(found: Found, passed_over: dict[str, int]) -> Contents:
    rows = {name: row for row, name in enumerate(found.files)}

    def read() -> Iterator[Encoded]:
        return ((rows[name], data) for name, data in each_file(found.root, found.files))

    return Contents(found.origin, found.identities, read, passed_over)


def _passed_over(found: Found) -> dict[str, int]:
    listing = list_files(found.root)
    left = set(listing.names).difference(found.files)
    reasons = Counter(map(_reason, left))
    if listing.passed_over:
        reasons["links that lead nowhere new, or no files"] = listing.passed_over
    return dict(reasons.most_common())


def _reason(name: str) -> str:
    if any(part.startswith(".") for part in name.split("/")):
        return "hidden"
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        return f"no image by its suffix, {suffix}" if suffix else "without a suffix"
    return "beside the folders of the identities"


def _listed(path: Path, root: Path | None) -> Found:
    every = {"height": 1, "width": 1, "channels": 3, "box": None, "fit": "stretch", "skip_broken": False}
    division = ByImage(val_fraction=0, test_fraction=0, split_seed=0)
    listed = CsvList(path=str(path), root=None if root is None else str(root), division=division, **every)  # type: ignore[arg-type]
    return listed.find()


def _of_records(records: RecordFile) -> Contents:
    _ = records.identities  # the file's own account of who is where

    def read() -> Iterator[Encoded]:
        for row, key in enumerate(records.images.tolist()):
            try:
                yield row, records.image_bytes(key)
            except ValueError as error:
                yield row, error

    keys: Sequence[object] = np.char.add("key ", records.images.astype(np.str_))  # type: ignore[assignment]
    return Contents(keys, records.labels, read, {})  # type: ignore[arg-type]
