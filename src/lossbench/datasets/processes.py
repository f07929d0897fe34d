"""Work shared by processes of this one's own, where threads would wait for each other."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from lossbench.datasets.threads import cores, in_threads

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 16  # more than one reader can keep busy
_START = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from lossbench.datasets.processes import serve
serve()
"""


@dataclass(frozen=True)
class _Work:
    """What is to be done with the items that follow."""

    work: Callable[[Any], Any]


class LostProcessError(ValueError):
    """A process ended in the middle of its work."""


class Processes:
    """``count`` processes, or else one a core, from ``start`` on; they end when this is left (with it as a
    context), on Ctrl-C, and when this process is killed.

    They import the module of the work they are given and nothing of the script that runs here, which
    therefore need not guard itself from being run once more.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = min(cores(), _MOST) if count is None else count
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._ending = ExitStack()
        self.started = False

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def start(self) -> None:
        """Let them start now, while there is something else to do: it takes a fifth of a second."""
        for _ in range(0 if self.started else self._count):
            process = _Process()
            self._ending.callback(process.end)
            self._idle.put(process)
        self.started = True

    def share(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """As ``in_threads``; ``work``, items and results must be picklable.

        Raises:
            LostProcessError: in one line, if a process was killed.
        """

        def ask(item: Item) -> Result:
            process = self._idle.get()
            try:
                return process.ask(work, item)
            finally:
                self._idle.put(process)

        self.start()
        yield from in_threads(ask, items, count=self._count)


class _Process:
    """One that does work it is sent."""

    def __init__(self) -> None:
        self._work: Any = None  # what it was sent last
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            process_group=0 if os.name == "posix" else None,  # out of reach of Ctrl-C
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # ``ask`` tells of it
            pickle.dump(sys.path, self._process.stdin)
            self._process.stdin.flush()

    def ask(self, work: Callable[[Any], Any], item: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            if self._work is not work:
                pickle.dump(_Work(work), self._process.stdin, pickle.HIGHEST_PROTOCOL)
                self._work = work
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
        while True:
            item = pickle.load(requests)  # from the process that started this one
            if isinstance(item, _Work):
                work = item.work
                continue
            pickle.dump(_answer(work, item), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    os._exit(0)


def _answer(work: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
    try:
        return work(item), None
    except Exception as error:  # raised where the item came from
        return None, error
