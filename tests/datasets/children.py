"""Processes that do work for another, as Linux tells."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def children(parent: int | None = None) -> list[int]:
    """Those that live, of this process if no other is named."""
    found = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    ours = [pid for pid in found if _stat(pid)[1:2] == [str(parent or os.getpid())] and alive(pid)]
    return [
        pid for pid in ours if b"lossbench.datasets.processes" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def alive(pid: int) -> bool:
    """Neither gone nor a zombie that only waits to be collected."""
    return _stat(pid)[:1] not in ([], ["Z"])


def end_soon(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


def _stat(pid: int) -> list[str]:
    """State, parent and so on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
