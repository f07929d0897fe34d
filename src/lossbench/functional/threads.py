"""Independent pieces of work in threads of their own: a barrier in every small operation costs more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")
# Each thread has its own buffers.
_MOST = 8
_threads: ContextVar[int | None] = ContextVar("threads", default=None)


@contextmanager
def own_threads() -> Iterator[None]:
    """Inside, operations keep to one thread, and ``in_threads`` has those that torch used outside."""
    threads = torch.get_num_threads()
    token = _threads.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _threads.reset(token)


def in_threads(
    work: Callable[[Iterator[Piece]], Result], pieces: Sequence[Piece], device: torch.device
) -> list[Result]:
    """Call ``work`` in several threads, all with one iterator over ``pieces``; return what each returns.

    Inside ``own_threads``, on the CPU; elsewhere that is one call, here.
    """
    threads = _threads.get() or 1
    workers = min(threads, _MOST, len(pieces)) if device.type == "cpu" else 1
    shared = iter(pieces)
    if workers <= 1:
        return [work(shared)]
    inference = torch.is_inference_mode_enabled()

    def call(_: int) -> Result:
        torch.set_num_threads(threads // workers)
        # Both modes belong to a thread; of another mode, its tensors could not be written to by the caller.
        with torch.inference_mode(inference), torch.set_grad_enabled(False):
            return work(shared)

    with ThreadPoolExecutor(workers) as pool:
        try:
            return list(pool.map(call, range(workers)))
        except BaseException:
            for _ in shared:  # nothing is left for the other threads: a fault or Ctrl-C need not wait for it
                pass
            raise
