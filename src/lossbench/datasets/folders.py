"""Images in a folder or an archive, one folder an identity: which files they are, and who is in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lossbench.readers.archives import list_files
from lossbench.readers.list_files import sha256_of

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
ROLES = {"train": "train", "test": "test", **dict.fromkeys(("val", "valid", "validation", "eval"), "val")}
_LONGEST = 1000  # characters of a name; each takes four bytes in every row


@dataclass(frozen=True)
class Found:
    """Image files below ``root``, one entry each, and how many others there are.

    files: names for ``read_files``. origin: the same below the folders that all of an archive shares.
    given: the role that a folder train, val or test above the identities prescribes; None without such.
    """

    root: Path
    files: list[str]
    origin: list[str]
    identities: list[str]
    given: list[str] | None = None
    passed_over: int = 0


def find_images(path: Path) -> Found:
    """Images of ``<identity>/...`` or ``<role>/<identity>/...`` in a folder or an archive, sorted by folder.

    The folders that an archive has around all of its identities do not count. Passed over and counted: what
    is hidden or no image by its suffix, and images beside the folders of the identities.

    Raises:
        ValueError: in one line, for a path without such images, and names that no list could hold.
    """
    check_exists(path)
    listing = list_files(path)
    files = [name for name in listing.names if _is_image(name)]
    above = 0 if path.is_dir() else _shared_folders(files)
    parts = {name: name.split("/")[above:] for name in files}
    roles = _has_roles(list(parts.values()))
    tops = {part[0] for part in parts.values() if len(part) > 2}
    if not roles and {"train", "test"} <= {top.lower() for top in tops}:
        others = min(top for top in tops if top.lower() not in ROLES)
        raise ValueError(f"{path}: beside its folders train and test stands {others}: move it elsewhere")
    files = [name for name in files if len(parts[name]) > 1 + roles]
    if not files:
        raise ValueError(f"{path}: no images in {path}/<identity>/")
    for name in files:
        check_name(path, name)
    return Found(
        root=path,
        files=files,
        origin=["/".join(parts[name]) for name in files],
        identities=[parts[name][roles] for name in files],
        given=[ROLES[parts[name][0].lower()] for name in files] if roles else None,
        passed_over=len(listing.names) - len(files) + listing.passed_over,
    )


def check_exists(path: Path) -> None:
    """Raise ValueError unless there is something at ``path``."""
    if not path.exists():
        raise ValueError(f"{path}: no such folder or archive")


def content_key(root: Path, files: Iterable[str]) -> str:
    """Digest (hex) that changes with the files: an archive's bytes; names, sizes and times in a folder."""
    if not root.is_dir():
        stat = root.stat()
        return _sha256_of(root, stat.st_size, stat.st_mtime_ns)
    total, names = hashlib.sha256(), list(files)
    for name in names:
        stat = (root / name).stat()
        total.update(f"{name}\0{stat.st_size} {stat.st_mtime_ns}\n".encode())
    for name in names[:: max(1, len(names) // 64)]:  # other files may have equal sizes and times
        with (root / name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for at in sorted({size * i // 8 for i in range(8)}):
                file.seek(at)
                total.update(file.read(4096))
    return total.hexdigest()


def check_name(path: Path | str, name: str) -> None:
    """Raise ValueError for a name that a text file cannot hold as a line of its own, or an over-long one."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{path}: the name {name!r} is no UTF-8: rename the file") from None
    if name.splitlines() != [name] or len(name) > _LONGEST:
        raise ValueError(
            f"{path}: the name {name[:80]!r} holds a line break or {_LONGEST} characters: rename it"
        )


def _is_image(name: str) -> bool:
    suffix = f".{name.rpartition('.')[2].lower()}"
    return suffix in SUFFIXES and not any(part.startswith(".") for part in name.split("/"))


def _shared_folders(files: list[str]) -> int:
    """How many folders stand around all images, with folders of identities below the last of them."""
    parts = [name.split("/") for name in files]
    shared = 0
    while sum(len(part) > shared + 2 for part in parts) * 2 > len(parts):
        folders = {"/".join(part[shared : shared + 1]).lower() for part in parts}
        if len(folders) > 1 or folders <= set(ROLES):
            break
        shared += 1
    return shared


def _has_roles(parts: list[list[str]]) -> bool:
    """Whether train, val or test stand above the identities; those may also be three identities."""
    folders = {part[0].lower() for part in parts if len(part) > 1}
    return bool(folders) and folders <= set(ROLES) and sum(len(part) > 2 for part in parts) * 2 > len(parts)


@cache
def _sha256_of(path: Path, size: int, modified: int) -> str:
    """Sha256 of a file, read again when its size or its time (ns) has changed."""
    return sha256_of(path)
