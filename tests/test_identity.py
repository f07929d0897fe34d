"""Run ids: the same for the same run, another for another, and stable under what does not matter."""

from __future__ import annotations

import json

import pytest

from lossbench.config import CAUTIONS
from lossbench.identity import foreign_code, run_folder, run_id, run_names
from tests.test_config import resolved

DATA = "fingerprint"


def identity(*overrides, data=DATA):
    return run_id(resolved(*overrides)[0], data)


def test_the_id_is_stable_under_key_order():
    config, _ = resolved("loss=amsoftmax")
    reordered = json.loads(json.dumps(config, sort_keys=True))
    assert list(reordered) != list(config)
    assert run_id(reordered, DATA) == run_id(config, DATA)


def test_null_groups_and_null_options_do_not_count():
    config, _ = resolved()
    later = {**config, "regularizer": None, "trainer": {**config["trainer"], "new_option": None}}
    assert run_id(later, DATA) == run_id(config, DATA)


def test_cautions_that_are_not_set_keep_the_ids_of_runs_from_before_there_were_any():
    config, _ = resolved()
    before = {key: value for key, value in config["dataset"].items() if key not in CAUTIONS}
    assert len(before) == len(config["dataset"]) - 3
    assert run_id({**config, "dataset": before}, DATA) == run_id(config, DATA)


def test_a_preset_and_its_parts_are_one_run():
    assert identity("loss=amsoftmax") == identity("head=amsoftmax", "loss=ce")


def test_one_and_one_point_zero_are_one_run():
    assert identity("loss=hinge", "delta=1") == identity("loss=hinge", "delta=1.0")


def test_where_and_how_to_run_do_not_count():
    settings = ["run_root=elsewhere", "group=x", "force=true", "device=cpu", "precision=fp32", "log_every=7"]
    settings += ["keep_checkpoints=false", "figures=false", "progress=false", "logger=none"]
    assert identity(*settings) == identity()


def test_whatever_changes_the_numbers_changes_the_id():
    changes = [
        (),
        ("seed=1",),
        ("loss=hinge",),
        ("loss=amsoftmax",),
        ("loss=amsoftmax", "m=0.3"),
        ("lr=0.1",),
        ("backbone.dim=64",),
        ("trainer.steps=10",),
        ("dataset.difficulty=2",),
        ("dataset=digits",),
        ("dataset.label_noise=0.1",),
        ("dataset.long_tail=10",),
        ("dataset.leak=0",),
        ("protocol.draws=3",),
    ]
    assert len({identity(*change) for change in changes}) == len(changes)


def test_other_data_is_another_run():
    assert identity(data="a") != identity(data="b")


def test_the_same_data_in_another_place_is_the_same_run():
    here, there = (identity("dataset=folder", f"dataset.path={path}") for path in ("/a/faces", "/b/faces"))
    assert here == there
    here, there = (
        identity("dataset=glyphs_cjk", f"dataset.fonts={path}") for path in ("/a/fonts", "/b/fonts")
    )
    assert here == there
    own = ("dataset.source._target_=mypackage.Faces", "+dataset.source.path=/a")
    assert identity(*own) != identity(*own[:1], "+dataset.source.path=/b")


@pytest.mark.parametrize(
    ("target", "file"),
    [
        ("own_losses.sharp", "own_losses.py"),
        ("own_losses.Box.sharp", "own_losses.py"),
        ("own_package.sharp", "own_package/inner/deep.py"),
        ("own_package.inner.deep.sharp", "own_package/helper.py"),
    ],
)
def test_edited_code_of_ones_own_is_another_run_and_none_of_it_is_imported(
    tmp_path, monkeypatch, target, file
):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent != tmp_path:
        (tmp_path / "own_package/__init__.py").write_text("raise SystemExit")
    path.write_text("raise SystemExit  # one")
    config, _ = resolved()
    config["loss"]["_target_"] = target
    before, code = run_id(config, DATA), foreign_code(config)
    assert code.keys() == {target}
    path.write_text("raise SystemExit  # two")
    assert run_id(config, DATA) != before
    assert foreign_code(config) != code
    assert foreign_code(resolved()[0]) == {}


def test_a_changed_recipe_is_another_run(monkeypatch):
    before = identity()
    monkeypatch.setattr("lossbench.identity.RECIPE", 10**6)
    assert identity() != before


def test_the_folder_reads_as_a_sentence():
    config, _ = resolved("loss=amsoftmax", "m=0.2", "run_root=runs", "group=margins", "seed=3")
    folder = run_folder(config, "0123456789abcdef")
    assert str(folder) == "runs/margins/glyphs-amsoftmax-ce-m0.2-s30-lr0.2-seed3-01234567"


def test_the_folder_and_the_knobs_name_the_cautions():
    config, _ = resolved("dataset.label_noise=0.2", "dataset.leak=0", "run_root=runs", "group=noise")
    folder = run_folder(config, "0123456789abcdef")
    assert str(folder) == "runs/noise/glyphs-linear-ce-lr0.2-label_noise0.2-leak0-seed0-01234567"
    assert run_names(config)["knobs"] == {"label_noise": 0.2, "leak": 0}


def test_names_come_from_the_resolved_parts():
    names = run_names(resolved("loss=amsoftmax", "m=0.2")[0])
    assert names == {
        "dataset": "glyphs",
        "backbone": "convnet",
        "head": "amsoftmax",
        "loss": "ce",
        "knobs": {"m": 0.2, "s": 30.0},
    }


def test_editing_a_part_from_elsewhere_makes_another_run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "written_by_hand.py"
    source.write_text("def loss(scores, target): return scores.sum(1)\n")
    config = {"loss": {"_target_": "written_by_hand.loss"}, "seed": 0}
    first = run_id(config, "data")
    assert run_id(config, "data") == first
    source.write_text("def loss(scores, target): return -scores.sum(1)\n")
    assert run_id(config, "data") != first


def test_editing_a_part_in_a_list_of_parts_makes_another_run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    step = {"_target_": "myaugment.turn", "_partial_": True}
    parts = {"dataset": {"augment": {"_target_": "lossbench.augment.compose", "steps": [step]}}, "seed": 0}
    (tmp_path / "myaugment.py").write_text("turn = 1")
    before = run_id(parts, DATA)
    (tmp_path / "myaugment.py").write_text("turn = 2")
    assert run_id(parts, DATA) != before


def test_the_teacher_counts_by_what_it_is_and_not_by_where_it_lies():
    def identity(folder, teacher):
        return run_id({"seed": 0, "teacher": {"folder": folder, "id": teacher}}, "data")

    assert identity("runs/a", "123") == identity("elsewhere/a", "123")
    assert identity("runs/a", "123") != identity("runs/a", "456")
    assert run_id({"seed": 0, "teacher": None}, "data") == run_id({"seed": 0}, "data")
