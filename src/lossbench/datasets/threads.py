"""Work shared by the cores of this process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], *, count: int | None = None
) -> Iterator[Result]:
    """Yield ``work(item)`` of each item, in their order, with ``count`` threads, or else one a core.

    Items are taken by the caller's own thread, at most two a thread ahead of what it has been given.
    """
    threads, items = cores() if count is None else count, iter(items)
    pool = ThreadPoolExecutor(threads)
    try:
        ahead: deque[Future[Result]] = deque()
        while True:
            ahead.extend(pool.submit(work, item) for item in islice(items, 2 * threads - len(ahead)))
            if not ahead:
                return
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
