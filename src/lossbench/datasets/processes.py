"""Work shared by processes of this one's own, where threads would wait for each other."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from lossbench.datasets.threads import cores, in_threads

Item = TypeVar("Item")
Result = TypeVar("Result")

MANY = 2048  # images for which it pays to start processes
_MOST = 16  # more than one reader can keep busy
_START = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from lossbench.datasets.processes import serve
serve()
"""


class LostProcessError(ValueError):
    """A process ended in the middle of its work."""


def in_processes(
    work: Callable[[Item], Result], items: Iterable[Item], *, count: int | None = None
) -> Iterator[Result]:
    """As ``in_threads``, with ``count`` processes, or else one a core; it takes a fifth of a second longer.

    ``work``, items and results must be picklable. The processes import the module of ``work`` and nothing of
    the script that runs here, which therefore need not guard itself from being run once more. They end with
    the iterator, on Ctrl-C, and when this process is killed.

    Raises:
        LostProcessError: in one line, if one of them was killed.
    """
    count = min(cores(), _MOST) if count is None else count
    idle: SimpleQueue[_Process] = SimpleQueue()

    def ask(item: Item) -> Result:
        process = idle.get()
        try:
            return process.ask(item)
        finally:
            idle.put(process)

    with ExitStack() as ending:
        for _ in range(count):
            process = _Process(work)
            ending.callback(process.end)
            idle.put(process)
        yield from in_threads(ask, items, count=count)


class _Process:
    """One that applies ``work`` to what it is sent."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            process_group=0 if os.name == "posix" else None,  # out of reach of Ctrl-C
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # ``ask`` tells of it
            for sent in (sys.path, work):
                pickle.dump(sent, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()

    def ask(self, item: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(item, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            result, error = pickle.load(self._process.stdout)  # what ``serve`` wrote
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as lost:
            status = self._process.wait()
            raise LostProcessError(
                f"a process that shares the work was killed ({status}), perhaps for want of memory"
            ) from lost
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        self._process.kill()
        with suppress(BrokenPipeError):
            self._process.communicate()


def serve() -> None:
    """What such a process does: nobody else calls it."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed is no answer
    with suppress(EOFError, BrokenPipeError):
        work = pickle.load(requests)  # from the process that started this one
        while True:
            pickle.dump(_answer(work, pickle.load(requests)), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    os._exit(0)


def _answer(work: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
    try:
        return work(item), None
    except Exception as error:  # raised where the item came from
        return None, error
