"""Work in threads: in order, ahead by a few items, and over when it is left."""

from __future__ import annotations

import threading
import time

import pytest

from lossbench.datasets import threads
from lossbench.datasets.threads import in_threads


@pytest.fixture(autouse=True)
def _three_cores(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 3)


def test_results_come_in_the_order_of_the_items_whichever_is_done_first():
    def work(item):
        time.sleep(0.02 if item % 3 == 0 else 0)
        return -item

    assert list(in_threads(work, range(20))) == [-item for item in range(20)]
    assert list(in_threads(work, [])) == []


def test_items_are_worked_on_at_the_same_time():
    together = threading.Barrier(3)
    assert list(in_threads(lambda _: together.wait(30) >= 0, range(6))) == [True] * 6


def test_items_are_taken_by_the_caller_and_no_further_than_two_a_thread():
    taken, takers = [], set()

    def items():
        for item in range(100):
            taken.append(item)
            takers.add(threading.current_thread())
            yield item

    for given, _ in enumerate(in_threads(abs, items())):
        assert len(taken) - given <= 6
    assert takers == {threading.current_thread()}


def test_of_several_failures_the_first_item_s_is_raised():
    def work(item):
        time.sleep(0.05 if item == 4 else 0)
        if item in (4, 5):
            raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 4"):
        list(in_threads(work, range(1000)))


def test_after_a_failure_nothing_more_is_begun_and_the_threads_end():
    done = []

    def work(item):
        if item == 0:
            raise ValueError("no more")
        time.sleep(0.1)
        done.append(item)

    before = threading.active_count()
    with pytest.raises(ValueError, match="no more"):
        list(in_threads(work, range(1000)))
    assert max(done) <= 3
    assert threading.active_count() == before
