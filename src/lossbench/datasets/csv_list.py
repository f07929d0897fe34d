"""Your own images, listed in a CSV file: path,label or path,label,split."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lossbench.datasets.folders import ROLES, Found, check_exists, check_name, content_key
from lossbench.datasets.image_files import ImageFiles
from lossbench.datasets.options import digest_of
from lossbench.readers.archives import list_files
from lossbench.readers.list_files import sha256_of, text_lines


@dataclass(frozen=True, kw_only=True)
class CsvList(ImageFiles):
    """Images that the lines of the CSV file ``path`` name: UTF-8, with a header that has path and label.

    Paths are relative to ``root``, a folder or an archive, and stay below it; None: the CSV's own folder. The
    column split, if there is one, holds train, val, test or nothing. Other columns are not read.
    """

    root: str | None

    def content(self) -> str:
        check_exists(self.place)
        check_exists(self._root)
        files = self.find().files if self._root.is_dir() else ()
        return digest_of(list=sha256_of(self.place), files=content_key(self._root, files))

    def find(self) -> Found:
        """Raises ValueError naming the line at fault."""
        root = self._root
        inside = None if root.is_dir() else set(list_files(root).names)
        lines: dict[str, int] = {}
        labels, given = [], []
        for number, file, label, split in _rows(self.place):
            if lines.setdefault(file, number) != number:
                raise ValueError(f"{self.place}:{number}: {file} stands in line {lines[file]} already")
            if not ((root / file).is_file() if inside is None else file in inside):
                raise ValueError(f"{self.place}:{number}: {file} is not in {root}")
            labels.append(label)
            given.append(split)
        if not lines:
            raise ValueError(f"{self.place}: has no lines below its header")
        return Found(root, list(lines), list(lines), labels, given if any(given) else None)

    @property
    def _root(self) -> Path:
        return self.place.parent if self.root is None else Path(self.root).expanduser()


def _rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yield number of the line, file, label and role, '' for none."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, not a CSV file; dataset=folder reads folders")
    lines = csv.reader((line for _, line in text_lines(path)), strict=True, skipinitialspace=True)
    try:
        header = [name.removeprefix("\ufeff").strip() for name in next(lines, [])]
        if not {"path", "label"} <= set(header):
            raise ValueError(
                f"{path}:1: columns {', '.join(header)[:80]}: expected path,label or path,label,split"
            )
        for cells in filter(None, lines):
            if len(cells) != len(header):
                raise ValueError(
                    f"{path}:{lines.line_num}: {len(cells)} columns, the header has {len(header)}"
                )
            row = dict(zip(header, cells, strict=True))
            place = f"{path}:{lines.line_num}"
            role = _role(place, row.get("split", ""))
            yield lines.line_num, _file(place, row["path"]), _label(place, row["label"]), role
    except csv.Error as error:
        raise ValueError(f"{path}:{lines.line_num}: {error}") from error


def _file(place: str, written: str) -> str:
    name = PurePosixPath(written.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or not name.parts or name.parts[0][1:] == ":":
        raise ValueError(f"{place}: path {written!r}: must be relative to dataset.root and stay below it")
    check_name(place, name.as_posix())
    return name.as_posix()


def _label(place: str, written: str) -> str:
    if not written.strip():
        raise ValueError(f"{place}: label is empty: name who the image shows")
    check_name(place, written)
    return written.strip()


def _role(place: str, written: str) -> str:
    word = written.strip().lower()
    if word and word not in ROLES:
        raise ValueError(f"{place}: split {written!r}: must be train, val, test or empty")
    return ROLES[word] if word else ""
