"""What is left of a sweep, what committed tables save, and the experiments and sweeps that ship."""

from __future__ import annotations

import sys

import pytest

from lossbench import cli
from lossbench.config import ConfigError, conf_dir
from lossbench.report.__main__ import main as report
from lossbench.run import planned, run
from tests.test_config import resolved
from tests.test_run import QUICK

EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


@pytest.fixture
def faces(tmp_path):
    """A training set that nobody reads: to name a run its files are looked at, not opened."""
    for name in ("train.rec", "train.idx"):
        (tmp_path / name).touch()
    return f"dataset.path={tmp_path}"


@pytest.fixture
def call(monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)

    def called(*arguments):
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", ["lossbench", *arguments])
        code = cli.main()
        return (code, *capfd.readouterr())

    return called


def test_a_dry_sweep_trains_nothing_and_counts_what_is_left(call, tmp_path):
    code, out, _ = call("-m", "seed=0,1", "dry=true", *QUICK)
    assert code == 0
    assert out.splitlines()[-1] == "lossbench: 0 of 2 jobs finished, 2 to do"
    assert not list(tmp_path.rglob("result.json"))
    call("seed=1", *QUICK)
    code, out, _ = call("-m", "seed=0,1", "dry=true", *QUICK)
    assert [line.rpartition(": ")[2].split(",")[0] for line in out.splitlines()[:2]] == ["to do", "finished"]
    assert "1 of 2 jobs finished, 1 to do, about 0.0 h" in out


def test_a_dry_run_refuses_contradictory_choices(call):
    code, _, error = call("loss=amsoftmax", "head=linear", "dry=true", *QUICK)
    assert code == 1
    assert "preset" in error


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (["loss=amsoftmax", "m=1.2"], "m=1.2: must be a number in [0, 1)"),
        (["trainer.steps=0"], "trainer.steps=0: must be"),
        (["device=gpu"], "device=gpu"),
        (["loss=distillation"], "needs teacher=RUN_FOLDER"),
        (["dry=off"], "dry=off: must be true or false"),
    ],
)
def test_a_dry_run_finds_what_a_run_would_refuse(call, wrong, line):
    code, _, error = call("dry=true", *QUICK, *wrong)
    assert code == 1
    assert line in error


@pytest.mark.parametrize(
    "wrong", ["force=no", "figures=off", "head.bias=maybe", "optimizer.nesterov=no", "keep_checkpoints=0"]
)
def test_words_for_true_and_false_are_refused(call, wrong, tmp_path):
    code, _, error = call(*QUICK, wrong)
    assert (code, error) == (1, f"lossbench: error: {wrong}: must be true or false\n")
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_committed_row_of_another_precision_is_another_run(tmp_path):
    config, choices = resolved(*QUICK, f"run_root={tmp_path / 'runs'}", "group=table", "precision=fp32")
    run(config, choices)
    report([str(tmp_path / "runs" / "table"), "--out", str(tmp_path / "results" / "table")])
    for precision, reused in (("fp32", True), ("auto", True), ("bf16", False)):
        words = [f"run_root={tmp_path / 'new'}", f"reuse={tmp_path / 'results'}", f"precision={precision}"]
        found = planned(*resolved(*QUICK, *words))
        assert (found is not None) == reused


def test_a_row_of_a_committed_table_counts_as_finished(tmp_path):
    config, choices = resolved(*QUICK, f"run_root={tmp_path / 'runs'}", "group=table")
    trained = run(config, choices)
    report([str(tmp_path / "runs" / "table"), "--out", str(tmp_path / "results" / "table")])
    elsewhere = config | {"run_root": str(tmp_path / "other"), "reuse": str(tmp_path / "results")}
    found = run(elsewhere, choices)
    assert found.reused
    assert found.record.id == trained.record.id
    assert found.record.metrics == trained.record.metrics
    assert not (tmp_path / "other").exists()
    assert planned(elsewhere | {"seed": 1}, choices) is None


def test_a_folder_without_tables_is_refused(tmp_path):
    config, choices = resolved(*QUICK, f"run_root={tmp_path}", f"reuse={tmp_path}")
    with pytest.raises(ConfigError, match=r"holds no \*/runs.csv"):
        run(config, choices)


def test_every_experiment_composes_into_a_run_of_its_own(faces):
    configs = []
    for name in EXPERIMENTS:
        config, choices = resolved(f"experiment={name}", *([faces] if name.startswith("full") else []))
        assert planned(config | {"run_root": "/nonexistent"}, choices) is None
        assert config not in configs
        configs.append(config)


@pytest.mark.parametrize(
    ("sweep", "few", "jobs"),
    [
        ("table_3_1", "seed=0", 13),
        ("tuning", "lr=0.2", 7),
        ("margin", "seed=0", 10),
        ("scale_margin", "s=30", 15),
        ("table_3_2", "seed=0", 4),
        ("label_noise", "m=0.2", 12),
        ("long_tail", "m=0.2", 9),
    ],
)
def test_the_sweeps_that_ship_can_be_listed(call, sweep, few, jobs):
    code, out, _ = call(f"sweep={sweep}", few, "dry=true", "dataset=digits")
    assert code == 0
    assert f"0 of {jobs} jobs" in out.splitlines()[-1]


def test_the_full_size_table_can_be_listed(call, faces):
    code, out, _ = call("sweep=full_table_3_1", "dry=true", faces)
    assert code == 0
    assert "0 of 13 jobs" in out.splitlines()[-1]


def test_the_full_size_table_without_a_path_is_one_line_a_row(call):
    code, _, error = call("sweep=full_table_3_1", "dry=true")
    assert code == 1
    assert "dataset.path" in error
    assert "Traceback" not in error
