"""The command line: the main job, a sweep, and one line for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lossbench import cli
from lossbench.lightning.divergence import DivergedError
from lossbench.mistakes import misplaced_dash
from lossbench.run import run

QUICK = ["dataset=digits", "backbone=mlp", "trainer=smoke", "logger=none", "figures=false", "progress=false"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def lossbench(*arguments, cwd, **more):
    """The command as a user types it."""
    command = [sys.executable, "-m", "lossbench", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT | more, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def call(monkeypatch, tmp_path, capfd):
    """The command in this process, in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def called(*arguments):
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", ["lossbench", *map(str, arguments)])
        capfd.readouterr()
        code = cli.main()
        return (code, *capfd.readouterr())

    return called


# the main job


def test_the_main_job_prints_its_numbers_and_where_to_look_next(tmp_path):
    command = ["trainer=smoke", "dataset=digits", "backbone=mlp"]
    done = lossbench(*command, cwd=tmp_path, WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr
    (folder,) = (tmp_path / "runs" / "adhoc").iterdir()
    record = json.loads((folder / "result.json").read_text())
    assert f"{100 * record['metrics']['test/accuracy']:.2f} %" in done.stdout
    for word in ("accuracy", "NLL", "AUC", "EER", "TAR@FAR=1e-3", "rank-1", "undefined", "seconds"):
        assert word in done.stdout
    short = folder.relative_to(tmp_path)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["record", f"{short}/result.json"] in lines
    assert ["figures", f"{short}/figures"] in lines
    assert ["report", "python", "-m", "lossbench.report", f"{short}"] in lines
    assert list((folder / "figures").iterdir())
    assert list((folder / "wandb").glob("offline-run-*"))
    # nothing but runs/ is left where the command was given
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]

    before = (folder / "result.json").stat().st_mtime_ns
    started = time.perf_counter()
    again = lossbench(*command, cwd=tmp_path)
    assert time.perf_counter() - started < 5
    assert again.returncode == 0
    assert f"lossbench: finished before: {short} (force=true trains again)" in again.stdout
    assert f"{100 * record['metrics']['test/accuracy']:.2f} %" in again.stdout
    assert (folder / "result.json").stat().st_mtime_ns == before


IMPORTED = """
import atexit, sys
heavy = "torch", "pytorch_lightning", "wandb", "matplotlib", "sklearn"
atexit.register(lambda: print("IMPORTED", [name for name in heavy if name in sys.modules]))
from lossbench.cli import main
sys.argv = ["lossbench", *sys.argv[1:]]
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["--help"],
            0,
            ["which head and loss should I train with?", "loss=amsoftmax m=0.35", "trainer.steps=600"],
        ),
        (["loss=ce", "m=0.35"], 1, []),
        (["--cfg", "job", "loss=amsoftmax"], 0, ["m: 0.35"]),
    ],
)
def test_help_mistakes_and_the_configuration_are_shown_without_importing_torch(
    tmp_path, arguments, code, words
):
    command = [sys.executable, "-c", IMPORTED, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert "IMPORTED []" in done.stdout
    for word in words:
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []


# mistakes


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["loss=nosuch"], "loss=nosuch: no such loss; there are "),
        (["loss=amsofmax"], "loss=amsofmax: no such loss; did you mean amsoftmax?"),
        (["backbone=resnet"], "backbone=resnet: no such backbone; "),
        (["sed=1"], "sed: no such option; did you mean seed?"),
        (["trainer.step=5"], "trainer.step: no such option; did you mean trainer.steps?"),
        (
            ["loss=ce", "m=0.35"],
            "m: the chosen head and loss take no m; these do: head=arcface_straight_through, ",
        ),
        (["loss=amsoftmax", "m=-1"], "m=-1: must be a number in [0, 1)"),
        (["loss=amsoftmax", "m=abc"], "m=abc: must be a number in [0, 1)"),
        (["loss=amsoftmax", "m=nan"], "m=nan: must be a number in [0, 1)"),
        (["loss=amsoftmax", "m=inf"], "m=inf: must be a number in [0, 1)"),
        (["loss=amsoftmax", "s=0"], "s=0: must be a number > 0"),
        (["loss=temperature", "tau=0"], "tau=0: must be a number > 0"),
        (["loss=hinge", "delta=nan"], "delta=nan: must be a number > 0"),
        (["lr=nan"], "lr=nan: must be a number > 0"),
        (["seed=-1"], "seed=-1: must be a whole number"),
        (["loss=amsoftmax", "head=linear"], "loss=amsoftmax head=linear: the preset amsoftmax stands for"),
        (
            ["loss=amsoftmax", "-m", "0.35"],
            "-m 0.35: -m starts a sweep; the margin is set without a dash: m=0.35",
        ),
        (["loss=amsoftmax", "--m=0.35"], "--m=0.35: options of lossbench have no dashes: m=0.35"),
        (["--seed", "3"], "--seed: options of lossbench have no dashes: seed=3"),
        (["seed"], "seed: options are written name=value"),
        (["run_root=~/runs"], "run_root=~/runs: write $HOME instead of ~"),
        (["run_root=my (runs)"], "run_root=my (runs): quote a value with spaces"),
        (["seed=0,1"], "seed=0,1: several values are a sweep: add -m"),
        (["run_root=taken"], "taken"),
        (["device=tpu"], "device=tpu: must be auto, cpu or cuda"),
    ],
)
def test_a_mistake_is_answered_in_one_line_and_leaves_nothing_behind(call, tmp_path, arguments, line):
    (tmp_path / "taken").write_text("a file")
    # what was typed comes last and wins
    code, out, err = call(*QUICK, *arguments)
    assert code == 1
    assert err.startswith("lossbench: error: ")
    assert line in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert [path.name for path in tmp_path.rglob("*") if path.name not in ("taken", "runs")] == []


def test_several_faults_are_a_line_each(call):
    code, _, err = call(*QUICK, "loss=amsoftmax", "m=-1", "s=0", "schedule.warmup=2")
    lines = err.splitlines()
    assert code == 1
    assert len(lines) >= 2
    assert all(line.startswith("lossbench: error: ") for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [["-m", "loss=ce"], ["--multirun", "seed=0,1"], ["--help"], ["--cfg", "job"], ["m=0.35", "-m"], []],
)
def test_hydras_own_dashes_are_left_alone(arguments):
    assert misplaced_dash(arguments) is None


def test_an_unexpected_failure_shows_its_traceback_and_ends_in_one_line(call, monkeypatch):
    monkeypatch.setattr("lossbench.job.execute", lambda *_: {}["missing"])
    code, _, err = call(*QUICK)
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1] == "lossbench: error: KeyError: 'missing'"


@pytest.mark.parametrize("error", [DivergedError("training diverged at step 3: loss=nan; lower lr")])
def test_a_diverged_run_is_one_line_without_a_traceback(call, monkeypatch, error):
    def diverge(*_):
        raise error

    monkeypatch.setattr("lossbench.job.execute", diverge)
    code, _, err = call(*QUICK)
    assert (code, err) == (1, f"lossbench: error: {error}\n")


def test_a_torn_result_is_one_line_without_a_traceback(call, tmp_path):
    assert call(*QUICK)[0] == 0
    (path,) = tmp_path.rglob("result.json")
    path.write_text("{")
    code, _, err = call(*QUICK)
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "force=true trains again" in err


def test_ctrl_c_says_how_to_go_on(call, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lossbench.job.execute", interrupted)
    code, _, err = call(*QUICK)
    assert code == 130
    assert err == "lossbench: error: stopped; the same command goes on from the last checkpoint\n"


# sweeps


def test_a_sweep_trains_every_job_names_the_one_that_failed_and_prints_one_table(call, tmp_path):
    sweep = ["-m", "head=normface,amsoftmax", "s=0,30", "seed=0,1", *QUICK]
    done = lossbench(*sweep, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.rglob("result.json"))) == 4
    told = [line for line in done.stderr.splitlines() if line.startswith("lossbench: error: ")]
    assert len(told) == 4
    for line in told:
        assert "s=0 " in line
        assert "s=0: must be a number > 0" in line
    assert {("head=normface" in line, "seed=1" in line) for line in told} == {
        (head, seed) for head in (True, False) for seed in (True, False)
    }
    assert "4 failed jobs:" in done.stdout
    assert done.stdout.count("lossbench: job ") == 8
    table = done.stdout.split("lossbench: job 8")[1]
    assert "±" in table or "seeds" in table
    for name in ("normface", "amsoftmax"):
        assert name in table.lower()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}

    code, out, _ = call(*sweep)
    assert code == 1
    assert out.count("lossbench: finished before: ") == 4
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")} == times


def test_the_jobs_of_a_sweep_read_the_data_set_once(call, monkeypatch, tmp_path):
    from lossbench.build import _device_data
    from lossbench.datasets import Digits, cache

    monkeypatch.setattr(cache, "_loaded", {})
    _device_data.cache_clear()
    reads = []
    load = Digits.load
    monkeypatch.setattr(Digits, "load", lambda self: reads.append(self) or load(self))
    code, out, _ = call("-m", "loss=ce,amsoftmax,hinge", "seed=0,1", *QUICK)
    assert code == 0
    assert len(list(tmp_path.rglob("result.json"))) == 6
    assert len(reads) == 1
    assert out.count("lossbench: job ") == 6


def test_a_sweeps_failure_in_the_middle_does_not_stop_the_jobs_after_it(call, monkeypatch, tmp_path):
    def one_fails(config, choices):
        if config["seed"] == 1:
            raise RuntimeError("out of luck")
        return run(config, choices)

    monkeypatch.setattr("lossbench.run.run", one_fails)
    code, out, err = call("-m", "seed=0,1,2", *QUICK)
    assert code == 1
    assert len(list(tmp_path.rglob("result.json"))) == 2
    assert "RuntimeError: out of luck" in err
    assert "1 failed job:" in out
    assert "seed=1" in out.split("1 failed job:")[1]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_flag_of_a_sweep_may_stand_anywhere(call, place):
    words = ["loss=ce,amsoftmax", "seed=0,1"]
    code, out, _ = call(*words[:place], "-m", *words[place:], "dry=true", *QUICK)
    assert (code, out.splitlines()[-1]) == (0, "lossbench: 0 of 4 jobs finished, 4 to do")


def test_an_option_that_another_part_has_is_named_with_that_part(call):
    code, _, error = call("backbone=identity", "backbone.dim=64", "dataset=digits")
    assert code == 1
    assert "backbone.dim: the chosen backbone takes no dim; these do: backbone=convnet, " in error


def test_a_knob_set_below_its_part_is_told(call):
    code, _, error = call("loss=amsoftmax", "head.m=0.3", "dataset=digits")
    assert (code, error) == (1, "lossbench: error: head.m: set the knob, m=...\n")


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path):
    command = f"{sys.executable} -m lossbench --help | head -1; exit ${{PIPESTATUS[1]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_the_installed_command_finds_a_loss_in_the_current_folder(tmp_path):
    (tmp_path / "ownlosses.py").write_text(
        "def sharp(scores, target):\n    return -scores.softmax(1)[:, 0]\n"
    )
    (tmp_path / "own/loss").mkdir(parents=True)
    (tmp_path / "own/loss/sharp.yaml").write_text("_target_: ownlosses.sharp\n_partial_: true\n")
    installed = [str(Path(sys.executable).with_name("lossbench")), "--config-dir", "own", "loss=sharp"]
    done = subprocess.run(
        [*installed, "dry=true", *QUICK], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 of 1 jobs finished, 1 to do" in done.stdout
