"""Downloads, from a server of our own: whole or not at all, whatever the server does."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lossbench.datasets.download import Remote, download
from tests.readers.samples import refused

BODY = bytes(range(256)) * 3000  # several pieces
HALF = len(BODY) // 2


class Server:
    """Answers as ``answers`` say, one a request, the last one for all that follow."""

    def __init__(self) -> None:
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = [whole]
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = server.answers[min(len(server.ranges), len(server.answers) - 1)]
                server.ranges.append(self.headers["Range"])
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/set.tar.gz"


def send(body: bytes, *, status: int = 200, length: int | None = None, **headers: str):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def whole(handler: BaseHTTPRequestHandler) -> None:
    send(BODY)(handler)


def by_range(handler: BaseHTTPRequestHandler) -> None:
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    span = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    send(BODY[start:], status=206, Content_Range=span)(handler)


broken_off = send(BODY[:HALF], length=len(BODY))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    found = Server()
    thread = threading.Thread(target=found.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.http.shutdown()
    thread.join()
    found.http.server_close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "set.tar.gz"


def fetch(server: Server, path: Path, **changes: object) -> list[float]:
    """Download, and return the pauses that were made."""
    facts = {"url": server.url, "size": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest(), **changes}
    pauses: list[float] = []
    download(Remote(**facts), path, scheme="http", pause=pauses.append)
    return pauses


def left(path: Path) -> list[str]:
    """Files beside the lock."""
    return sorted(file.name for file in path.parent.iterdir() if file.suffix != ".lock")


def test_a_whole_file_is_kept_and_nothing_else(server: Server, path: Path, capsys) -> None:
    assert fetch(server, path) == []
    assert path.read_bytes() == BODY
    assert left(path) == [path.name]
    assert capsys.readouterr() == ("", "")


def test_what_is_there_is_not_downloaded_again(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"mine")
    fetch(server, path)
    assert path.read_bytes() == b"mine"
    assert server.ranges == []


def test_what_was_broken_off_is_continued(server: Server, path: Path) -> None:
    server.answers = [broken_off, by_range]
    assert fetch(server, path) == [1]
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert path.read_bytes() == BODY


def test_a_later_call_continues_what_an_earlier_one_left(server: Server, path: Path) -> None:
    server.answers = [broken_off, send(b"", status=503)]
    with refused("503"):
        fetch(server, path)
    assert left(path) == [f"{path.name}.part"]
    server.answers = [by_range]
    fetch(server, path)
    assert server.ranges[-1] == f"bytes={HALF}-"
    assert path.read_bytes() == BODY


def test_it_starts_over_where_the_server_cannot_continue(server: Server, path: Path) -> None:
    server.answers = [broken_off, whole]
    fetch(server, path)
    assert path.read_bytes() == BODY


def test_a_whole_part_is_only_checked(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.with_name(f"{path.name}.part").write_bytes(BODY)
    fetch(server, path)
    assert server.ranges == []
    assert left(path) == [path.name]


def test_pieces_of_two_versions_are_thrown_away_once(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.with_name(f"{path.name}.part").write_bytes(b"old" * 100)
    server.answers = [by_range, whole]
    fetch(server, path)
    assert server.ranges == ["bytes=300-", None]
    assert path.read_bytes() == BODY


def test_another_part_than_was_asked_for_is_not_taken(server: Server, path: Path) -> None:
    wrong = send(BODY[HALF:], status=206, Content_Range=f"bytes 0-{HALF}/{len(BODY)}")
    server.answers = [broken_off, wrong, whole]
    fetch(server, path)
    assert path.read_bytes() == BODY


def test_a_wrong_sum_leaves_nothing_and_names_both(server: Server, path: Path) -> None:
    with refused("0" * 64, hashlib.sha256(BODY).hexdigest(), path, server.url):
        fetch(server, path, sha256="0" * 64)
    assert left(path) == []


def test_more_than_the_size_is_refused(server: Server, path: Path) -> None:
    with refused("larger than 1000 bytes"):
        fetch(server, path, size=1000)
    assert left(path) == []


def test_redirects_are_followed_within_the_scheme(server: Server, path: Path) -> None:
    server.answers = [send(b"", status=302, Location="/elsewhere"), whole]
    fetch(server, path)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("target", ["https://127.0.0.1:9/x", "ftp://127.0.0.1:9/x", "file:///etc/passwd"])
def test_redirects_out_of_the_scheme_are_refused(server: Server, path: Path, target: str) -> None:
    server.answers = [send(b"", status=302, Location=target)]
    with refused(target, path):
        fetch(server, path)
    assert len(server.ranges) == 1
    assert left(path) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "ftp://127.0.0.1:9/x", "file:///etc/passwd"])
def test_nothing_but_https_is_asked_for(path: Path, url: str) -> None:
    with refused(f"it leads to {url}, which is no https address"):
        download(Remote(url, 1, "0" * 64), path)


def test_a_missing_file_is_told_at_once(server: Server, path: Path) -> None:
    server.answers = [send(b"", status=404)]
    with refused("404", server.url, path, hashlib.sha256(BODY).hexdigest(), f"{len(BODY)} bytes"):
        fetch(server, path)
    assert len(server.ranges) == 1


def test_a_busy_server_is_asked_again(server: Server, path: Path) -> None:
    server.answers = [send(b"", status=503), send(b"", status=429), whole]
    assert fetch(server, path) == [1, 2]
    assert path.read_bytes() == BODY


def test_without_a_network_one_line_says_what_to_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    pauses: list[float] = []
    with refused("https://127.0.0.1:9/set", f"put it at {path} yourself, 5 bytes, sha256 {'0' * 64}"):
        download(Remote("https://127.0.0.1:9/set", 5, "0" * 64), path, pause=pauses.append)
    assert pauses == [1, 2]


def test_a_folder_that_cannot_be_made_is_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refused(server.url, tmp_path / "file" / "set"):
        fetch(server, tmp_path / "file" / "set")


def test_two_at_once_download_once(server: Server, path: Path) -> None:
    gate = threading.Event()

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        gate.wait(5)
        whole(handler)

    server.answers = [slowly]
    threads = [threading.Thread(target=fetch, args=(server, path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert len(server.ranges) == 1
    assert path.read_bytes() == BODY
