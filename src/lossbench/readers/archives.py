"""Files of a folder, a tar (plain, .gz, .bz2 or .xz) or a zip, by name: archives are read, never unpacked.

What an archive is its first bytes tell, whatever its name. Links and devices in it are passed over and
counted; links in a folder are followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, NoReturn

from lossbench.readers.members import Member, members, unpacked

MOST_BYTES = 1 << 26  # of one file; a larger one is refused


class Listing(NamedTuple):
    """names: files, "/" between folders, sorted. passed_over: links that lead nowhere new, pipes, devices."""

    names: tuple[str, ...]
    passed_over: int


def list_files(path: Path) -> Listing:
    """Names of all files in a folder or an archive. A tar is read to its end, and so known to be whole.

    Raises:
        ValueError: in one line, for what is no folder and no whole tar or zip, for one that would grow
        beyond all measure, and for names that are absolute, leave the folder or stand there twice.
    """
    found = list(_walk(path)) if path.is_dir() else [name for name, _ in _members_of(path)]
    names = sorted((name for name in found if name), key=lambda name: name.split("/"))
    for one, other in pairwise(names):
        if one == other:
            raise ValueError(f"{path}: holds {one} twice")
    return Listing(tuple(names), len(found) - len(names))


def read_files(path: Path, names: Iterable[str], *, largest: int = MOST_BYTES) -> Iterator[tuple[str, bytes]]:
    """Yield (name, contents) of files that ``list_files`` names, each once.

    In the order of the archive, which is read forwards and once; of a folder in the order given.

    Raises:
        ValueError: in one line, for a file that is damaged, missing or has over ``largest`` bytes.
    """
    for name, data in each_file(path, names, largest=largest):
        if isinstance(data, ValueError):
            raise data
        yield name, data


def each_file(
    path: Path, names: Iterable[str], *, largest: int = MOST_BYTES
) -> Iterator[tuple[str, bytes | ValueError]]:
    """As ``read_files``, with the error in place of the contents of one file that cannot be read."""
    if path.is_dir():
        for name in names:
            try:
                yield name, _read(path, name, largest)
            except ValueError as error:
                yield name, error
        return
    wanted = set(names)
    found = [(name, place) for name, place in _members_of(path) if name in wanted and place is not None]
    if missing := wanted.difference(name for name, _ in found):
        raise ValueError(f"{path}: {min(missing)} is not there")
    read = []
    for name, place in found:
        try:
            _check_size(path, name, place.size, largest)
            read.append((name, place))
        except ValueError as error:
            yield name, error
    yield from unpacked(path, sorted(read, key=lambda item: item[1].at))


def _walk(folder: Path) -> Iterator[str]:
    """Yield the name of each file, and "" for what is none and for folders that links lead to once more."""
    top = folder.resolve()
    entered = set(top.parents)
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_unlisted):
        folders.sort()  # which of two ways into a folder is taken must not depend on the disk
        real, below = Path(place).resolve(), Path(place).relative_to(folder)
        if len(below.parts) == 1:
            entered = {top, *top.parents}  # but each folder of the top one has all that it leads to
        if real in entered:
            folders.clear()
            yield ""
            continue
        entered.add(real)
        yield from ((below / name).as_posix() if Path(place, name).is_file() else "" for name in names)


def _unlisted(error: OSError) -> NoReturn:
    raise ValueError(f"{error.filename}: cannot be listed ({error.strerror})") from error


def _read(folder: Path, name: str, largest: int) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise ValueError(f"{folder / name}: cannot be read ({error.strerror})") from error
    _check_size(folder, name, len(data), largest)
    return data


def _members_of(path: Path) -> tuple[Member, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    return members(path, found.st_ino, found.st_size, found.st_mtime_ns)


def _check_size(path: Path, name: str, size: int, largest: int) -> None:
    if size > largest:
        raise ValueError(f"{path}: {name} has over {largest} bytes: more than are read")
