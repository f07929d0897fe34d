"""The full-size recipe of Table 3.1: as published, and from a .rec to the numbers on a .bin."""

from __future__ import annotations

import re

import pytest

from lossbench.build import make
from lossbench.chapter.printed import printed
from lossbench.config import conf_dir
from lossbench.embed import main as embed
from lossbench.evaluate.__main__ import main as evaluate
from lossbench.readers import write_pairs_bin, write_records
from lossbench.records import read_record
from lossbench.run import run
from tests.readers.samples import encoded, pixels
from tests.test_config import resolved

ROWS = {row["row"]: row for row in printed("table_3_1")}
TINY = ("trainer.steps=2", "trainer.batch_size=4", "dataset.division.test_identities=22")
TINY += ("logger=none", "figures=false", "progress=false", "device=cpu")


def recipe(row):
    return resolved(f"experiment=full_{row}", "dataset.path=mine")[0]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A training set of 30 people, three images each, in the shape of InsightFace's."""
    folder = tmp_path_factory.mktemp("faces")
    images = (encoded(pixels(seed, 112), "JPEG") for seed in range(90))
    labels = [label for label in range(30) for _ in range(3)]
    write_records(folder / "train.rec", images, labels, height=112, width=112)
    return folder


@pytest.fixture(scope="module")
def finished(faces, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        words = ("experiment=full_amsoftmax_035", f"dataset.path={faces}", f"run_root={root}", *TINY)
        return run(*resolved(*words))


def test_every_printed_row_has_an_experiment_that_quotes_its_figures():
    files = sorted((conf_dir() / "experiment").glob("full_*.yaml"))
    assert {path.stem for path in files} == {f"full_{row}" for row in ROWS}
    for name, row in ROWS.items():
        (line,) = re.findall("# Printed: (.*)", (conf_dir() / "experiment" / f"full_{name}.yaml").read_text())
        figures = re.findall(r"[A-Z@0-9-]*[a-z@0-9-]* (\d\d\.\d\d)", line)
        columns = ("lfw", "tar_far_1e_4", "tar_far_1e_3", "dir_far_1e_2", "tar_far_1e_6")
        assert figures == [row[column] for column in columns]
        assert recipe(name)["row"] == name


@pytest.mark.parametrize("row", [row for row in ROWS if row.startswith("amsoftmax")])
def test_the_rows_of_am_softmax_have_the_printed_margin_and_a_scale_with_feature_norm_alone(row):
    config = recipe(row)
    margin = config["head"]["margin"]["m"]
    assert (margin["end"] if isinstance(margin, dict) else margin) == float(ROWS[row]["m"])
    assert config["head"]["s"] == (30 if ROWS[row]["fn"] == "yes" else None)


@pytest.mark.parametrize("row", ROWS)
def test_rows_share_net_batches_and_solver(row):
    config, common = recipe(row), recipe("amsoftmax_035")
    for part in ("dataset", "optimizer", "schedule", "trainer", "protocol", "seed"):
        assert config[part] == common[part]
    dropout = 0.75 if row == "softmax_dropout" else 0.0
    assert config["backbone"] == common["backbone"] | {"dropout": dropout}


def test_the_solver_is_the_published_one():
    config = recipe("amsoftmax_035")
    options = {key: config["optimizer"][key] for key in ("lr", "momentum", "nesterov", "weight_decay")}
    assert options == {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4}
    assert (config["trainer"]["steps"], config["trainer"]["batch_size"]) == (30_000, 256)
    schedule = make(config["schedule"])
    factors = [schedule(step, 30_000) for step in (0, 15_999, 16_000, 23_999, 24_000, 27_999, 28_000, 29_999)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rel=1e-12)


@pytest.mark.parametrize(("row", "m"), [("amsoftmax_no_fn_035", 0.35), ("amsoftmax_no_fn_040", 0.4)])
def test_without_feature_norm_the_margin_rises_by_the_published_step(row, m):
    margin = make(recipe(row)["head"]["margin"]["m"])
    for step in (0, 1, 3_000, 6_999, 8_000, 29_999):
        assert margin(step, 30_000) == pytest.approx(min(m, 5e-5 * step), rel=1e-6)


def test_lambda_of_a_softmax_falls_step_by_step_as_published():
    lam = make(recipe("asoftmax")["head"]["margin"]["lam"])
    for step in (0, 1, 100, 1_658, 1_659, 29_999):
        assert lam(step, 30_000) == pytest.approx(max(5, 1000 / (1 + 0.12 * step)), rel=1e-12)
    assert lam(1_658, 30_000) > 5 == lam(1_659, 30_000)


def test_a_rec_is_trained_and_tested_on_in_the_published_shape(finished):
    record = finished.record
    assert record.split["shape"] == [3, 112, 96]
    assert record.split["facts"]["pixels"] == {"box": [8, 0, 104, 112], "fit": "cover"}
    assert record.details["steps"] == 2
    assert {"train", "val_open", "test_open"} == set(record.split["roles"])
    assert 0 <= record.metrics["test/view2/pair_accuracy"] <= 1


def test_the_commands_that_the_recipe_names_take_its_run(finished, tmp_path, capsys):
    images = [encoded(pixels(seed, 112), "JPEG") for seed in range(40)]
    write_pairs_bin(tmp_path / "lfw.bin", images, [True, False] * 10)
    out = str(tmp_path / "lfw")
    assert embed([str(finished.folder), str(tmp_path / "lfw.bin"), "--out", out]) == 0
    options = ("--protocol", "lfw", "--pairs", str(tmp_path / "lfw.bin"), "--no-figures", "--out", out)
    assert evaluate([f"{out}/embeddings.npy", *options]) == 0
    assert "512 numbers each" in capsys.readouterr().out
    assert 0 <= read_record(tmp_path / "lfw").metrics["test/pair_accuracy"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_every_row_trains(row, faces, tmp_path):
    words = (f"experiment=full_{row}", f"dataset.path={faces}", f"run_root={tmp_path}", *TINY)
    assert run(*resolved(*words)).record.details["steps"] == 2
