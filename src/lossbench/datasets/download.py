"""Downloads: over https alone, resumed where they stopped, kept only if their sha256 is the one pinned."""

from __future__ import annotations

import http.client
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from lossbench.readers.list_files import sha256_of

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
_TIMEOUT = 30.0  # seconds without a byte
_PIECE = 1 << 18  # bytes
_WORTH_A_RETRY = {408, 429, 500, 502, 503, 504}
_BROKEN_OFF = (
    *(TimeoutError, ConnectionError, ssl.SSLError),
    *(http.client.HTTPException, urllib.error.URLError),
)


@dataclass(frozen=True)
class Remote:
    """A file that can be downloaded.

    size: bytes. sha256: of the file, hex. also: sha256 of other files that hold the same, packed otherwise.
    """

    url: str
    size: int
    sha256: str
    also: tuple[str, ...] = ()


class _WrongBytesError(ValueError):
    """What came is not the file that is pinned."""


def download(
    remote: Remote, path: Path, *, scheme: str = "https", pause: Callable[[float], None] = time.sleep
) -> None:
    """Fetch ``remote`` to ``path``, which is there only once it is whole and its sha256 is right.

    What is interrupted is continued by the next call; of several processes one downloads. ``scheme`` and
    ``pause`` (between attempts) are for tests.

    Raises:
        ValueError: in one line, with the address, the place and the sha256 for doing it by hand.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if not path.is_file():
                _fetch(remote, path, urllib.request.build_opener(_OneScheme(scheme)), pause)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{remote.url} cannot be downloaded ({reason}): put it at {path} yourself, "
            f"{remote.size} bytes, sha256 {remote.sha256}"
        ) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("%s: waiting for another process that downloads it", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(
    remote: Remote, path: Path, opener: urllib.request.OpenerDirector, pause: Callable[[float], None]
) -> None:
    part = path.with_name(f"{path.name}.part")
    for attempt in range(1, _ATTEMPTS + 1):
        resumed = _size(part) > 0
        try:
            _continue(remote, part, opener)
            _check_sum(remote, part)
            part.replace(path)
            return
        except _WrongBytesError:
            part.unlink(missing_ok=True)
            # what was resumed may be pieces of two versions
            if not resumed or attempt == _ATTEMPTS:
                raise
        except _BROKEN_OFF as error:
            if not _is_passing(error) or attempt == _ATTEMPTS:
                raise
            logger.info("%s: %s, trying again", remote.url, error)
            pause(attempt)


def _is_passing(error: Exception) -> bool:
    """Whether trying again may help."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return error.code in _WORTH_A_RETRY
    return True


def _continue(remote: Remote, part: Path, opener: urllib.request.OpenerDirector) -> None:
    """Add to ``part`` until it is whole."""
    start = _size(part)
    if start >= remote.size:
        return
    request = urllib.request.Request(remote.url, headers={"User-Agent": "lossbench"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with opener.open(request, timeout=_TIMEOUT) as response:
        continued = response.status == 206
        if continued and not str(response.headers["Content-Range"]).startswith(f"bytes {start}-"):
            raise _WrongBytesError("the server sent another part than was asked for")
        with part.open("ab" if continued else "wb") as file:
            _copy(response, file, remote, start if continued else 0)


def _copy(response: IO[bytes], file: IO[bytes], remote: Remote, done: int) -> None:
    with _bar(remote, done) as advance:
        while piece := response.read(_PIECE):
            done += len(piece)
            if done > remote.size:
                raise _WrongBytesError(f"it is larger than {remote.size} bytes")
            file.write(piece)
            advance(len(piece))
    if done < remote.size:
        raise ConnectionError(f"broken off after {done} of {remote.size} bytes")


def _check_sum(remote: Remote, part: Path) -> None:
    found = sha256_of(part)
    if found != remote.sha256:
        raise _WrongBytesError(f"what came has sha256 {found} and was removed")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


class _OneScheme(urllib.request.BaseHandler):
    """Lets addresses of one scheme pass, those that a server redirects to included."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme

    def default_open(self, req: urllib.request.Request) -> None:
        if req.type != self.scheme:
            raise ValueError(f"it leads to {req.full_url[:200]}, which is no {self.scheme} address")


@contextmanager
def _bar(remote: Remote, done: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; yields what is told how many bytes came."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(remote.url.rpartition("/")[2], total=remote.size, completed=done)
        yield lambda count: progress.advance(task, count)
