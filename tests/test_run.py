"""One run from its configuration to its record: what it writes, what it reuses, how it goes on."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from omegaconf import OmegaConf

from lossbench import build, records
from lossbench.config import ConfigError
from lossbench.evaluate_splits import evaluate_splits
from lossbench.lightning.checkpoints import load_weights
from lossbench.losses import cross_entropy_loss
from lossbench.records import read_curves, read_history, read_record, read_replicates
from lossbench.report.groups import group_records
from lossbench.run import run
from tests.test_config import resolved

QUICK = ("dataset=digits", "backbone=mlp", "trainer=smoke", "logger=none", "figures=false", "progress=false")
QUICK += ("device=cpu",)
# 1079 rows make 16 batches of 64: three epochs and a half, with four looks at the validation split.
LONGER = ("trainer.steps=56", "trainer.validations=4", "log_every=5", "checkpoint_every=0")


def start(root, *overrides):
    return run(*resolved(*QUICK, f"run_root={root}", *overrides))


def result(outcome):
    return json.loads((outcome.folder / "result.json").read_text())


def history_bytes(outcome):
    return (outcome.folder / "metrics.csv").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that a test may look at and must not change."""
    return start(tmp_path_factory.mktemp("finished"), *LONGER)


# what a run leaves behind


def test_a_run_leaves_its_record_history_curves_configuration_and_checkpoints(finished):
    names = {path.relative_to(finished.folder).as_posix() for path in finished.folder.rglob("*")}
    expected = {"result.json", "metrics.csv", "curves.npz", "config.yaml", "checkpoints"}
    expected |= {"checkpoints/last.ckpt", "checkpoints/best.ckpt", ".lock"}
    assert names == expected
    assert not finished.reused


def test_replicates_give_intervals_of_the_test_and_change_no_number(finished, tmp_path):
    with_people = start(tmp_path, *LONGER, "protocol.bootstrap=200")
    assert with_people.record.metrics == finished.record.metrics
    replicates = read_replicates(with_people.folder)
    assert {"test/eer", "test/cmc_1", "test/tar_far_1e_2", "test/macro/tar_far_1e_2"} <= replicates.keys()
    assert all(name.startswith("test/") and len(values) == 200 for name, values in replicates.items())
    for name, interval in with_people.record.intervals.items():
        assert interval["low"] <= interval["high"]
        assert interval["low"] >= replicates[name].min() - 1e-6
    assert set(with_people.record.intervals) <= replicates.keys()
    assert finished.record.intervals == {}


def test_too_few_replicates_are_refused_before_any_training(tmp_path):
    with pytest.raises(ConfigError, match=r"protocol\.bootstrap=50"):
        start(tmp_path, "protocol.bootstrap=50")


def test_the_record_on_disk_is_the_one_returned(finished):
    assert read_record(finished.folder) == finished.record


def test_the_result_is_strict_json(finished):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads((finished.folder / "result.json").read_text(), parse_constant=refuse)
    groups = ["config", "cost", "details", "environment", "id", "intervals", "metrics", "schema", "split"]
    assert sorted(content) == groups
    assert content["schema"] == 1


def test_metric_names_are_valid_in_every_tracker(finished):
    assert finished.record.metrics
    for name in finished.record.metrics:
        assert re.match(r"^(val|test)/[a-z0-9_/]+$", name), name


def test_undefined_metrics_are_null_with_a_reason(finished):
    metrics = result(finished)["metrics"]
    undefined = {name for name, value in metrics.items() if value is None}
    # 359 rows make 64,261 pairs: too few impostors for one in a million, enough for one in ten thousand.
    assert "test/tar_far_1e_6" in undefined
    assert "test/tar_far_1e_4" not in undefined
    assert set(result(finished)["details"]["undefined"]) == undefined


def test_the_config_on_disk_is_the_resolved_one(finished):
    written = OmegaConf.to_container(OmegaConf.load(finished.folder / "config.yaml"))
    assert written == finished.record.config
    assert written["trainer"]["steps"] == 56
    assert "${" not in (finished.folder / "config.yaml").read_text()


def test_the_curves_are_those_of_the_test_split(finished):
    curves = read_curves(finished.folder)
    assert {"roc_far", "roc_tar", "roc_threshold", "cmc_rank", "cmc_rate"} <= set(curves)
    assert curves["cmc_rate"][0] == finished.record.metrics["test/cmc_1"]
    assert curves["cmc_rate"][4] == finished.record.metrics["test/cmc_5"]


def test_the_history_has_training_rows_and_validation_rows(finished):
    rows = {int(row["step"]): row for row in read_history(finished.folder)}
    trained = {step for step, row in rows.items() if "train/loss" in row}
    assert trained == {*range(0, 56, 5), 55}
    # four of 56 steps, the last at the end, wherever epochs of 16 steps end
    validated = {step for step, row in rows.items() if "val/auc" in row}
    assert validated == {13, 27, 41, 55}
    assert {row["epoch"] for row in rows.values()} == {0, 1, 2, 3}


def test_the_record_says_who_was_in_which_role(finished):
    split = finished.record.split
    assert split["open_set"] is False
    assert {role: part["rows"] for role, part in split["roles"].items()} == {
        "train": 1079,
        "val": 359,
        "test": 359,
    }
    assert split["roles"]["train"]["names"] == list("0123456789")


def test_the_record_says_what_the_run_cost_and_where_it_ran(finished):
    cost, environment = finished.record.cost, finished.record.environment
    assert 0 < cost["train_seconds"] < cost["seconds"] < 100
    assert 50 < cost["peak_memory_mb"] < 20_000
    assert environment["precision"] == "fp32"
    assert environment["threads"] == torch.get_num_threads()
    assert environment["torch"] == torch.__version__
    assert environment["resumed"] is False


def test_the_record_names_parts_and_steps(finished):
    details = finished.record.details
    assert (details["dataset"], details["backbone"], details["head"], details["loss"]) == (
        "digits",
        "mlp",
        "linear",
        "ce",
    )
    assert details["steps"] == 56


def test_figures_are_drawn_when_asked_for(tmp_path):
    outcome = start(tmp_path, "figures=true")
    drawn = list((outcome.folder / "figures").iterdir())
    assert any(path.suffix == ".png" for path in drawn)
    assert all(path.stat().st_size > 500 for path in drawn)


# the same run again


def test_a_finished_run_is_returned_and_nothing_is_trained(finished, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")}
    monkeypatch.setattr("lossbench.job.execute", lambda *_: pytest.fail("trained again"))
    again = start(finished.folder.parents[1], *LONGER)
    assert again.reused
    assert again.record == finished.record
    assert again.folder == finished.folder
    assert {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*")} == before


def test_a_finished_run_needs_none_of_its_other_files(tmp_path):
    outcome = start(tmp_path)
    kept = (outcome.folder / "result.json").read_bytes()
    for path in outcome.folder.rglob("*"):
        if path.is_file() and path.name != "result.json":
            path.unlink()
    assert start(tmp_path).reused
    assert (outcome.folder / "result.json").read_bytes() == kept


def test_force_trains_again_and_ends_with_the_same_numbers(finished, tmp_path):
    first = start(tmp_path, *LONGER)
    assert first.record.metrics == finished.record.metrics
    forced = start(tmp_path, *LONGER, "force=true")
    assert not forced.reused
    assert forced.folder == first.folder
    assert forced.record.metrics == first.record.metrics
    assert forced.record.environment["resumed"] is False
    assert history_bytes(forced) == history_bytes(finished)


def test_force_clears_what_an_earlier_attempt_left(tmp_path):
    outcome = start(tmp_path)
    (outcome.folder / "checkpoints" / "last.ckpt").write_bytes(b"torn")
    (outcome.folder / "checkpoints" / "best.ckpt").write_bytes(b"old")
    (outcome.folder / "leftover.txt").write_text("old")
    forced = start(tmp_path, "force=true")
    assert forced.record.metrics == outcome.record.metrics
    assert not (outcome.folder / "leftover.txt").exists()
    assert (outcome.folder / "checkpoints" / "best.ckpt").read_bytes() != b"old"


def test_a_forced_run_that_fails_no_longer_looks_finished(tmp_path, monkeypatch):
    outcome = start(tmp_path)
    monkeypatch.setattr("lossbench.job.execute", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        start(tmp_path, "force=true")
    assert not (outcome.folder / "result.json").exists()


def test_another_seed_is_another_run_with_other_numbers(finished):
    other = start(finished.folder.parents[1], *LONGER, "seed=1")
    assert other.folder != finished.folder
    assert not other.reused
    assert other.record.metrics != finished.record.metrics


def test_how_to_run_changes_no_number(finished, tmp_path):
    outcome = start(tmp_path, *LONGER, "log_every=11", "checkpoint_every=1000", "group=other")
    assert outcome.record.metrics == finished.record.metrics
    assert outcome.record.id == finished.record.id


def test_numbers_do_not_depend_on_what_the_process_did_before(finished, tmp_path):
    torch.manual_seed(1234)
    torch.rand(17)
    assert start(tmp_path, *LONGER).record.metrics == finished.record.metrics


# which weights are evaluated


def _evaluated(outcome, name):
    """Metrics of a checkpoint of a finished run, computed again."""
    config = outcome.record.config
    data = build.make_data(config, torch.device("cpu"))
    module = build.make_training(config, shape=data.shape, counts=data.dataset.counts())
    load_weights(module, outcome.folder / "checkpoints" / name)
    options = {"protocol": config["protocol"], "tau": 1.0, "precision": "fp32"}
    val, test = evaluate_splits(module.eval(), data, **options)
    return val.metrics | test.metrics


def test_the_last_weights_are_evaluated_unless_told_otherwise(finished):
    assert _evaluated(finished, "last.ckpt") == finished.record.metrics


def test_weights_best_evaluates_the_checkpoint_that_was_best_on_validation(tmp_path):
    # A rate that falls from far too high: the best look is not the last one.
    overrides = (*LONGER, "trainer.weights=best", "lr=2", "schedule.warmup=0.9")
    outcome = start(tmp_path, *overrides)
    looks = [row["val/auc"] for row in read_history(outcome.folder) if "val/auc" in row]
    best, last = _evaluated(outcome, "best.ckpt"), _evaluated(outcome, "last.ckpt")
    assert looks.index(max(looks)) < len(looks) - 1
    assert best != last
    assert outcome.record.metrics == best
    assert outcome.record.metrics["val/auc"] == pytest.approx(max(looks), abs=1e-9)


def test_weights_best_without_a_look_at_the_validation_split_is_refused(tmp_path):
    line = _refused(tmp_path, "trainer.weights=best", "trainer.validations=0")
    assert line.startswith("trainer.weights=best: ")
    assert not list(tmp_path.rglob("result.json"))


def test_checkpoints_can_be_thrown_away_once_the_result_is_written(tmp_path):
    outcome = start(tmp_path, "keep_checkpoints=false")
    assert (outcome.folder / "result.json").exists()
    assert not (outcome.folder / "checkpoints").exists()
    assert start(tmp_path, "keep_checkpoints=false").reused


# refusals


def _refused(root, *overrides):
    with pytest.raises(ConfigError) as found:
        start(root, *overrides)
    line = str(found.value)
    assert len(line.splitlines()) == 1
    return line


def test_a_folder_that_holds_another_run_is_refused(tmp_path):
    outcome = start(tmp_path)
    content = result(outcome)
    content["id"] = "0" * 64
    (outcome.folder / "result.json").write_text(json.dumps(content))
    line = _refused(tmp_path)
    assert line.startswith(f"{outcome.folder}: holds another run (id 0000")
    assert "change run_root" in line


@pytest.mark.parametrize("where", ["run_root", "group"])
def test_a_file_where_a_folder_should_be_is_refused(tmp_path, where):
    (tmp_path / "file").write_text("")
    override = {"run_root": f"run_root={tmp_path / 'file'}", "group": "group=file"}[where]
    line = _refused(tmp_path, override)
    assert line.startswith(str(tmp_path / "file"))
    assert "set run_root" in line


def test_a_torn_result_is_one_line_that_names_the_file(tmp_path):
    outcome = start(tmp_path)
    path = outcome.folder / "result.json"
    path.write_text(path.read_text()[:-20])
    line = _refused(tmp_path)
    assert line.startswith(f"{path}: not valid JSON")
    assert line.endswith("force=true trains again")
    assert start(tmp_path, "force=true").record.metrics == outcome.record.metrics


def _unfinish(outcome):
    (outcome.folder / "result.json").unlink()
    return outcome.folder / "checkpoints" / "last.ckpt"


def test_a_torn_checkpoint_is_refused_with_its_name_and_the_cure(tmp_path):
    outcome = start(tmp_path)
    path = _unfinish(outcome)
    path.write_bytes(path.read_bytes()[:-2000])
    line = _refused(tmp_path)
    assert line.startswith(f"{path}: cannot be read as a checkpoint")
    assert "delete it to train from the start, or pass force=true" in line
    path.unlink()  # the cure
    assert start(tmp_path).record.metrics == outcome.record.metrics


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run_it(tmp_path):
    witness = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return Path.touch, (witness,)

    torch.save({"global_step": 3, "payload": Payload()}, tmp_path / "evil.ckpt", pickle_module=pickle)
    torch.load(tmp_path / "evil.ckpt", weights_only=False)
    assert witness.exists(), "the payload is live"
    witness.unlink()

    path = _unfinish(start(tmp_path))
    path.write_bytes((tmp_path / "evil.ckpt").read_bytes())
    assert _refused(tmp_path).startswith(f"{path}: cannot be read as a checkpoint")
    assert not witness.exists()


def test_a_best_checkpoint_that_would_run_code_is_refused_too(tmp_path):
    witness = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return Path.touch, (witness,)

    best = (*LONGER, "trainer.weights=best")
    path = _unfinish(start(tmp_path, *best)).with_name("best.ckpt")
    torch.save({"state_dict": {}, "payload": Payload()}, path)
    assert _refused(tmp_path, *best).startswith(f"{path}: cannot be read as a checkpoint")
    assert not witness.exists()


def test_a_run_that_another_process_trains_is_refused(tmp_path):
    outcome = start(tmp_path)
    _unfinish(outcome)
    with FileLock(outcome.folder / ".lock"):
        line = _refused(tmp_path)
    assert line.startswith(f"{outcome.folder}: another process is at this run")
    assert start(tmp_path).record.metrics == outcome.record.metrics


def test_a_finished_run_is_read_while_another_process_holds_its_lock(tmp_path):
    outcome = start(tmp_path)
    with FileLock(outcome.folder / ".lock"):
        assert start(tmp_path).reused


def test_a_faulty_configuration_makes_no_folder(tmp_path):
    root = tmp_path / "runs"
    assert _refused(root, "loss=amsoftmax", "m=-1").startswith("m=-1")
    assert not root.exists()


def test_a_convnet_on_points_is_refused_in_one_line(tmp_path):
    assert "use backbone=mlp" in _refused(tmp_path, "dataset=xor", "backbone=convnet")


# going on after a stop


class Fuse:
    """Blows after so many training steps, as a power cut would."""

    left: int | None = None


def fused_loss(scores, target, *, tau):
    training = scores.requires_grad and len(scores) > 5  # five are those that it is checked with
    if training and Fuse.left is not None:
        Fuse.left -= 1
        if Fuse.left < 0:
            raise RuntimeError("the fuse blew")
    return cross_entropy_loss(scores, target, tau=tau)


def _stopped(root, after, *overrides):
    """Train ``after`` steps and stop."""
    Fuse.left = after
    try:
        with pytest.raises(RuntimeError, match="the fuse blew"):
            start(root, *overrides)
    finally:
        Fuse.left = None


# Of the epochs 0 to 3 only 1 ends with a look at the validation split: stops fall after either kind.
FUSED = (*LONGER, "trainer.validations=2", "loss._target_=tests.test_run.fused_loss", "backbone.dropout=0.3")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return start(tmp_path_factory.mktemp("undisturbed"), *FUSED)


@pytest.mark.parametrize("stops", [(3,), (16,), (17,), (40,), (50,), (20, 5, 17)])
def test_a_stopped_run_goes_on_and_ends_with_the_same_numbers_and_history(undisturbed, tmp_path, stops):
    for after in stops:
        _stopped(tmp_path, after, *FUSED)
    resumed = start(tmp_path, *FUSED)
    assert resumed.record.environment["resumed"] is (stops[0] > 15)  # an epoch of 16 steps had ended
    assert resumed.record.metrics == undisturbed.record.metrics
    assert resumed.record.details == undisturbed.record.details
    assert history_bytes(resumed) == history_bytes(undisturbed)


STATEFUL = {
    "a margin that rises": ("loss=amsoftmax", "margin_schedule=cosine"),
    "lambda that falls": ("loss=asoftmax",),
    "a learned scale": ("loss=normface", "head.learn_s=true"),
    "centres": ("loss=center",),
    "running norms": ("loss=adaface",),
    "a running cosine": ("loss=curricularface",),
    "a running scale": ("loss=adacos",),
    "counts of sub-centres": ("loss=subcenter_arcface", "drop_after=0.5"),
    "proxies": ("loss=pml", "loss.name=ProxyAnchorLoss"),
    "batches by class": ("loss=sup_con",),
}


@pytest.mark.parametrize("overrides", STATEFUL.values(), ids=list(STATEFUL))
def test_what_changes_while_training_is_kept_and_a_stopped_run_goes_on_exactly(
    tmp_path, monkeypatch, overrides
):
    """The step, the state of heads and regularizers, and the weights of losses are in the checkpoint."""
    whole = start(tmp_path / "whole", *LONGER, *overrides)
    with monkeypatch.context() as patched:
        _blow_at(patched, step=40)
        with pytest.raises(RuntimeError, match="the fuse blew"):
            start(tmp_path / "stopped", *LONGER, *overrides)
    resumed = start(tmp_path / "stopped", *LONGER, *overrides)
    assert resumed.record.environment["resumed"] is True
    assert resumed.record.metrics == whole.record.metrics
    assert history_bytes(resumed) == history_bytes(whole)


def _blow_at(patched, step):
    from lossbench.lightning.module import Training

    train = Training.training_step

    def blowing(self, batch, batch_idx):
        if self.trainer.global_step == step:
            raise RuntimeError("the fuse blew")
        return train(self, batch, batch_idx)

    patched.setattr(Training, "training_step", blowing)


def test_a_student_learns_from_a_finished_run_and_is_named_after_its_loss(finished, tmp_path):
    student = start(tmp_path, "loss=distillation", f"teacher={finished.folder}")
    assert student.record.details["loss"] == "distillation"
    assert student.record.config["teacher"]["id"] == finished.record.id
    assert start(tmp_path, "loss=distillation", f"teacher={finished.folder}").reused
    assert start(tmp_path, "loss=distillation", f"teacher={finished.folder}/result.json").reused


def test_students_of_different_teachers_are_not_pooled(finished, tmp_path):
    other = start(tmp_path / "other", "seed=7")
    students = [
        start(tmp_path, "loss=distillation", f"teacher={teacher.folder}", f"seed={seed}").record
        for teacher, seed in ((finished, 0), (other, 0), (other, 1))
    ]
    assert sorted(len(group.runs) for group in group_records(students)) == [1, 2]


def test_a_result_in_another_precision_than_asked_for_is_not_passed_off(finished, tmp_path):
    root = finished.folder.parents[1]
    assert start(root, *LONGER, "precision=fp32").reused
    assert "was computed in fp32; for precision=bf16" in _refused(root, *LONGER, "precision=bf16")


def test_a_teacher_that_cannot_teach_is_refused(finished, tmp_path):
    for overrides, line in (
        (("loss=distillation",), "needs teacher=RUN_FOLDER"),
        (("loss=ce", f"teacher={finished.folder}"), "only loss=distillation learns from one"),
        (("loss=distillation", f"teacher={tmp_path}"), "give the folder of a finished run"),
        (
            ("loss=distillation", f"teacher={finished.folder}", "dataset=blobs"),
            "was trained on other data",
        ),
    ):
        assert line in _refused(tmp_path / "student", *overrides)


def test_a_run_stopped_after_its_last_step_is_only_evaluated(undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("lossbench.job.write_record", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            start(tmp_path, *FUSED)
    Fuse.left = 0
    try:
        resumed = start(tmp_path, *FUSED)
    finally:
        Fuse.left = None
    assert resumed.record.metrics == undisturbed.record.metrics
    assert resumed.record.details == undisturbed.record.details
    assert history_bytes(resumed) == history_bytes(undisturbed)


def test_a_resumed_run_with_best_weights_remembers_the_best_before_the_stop(tmp_path):
    overrides = (*FUSED, "trainer.validations=4", "trainer.weights=best", "lr=2", "schedule.warmup=0.9")
    whole = start(tmp_path / "whole", *overrides)
    _stopped(tmp_path / "stopped", 35, *overrides)
    assert start(tmp_path / "stopped", *overrides).record.metrics == whole.record.metrics


def _checkpoints(root):
    return list(root.glob("adhoc/*/checkpoints/last.ckpt"))


def _reached(path):
    """Step of a checkpoint, 0 before there is one; it is replaced in one move, never half written."""
    return torch.load(path, weights_only=True)["global_step"] if path.exists() else 0


def test_the_cost_of_a_resumed_run_counts_the_training_before_its_checkpoint(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        _blow_at(patched, step=40)
        with pytest.raises(RuntimeError, match="the fuse blew"):
            start(tmp_path, *LONGER)
    (checkpoint,) = _checkpoints(tmp_path)
    content = torch.load(checkpoint, weights_only=True)
    taken = content["callbacks"]["KeepLast"]["seconds"]
    assert 0 < taken < 60
    content["callbacks"]["KeepLast"]["seconds"] = taken + 1000
    torch.save(content, checkpoint)

    cost = start(tmp_path, *LONGER).record.cost
    assert 1000 + taken < cost["train_seconds"] < cost["seconds"] < 1060


def test_a_run_ended_by_kill_9_goes_on_and_ends_with_the_same_numbers_and_history(tmp_path):
    overrides = [word for word in QUICK if word != "trainer=smoke"]
    overrides += ["trainer.steps=800", "checkpoint_every=0", "log_every=5", "backbone.dropout=0.3"]
    command = [sys.executable, "-m", "lossbench", *overrides, f"run_root={tmp_path / 'killed'}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 90
        while max(map(_reached, _checkpoints(tmp_path / "killed")), default=0) < 100:
            assert time.monotonic() < deadline
            assert process.poll() is None, "ended before it was killed"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (checkpoint,) = _checkpoints(tmp_path / "killed")
    assert 100 <= _reached(checkpoint) < 800
    assert not (checkpoint.parents[1] / records.RESULT).exists()

    subprocess.run(command, env=environment, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    resumed = read_record(checkpoint.parents[1])
    assert resumed.environment["resumed"] is True
    assert resumed.environment["threads"] == torch.get_num_threads() == 1
    whole = start(tmp_path / "whole", "trainer=default", *overrides)
    assert resumed.id == whole.record.id
    assert resumed.metrics == whole.record.metrics
    assert (checkpoint.parents[1] / "metrics.csv").read_bytes() == history_bytes(whole)
