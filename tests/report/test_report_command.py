"""``python -m lossbench.report`` end to end, over fake runs."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lossbench.records import Record, write_record
from lossbench.report.__main__ import _file_names, main


def test_three_runs_become_tables_and_figures(run_folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run_folders)]) == 0
    out = run_folders / "report"
    assert sorted(path.name for path in out.iterdir()) == [
        "cmc.png", "cmc.svg", "report.html", "roc.png", "roc.svg", "runs.csv", "table.csv", "table.md",
    ]  # fmt: skip
    assert "| amsoftmax | ce | m=0.35 s=30 | 3 | 91.00 ± 2.48 |" in (out / "table.md").read_text(
        encoding="utf-8"
    )
    with (out / "runs.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 3
    shown = capsys.readouterr()
    assert "91.00 ± 2.48" in shown.out
    assert str(out) in shown.out
    assert shown.err == ""


def test_the_same_report_twice_is_the_same_text(run_folders: Path) -> None:
    texts = []
    for _ in range(2):
        main([str(run_folders), "--no-figures"])
        texts.append({path.name: path.read_bytes() for path in (run_folders / "report").iterdir()})
    assert texts[0] == texts[1]


def test_one_run_folder_gets_its_own_report(run_folders: Path, tmp_path: Path) -> None:
    assert main([str(run_folders / "amsoftmax-0"), "--no-figures", "--metrics", "eer"]) == 0
    assert (
        (run_folders / "amsoftmax-0/report/table.md")
        .read_text(encoding="utf-8")
        .startswith("1 run, 1 seed (0)")
    )
    assert (
        main([str(run_folders / "amsoftmax-0/result.json"), "--no-figures", "--out", str(tmp_path / "o")])
        == 0
    )
    assert (tmp_path / "o/table.csv").exists()


def test_broken_records_are_named_and_the_others_still_count(
    run_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_folders / "amsoftmax-1/result.json").write_text("{")
    (run_folders / "amsoftmax-2/curves.npz").write_text("torn")
    assert main([str(run_folders)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["left out", "left out"]
    assert "amsoftmax-1/result.json" in lines[0]
    assert "amsoftmax-2/curves.npz" in lines[1]


def test_no_runs_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert main([str(tmp_path / "absent")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[-1] for line in lines] == ["no result.json", "no such file or folder"]
    assert not list(tmp_path.iterdir())


def test_an_unknown_metric_is_refused_with_the_known_ones(
    run_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(run_folders), "--metrics", "eerr"])
    assert "no record has test/eerr; there are: test/accuracy, test/eer" in capsys.readouterr().err


def test_two_datasets_get_a_figure_each(run_folders: Path, record: Callable[..., Record]) -> None:
    other = record(details=record().details | {"dataset": "lfw"})
    write_record(run_folders / "amsoftmax-0", other)
    assert main([str(run_folders)]) == 0
    assert sorted(path.name for path in (run_folders / "report").glob("roc*.png")) == [
        "roc_glyphs.png",
        "roc_lfw.png",
    ]


def test_help_answers_at_once() -> None:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lossbench.report", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    # Slack for a busy machine; that the slow imports are absent is the exact part.
    assert time.perf_counter() - start < 3
    assert "--no-figures" in done.stdout
    assert not any(name in done.stderr for name in ("matplotlib", "scipy", "torch", "rich"))


def test_data_sets_whose_names_look_alike_keep_figures_of_their_own() -> None:
    assert len(set(_file_names(["set A", "set_A", "SET-A", "set-A", "男", "女", "a/b"]).values())) == 7
    assert _file_names(["glyphs", "a/../b"]) == {"glyphs": "glyphs", "a/../b": "a-..-b"}


def test_a_report_that_cannot_be_written_is_one_line(run_folders: Path, capsys) -> None:
    (run_folders / "report").write_text("a file")
    with pytest.raises(SystemExit, match="2"):
        main([str(run_folders), "--no-figures"])
    assert "report: cannot be made a folder" in capsys.readouterr().err


def test_empty_words_are_no_names(run_folders: Path, capsys) -> None:
    for option in ("--over", "--baseline"):
        with pytest.raises(SystemExit, match="2"):
            main([str(run_folders), "--no-figures", option, ""])
        assert option in capsys.readouterr().err


@pytest.mark.parametrize(("ending", "status"), [(KeyboardInterrupt, 130), (BrokenPipeError, 1)])
def test_a_command_that_is_stopped_says_so_in_one_line(ending, status) -> None:
    code = (
        "from lossbench.command import finish\n"
        f"def main():\n    print('some')\n    raise {ending.__name__}\n"
        "finish(main, 'lossbench.report')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr == ("lossbench.report: stopped\n" if status == 130 else "")


def test_a_reader_that_leaves_is_no_error(run_folders: Path) -> None:
    words = f"{sys.executable} -m lossbench.report {run_folders} --no-figures | true"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
