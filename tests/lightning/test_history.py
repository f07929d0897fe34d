"""metrics.csv against hand-written tables, a resumed run against an undisturbed one, and kill -9."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lossbench
from lossbench.lightning import history
from lossbench.lightning.history import HistoryLogger


def test_values_of_a_step_share_a_row_and_columns_stand_in_order_of_first_appearance(
    tmp_path: Path,
) -> None:
    logger = HistoryLogger(tmp_path)
    logger.log_metrics({"train/loss": 2.5, "epoch": 0}, step=0)
    logger.log_metrics({"train/loss": 1.5, "epoch": 0.0}, step=50)
    logger.log_metrics({"val/auc": 0.75, "epoch": 1}, step=50)
    logger.log_metrics({"a/late": 3}, step=100)
    logger.finalize("success")
    expected = "step,epoch,train/loss,val/auc,a/late\n0,0,2.5,,\n50,1,1.5,0.75,\n100,,,,3\n"
    assert (tmp_path / "metrics.csv").read_text() == expected
    assert logger.rows == [
        {"step": 0, "epoch": 0, "train/loss": 2.5},
        {"step": 50, "epoch": 1, "train/loss": 1.5, "val/auc": 0.75},
        {"step": 100, "a/late": 3},
    ]


def test_floats_are_read_back_exactly(tmp_path: Path) -> None:
    values = {"a": 0.1 + 0.2, "b": 1e-300, "c": -1 / 3, "d": math.inf, "e": math.nan, "f": 5e-324}
    logger = HistoryLogger(tmp_path)
    logger.log_metrics(values, step=7)
    logger.finalize("success")
    (row,) = HistoryLogger(tmp_path, resume_step=7).rows
    assert math.isnan(row.pop("e"))
    assert row == {"step": 7} | {name: value for name, value in values.items() if name != "e"}


def train(logger: HistoryLogger, steps: range) -> None:
    for step in steps:
        logger.log_metrics({"train/loss": 1 / (step + 3), "epoch": step // 10}, step)
        if step >= 20:
            logger.log_metrics({"train/margin": math.sin(step)}, step)
        if step % 10 == 9:
            logger.log_metrics({"val/auc": math.sqrt(step) / 10, "epoch": step // 10}, step)
        logger.save()


@pytest.mark.parametrize("checkpoint", [0, 9, 17, 20, 35])
def test_a_resumed_file_equals_an_undisturbed_one_byte_for_byte(tmp_path: Path, checkpoint: int) -> None:
    undisturbed = HistoryLogger(tmp_path / "a")
    train(undisturbed, range(60))
    undisturbed.finalize("success")
    killed = HistoryLogger(tmp_path / "b")
    train(killed, range(40))
    killed.finalize("failed")
    resumed = HistoryLogger(tmp_path / "b", resume_step=checkpoint)
    assert resumed.rows[-1]["step"] == checkpoint
    train(resumed, range(checkpoint, 60))
    resumed.finalize("success")
    assert (tmp_path / "b" / "metrics.csv").read_bytes() == (tmp_path / "a" / "metrics.csv").read_bytes()


def test_a_fresh_start_removes_an_old_file_before_anything_is_logged(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,epoch\n1,0\n")
    assert HistoryLogger(tmp_path).rows == []
    assert not (tmp_path / "metrics.csv").exists()


def test_resuming_without_a_file_starts_empty(tmp_path: Path) -> None:
    assert HistoryLogger(tmp_path, resume_step=10).rows == []


@pytest.mark.parametrize(
    ("content", "steps"),
    [
        ("", []),
        ("step,epo", []),
        ("step,epoch,a\n", []),
        ("step,epoch,a\n1,0,2.5\n2,0,3", [1]),
        ("step,epoch,a\n1,0,2.5\n2,0\n3,0,1.0\n", [1, 3]),
        ("step,epoch,a\nx,0,2.5\n2,0,oops\n3,,\n", [3]),
        ("step,epoch,a\n1,0,2.5\n\x00\x00\x00\n2,0,1.0\n", [1, 2]),
    ],
)
def test_of_a_torn_file_the_rows_that_parse_are_kept(tmp_path: Path, content: str, steps: list[int]) -> None:
    (tmp_path / "metrics.csv").write_text(content)
    logger = HistoryLogger(tmp_path, resume_step=10)
    assert [row["step"] for row in logger.rows] == steps
    logger.log_metrics({"a": 1.0}, step=11)
    logger.finalize("success")
    assert [row["step"] for row in HistoryLogger(tmp_path, resume_step=11).rows] == [*steps, 11]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = HistoryLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, step=0)
    logger.finalize("success")
    before = (tmp_path / "metrics.csv").read_bytes()

    def disk_full(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", disk_full)
    logger.log_metrics({"a": 2.0}, step=1)
    with pytest.raises(OSError, match="no space"):
        logger.finalize("success")
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_the_file_is_written_at_most_every_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(history.time, "monotonic", lambda: clock[0])
    logger = HistoryLogger(tmp_path)
    written = []
    for step in range(10):
        logger.log_metrics({"a": float(step)}, step)
        written.append((tmp_path / "metrics.csv").read_text().count("\n") - 1)
        clock[0] += 0.5
    assert written == [1, 1, 1, 1, 5, 5, 5, 5, 9, 9]
    logger.finalize("success")
    assert (tmp_path / "metrics.csv").read_text().count("\n") - 1 == 10


def test_a_killed_process_leaves_a_file_with_every_row_whole(tmp_path: Path) -> None:
    program = f"""
from lossbench.lightning import history
history.FLUSH_EVERY_S, history.WRITING_SHARE = 0.0, 1e9
logger = history.HistoryLogger({str(tmp_path)!r})
for step in range(10**9):
    logger.log_metrics({{f"metric_{{k}}": step + k / 7 for k in range(20)}}, step % 500)
"""
    source = str(Path(lossbench.__path__[0]).parent)
    process = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": source})
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "metrics.csv").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = (tmp_path / "metrics.csv").read_text().split("\n")
    assert lines.pop() == ""
    assert len(lines) > 1
    assert {line.count(",") for line in lines} == {21}
    assert HistoryLogger(tmp_path, resume_step=10**9).rows[0]["step"] == 0
