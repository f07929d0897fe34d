"""Members of a tar (plain, .gz, .bz2 or .xz) or a zip: where they stand, and their bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

# Photographs hardly compress; a few kilobytes of gzip can claim to hold terabytes.
_MOST_RATIO = 200
_MOST_ANYWAY = 1 << 30  # bytes: tiny images compress further, because tars pad each of them
_MOST_AT_ONCE = 1 << 20  # bytes of a tar's headers: no honest name comes near it

_BUFFER = 1 << 18

_COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
# What the standard library raises for damaged archives; RuntimeError also stands for endless recursion.
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, ValueError, OverflowError, RuntimeError),
)


class Place(NamedTuple):
    """Byte at which a file begins in an uncompressed tar, or its header in a zip; its uncompressed size."""

    at: int
    size: int


Member = tuple[str, Place | None]  # "" and None for what is no file


class RefusedError(ValueError):
    """A fault with its own words, unlike those of the standard library."""


@lru_cache(maxsize=1)
def members(path: Path, *unchanged: int) -> tuple[Member, ...]:
    """Each member of an archive, kept because a tar must be read as a whole to know them."""
    with _told(path):
        if _is_zip(path):
            with zipfile.ZipFile(path) as archive:
                return tuple(_zip_members(path, archive))
        with _uncompressed(path) as stream:
            return tuple(_tar_members(path, stream))


def unpacked(path: Path, files: list[tuple[str, Place]]) -> Iterator[tuple[str, bytes | ValueError]]:
    """Name and contents of each of ``files``, which stand in the order of their places."""
    with _told(path):
        if _is_zip(path):
            with zipfile.ZipFile(path) as archive:
                entries = {info.header_offset: info for info in archive.infolist()}
                for name, (at, _) in files:
                    try:
                        yield name, _unzipped(path, archive, entries[at], name)
                    except RefusedError as error:
                        yield name, error
        else:
            with _uncompressed(path) as stream:
                for name, place in files:
                    stream.seek(place.at)
                    yield name, stream.take(place.size)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever the standard library says of an archive becomes one line."""
    try:
        yield
    except RefusedError:
        raise
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: damaged, or no tar or zip ({reason})") from error


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"PK\3\4", b"PK\5\6")


@contextmanager
def _uncompressed(path: Path) -> Iterator[_Forwards]:
    with path.open("rb") as file:
        first = file.read(8)
    opener = next((opener for magic, opener in _COMPRESSIONS.items() if first.startswith(magic)), None)
    # many small reads: the buffers of gzip and others are slow to get at
    with io.BufferedReader(opener(path) if opener else path.open("rb", buffering=0), _BUFFER) as stream:
        yield _Forwards(path, stream, _most(path))


def _most(path: Path) -> int:
    return _MOST_ANYWAY + _MOST_RATIO * path.stat().st_size


class _Forwards:
    """The bytes of a tar, uncompressed, as tarfile needs them: forwards, and no more than ``most``."""

    def __init__(self, path: Path, stream: Any, most: int) -> None:
        self.path, self.stream, self.most = path, stream, most

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, position: int) -> None:
        self._bound(position)
        self.stream.seek(position)

    def read(self, size: int) -> bytes:
        if size > _MOST_AT_ONCE:
            raise RefusedError(f"{self.path}: byte {self.tell()}: a header of {size} bytes")
        return self.stream.read(size)

    def take(self, size: int) -> bytes:
        data = self.stream.read(size)
        if len(data) < size:
            raise EOFError(f"truncated at byte {self.tell()}")
        return data

    def finish(self) -> None:
        """Read what follows the end mark: only zeros may; checksums of compressed files come last."""
        while data := self.stream.read(_MOST_AT_ONCE):
            if data.strip(b"\0"):
                raise RefusedError(f"{self.path}: goes on after its end, byte {self.tell()}: joined tars?")
            self._bound(self.tell())

    def _bound(self, position: int) -> None:
        if position > self.most:
            raise RefusedError(_too_much(self.path, self.most))


class _Header(tarfile.TarInfo):
    """tarfile takes a damaged header for the end of the archive; here only the end mark is."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        """Name and size of a plain file or folder: its owner, dates and so on would take twice as long."""
        kind, summed = buf[156:157], buf[:148] + b" " * 8 + buf[156:]
        plain = kind in (tarfile.REGTYPE, tarfile.DIRTYPE) and len(buf) == 512 and not buf[345]  # no prefix
        if not plain or tarfile.nti(buf[148:156]) != sum(summed):  # type: ignore[attr-defined]
            return super().frombuf(buf, encoding, errors)
        header = cls(tarfile.nts(buf[:100], encoding, errors))  # type: ignore[attr-defined]
        header.type, header.size = bytes(kind), tarfile.nti(buf[124:136])  # type: ignore[attr-defined]
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise EOFError(f"byte {archive.offset}: {error}") from error


def _tar_members(path: Path, stream: _Forwards) -> Iterator[Member]:
    with tarfile.TarFile(fileobj=stream, tarinfo=_Header) as archive:  # type: ignore[arg-type]
        while (info := archive.next()) is not None:
            if info.size < 0:
                raise RefusedError(f"{path}: byte {info.offset}: a size of {info.size} bytes")
            archive.members.clear()  # type: ignore[attr-defined]  # a kilobyte each
            if info.isreg() and not info.issparse():
                yield _checked(path, info.name), Place(info.offset_data, info.size)
            elif not info.isdir():
                yield "", None
    stream.finish()


def _zip_members(path: Path, archive: zipfile.ZipFile) -> Iterator[Member]:
    if sum(info.file_size for info in archive.infolist()) > _most(path):
        raise RefusedError(_too_much(path, _most(path)))
    for info in archive.infolist():
        name = info.filename.replace("\\", "/")
        if not _is_plain(info):
            yield "", None
        elif not name.endswith("/"):
            yield _checked(path, name), Place(info.header_offset, info.file_size)


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """Whether it is a file, as far as the archive says: the upper half may hold the mode of Unix."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return info.create_system != 3 or kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _unzipped(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    if info.flag_bits & 1:
        raise RefusedError(f"{path}: {name} is encrypted")
    # zipfile bounds what it unpacks at once for these two alone
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedError(f"{path}: {name} is packed by method {info.compress_type}: only deflate is read")
    try:
        with archive.open(info) as file:
            data = file.read(info.file_size + 1)
    except _DAMAGED as error:
        raise RefusedError(f"{path}: {name} is damaged ({error})") from error
    if len(data) != info.file_size:
        raise RefusedError(f"{path}: {name} is damaged ({len(data)} bytes of {info.file_size})")
    return data


def _checked(path: Path, name: str) -> str:
    """Return the name without "." and doubled "/"; raise for one that would not stay in its folder."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    drive = bool(parts) and len(parts[0]) == 2 and parts[0][1] == ":"
    if name.startswith("/") or drive or ".." in parts or not parts:
        raise RefusedError(f"{path}: holds {name!r}, which is no name inside a folder")
    return "/".join(parts)


def _too_much(path: Path, most: int) -> str:
    return f"{path}: would unpack to over {most} bytes, {_MOST_RATIO} times its own: refused"
