"""Run records: what goes in comes out, and what is broken says so in one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossbench.records import (
    Record,
    RecordError,
    read_curves,
    read_history,
    read_record,
    read_records,
    write_curves,
    write_record,
)


def make(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "id": "ab12",
        "config": {"seed": 0, "head": {"_target_": "lossbench.heads.CosineHead", "s": 30.0}},
        "metrics": {"test/eer": 0.05, "test/tar_far_1e_6": None},
        "details": {"head": "cosine", "undefined": {"test/tar_far_1e_6": "1e-6 x 1,000 impostors < 1"}},
        "intervals": {"test/eer": {"low": 0.04, "high": 0.06}},
        "cost": {"seconds": 1.5},
        "split": {"train": ["a", "b"]},
        "environment": {"precision": "float32"},
    }
    return Record(**(fields | changes))


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_record(tmp_path / "run", make())
    assert path == tmp_path / "run" / "result.json"
    assert read_record(tmp_path / "run") == read_record(path) == make()
    assert list(json.loads(path.read_text())) == [
        "schema", "id", "config", "metrics", "details", "intervals", "cost", "split", "environment",
    ]  # fmt: skip


def test_no_temporary_file_is_left_and_an_older_record_is_replaced(tmp_path: Path) -> None:
    write_record(tmp_path, make(id="old"))
    write_record(tmp_path, make(id="new"))
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert read_record(tmp_path).id == "new"


def test_a_record_that_cannot_be_written_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    write_record(tmp_path, make(id="old"))
    with pytest.raises(ValueError, match=r"cost\.seconds=inf: JSON has no such number"):
        write_record(tmp_path, make(cost={"seconds": float("inf")}))
    assert read_record(tmp_path).id == "old"


def test_numpy_scalars_become_numbers_and_tuples_lists(tmp_path: Path) -> None:
    write_record(tmp_path, make(metrics={"test/eer": np.float32(0.5)}, split={"train": ("a",)}))
    assert read_record(tmp_path).metrics == {"test/eer": 0.5}
    assert read_record(tmp_path).split == {"train": ["a"]}


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan")])
def test_an_undefined_metric_needs_a_reason(tmp_path: Path, value: Any) -> None:
    record = make(metrics={"test/auc": value}, details={})
    with pytest.raises(ValueError, match=r'test/auc is undefined: say why in details\["undefined"\]'):
        write_record(tmp_path, record)
    write_record(tmp_path, make(metrics={"test/auc": value}, details={"undefined": {"test/auc": "no pairs"}}))
    assert read_record(tmp_path).metrics == {"test/auc": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"test/nll": float("inf")}}, "metrics.test/nll=inf"),
        (
            {"metrics": {}, "details": {"test/eer": {"threshold": float("nan")}}},
            "details.test/eer.threshold=nan",
        ),
        ({"split": {"train": np.zeros(2)}}, "split.train is a ndarray"),
        ({"intervals": {"test/eer": [0, 1]}}, 'must be {"low": ..., "high": ...}'),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_place(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        write_record(tmp_path, make(**change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 1, "id"', "not valid JSON, torn or edited"),
        ("", "not valid JSON"),
        ('{"schema": 1, "id": NaN}', "NaN is not JSON"),
        ("[]", "names no schema"),
        ('{"schema": 2}', "schema=2: this lossbench reads schema 1"),
        ('{"schema": 1, "id": "a", "config": {}}', "missing or of the wrong type: metrics, details"),
    ],
)
def test_a_broken_record_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        read_record(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "result.json"))
    assert "\n" not in str(caught.value)


def test_a_metric_that_is_text_is_refused(tmp_path: Path) -> None:
    path = write_record(tmp_path, make())
    path.write_text(path.read_text().replace("0.05", '"0.05"'))
    with pytest.raises(RecordError, match="neither a number nor null: test/eer"):
        read_record(tmp_path)


def test_a_missing_record_says_that_the_run_is_unfinished(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="the run is unfinished"):
        read_record(tmp_path)


def test_records_are_found_sorted_and_once_and_broken_ones_are_named(tmp_path: Path) -> None:
    for name in ("b", "a/deep"):
        write_record(tmp_path / name, make(id=name))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "result.json").write_text("{")
    broken: list[RecordError] = []
    paths = [tmp_path, tmp_path / "b", tmp_path / "b" / "result.json", tmp_path / "absent"]
    found = read_records(paths, on_broken=broken.append)
    assert [(folder, record.id) for folder, record in found] == [
        (tmp_path / "a/deep", "a/deep"),
        (tmp_path / "b", "b"),
    ]
    assert [str(error).split(": ")[1][:14] for error in broken] == ["no such file o", "not valid JSON"]


def test_without_a_callback_a_broken_record_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "result.json").write_text("{")
    assert read_records([tmp_path]) == []
    assert "not valid JSON" in caplog.text


def test_curves_come_back_and_a_torn_file_is_named(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == {}
    path = write_curves(tmp_path, roc_far=np.array([0.0, 1.0]), roc_tar=np.array([0.5, 1.0]))
    assert read_curves(tmp_path)["roc_tar"].tolist() == [0.5, 1.0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RecordError, match="not a readable npz file"):
        read_curves(tmp_path)


def test_pickled_arrays_are_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_curves(tmp_path, roc_far=np.array([{}], dtype=object))
    np.savez(tmp_path / "curves.npz", roc_far=np.array([{}], dtype=object))
    with pytest.raises(RecordError, match="allow_pickle"):
        read_curves(tmp_path)


def test_history_rows_leave_out_the_blanks(tmp_path: Path) -> None:
    assert read_history(tmp_path) == []
    (tmp_path / "metrics.csv").write_text("step,epoch,train/loss,val/eer\n50,0,2.5,\n100,1,,0.1\n")
    assert read_history(tmp_path) == [
        {"step": 50, "epoch": 0, "train/loss": 2.5},
        {"step": 100, "epoch": 1, "val/eer": 0.1},
    ]


def test_a_history_cell_that_is_no_number_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/loss\n50,abc\n")
    with pytest.raises(RecordError, match=r"metrics.csv: not a table of numbers.*abc"):
        read_history(tmp_path)


def test_neither_records_nor_the_whole_report_import_torch() -> None:
    modules = (
        "records",
        *(f"report.{name}" for name in ("__main__", "export", "figures", "summary", "table")),
    )
    code = ";".join(f"import lossbench.{name}" for name in modules)
    code += ";import sys; print({'torch', 'pandas', 'matplotlib.pyplot'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
