"""Work in processes: as in threads, without the script that runs, and over when it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lossbench
from lossbench.datasets.processes import LostProcessError, in_processes
from tests.datasets.children import children, linux


def negated(item: int) -> int:
    return -item


def refused(item: int) -> int:
    if item == 4:
        raise ValueError(f"item {item}")
    return item


def told(item: int) -> tuple[int, int]:
    print("no answer")
    return item, os.getpid()


def killed(item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_come_in_the_order_of_the_items():
    assert list(in_processes(negated, range(20), count=2)) == [-item for item in range(20)]
    assert list(in_processes(negated, [], count=1)) == []


def test_the_work_is_shared_and_what_it_prints_is_no_answer(capfd):
    found = list(in_processes(told, range(20), count=2))
    assert [item for item, _ in found] == list(range(20))
    assert len({pid for _, pid in found} - {os.getpid()}) == 2
    assert "no answer" in capfd.readouterr().err


@linux
def test_they_end_when_they_are_left():
    results = in_processes(negated, range(100), count=2)
    assert not children()
    next(results)
    assert len(children()) == 2
    results.close()
    assert not children()


@linux
def test_a_failure_is_raised_here():
    with pytest.raises(ValueError, match="item 4"):
        list(in_processes(refused, range(100), count=2))
    assert not children()


@linux
def test_a_killed_process_is_told_in_one_line():
    with pytest.raises(
        LostProcessError, match=r"^a process .* was killed \(-9\), perhaps for want of memory$"
    ):
        list(in_processes(killed, range(3), count=1))
    assert not children()


def test_the_script_that_runs_is_not_run_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "from lossbench.datasets.processes import in_processes\n"
        "print(list(in_processes(abs, [-1, -2], count=2)))\n"
    )
    (tmp_path / "pickle.py").write_text("raise SystemExit('a file of the folder one works in')")
    environment = {**os.environ, "PYTHONPATH": str(Path(lossbench.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-P", str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("once\n[1, 2]\n", "")
