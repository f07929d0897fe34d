"""python -m lossbench.evaluate: the record of embeddings made anywhere."""

from __future__ import annotations

import csv
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from lossbench.evaluate import files as module
from lossbench.evaluate.__main__ import _verdict, main
from lossbench.protocols import draw_trials, identification, verification
from lossbench.readers import write_blufr
from lossbench.records import read_curves, read_record


def draw(n=60, identities=12, noise=0.8):
    rng = np.random.default_rng(0)
    labels = rng.integers(identities, size=n)
    centres = rng.normal(size=(identities, 8))
    return (centres[labels] + noise * rng.normal(size=(n, 8))).astype(np.float32), labels


@pytest.fixture
def files(tmp_path):
    rows, labels = draw()
    np.save(tmp_path / "faces.npy", rows)
    (tmp_path / "people.txt").write_text("".join(f"person {label}\n" for label in labels))
    return tmp_path


def call(folder, *options, embeddings="faces.npy", labels="people.txt", out="out"):
    paths = [str(folder / name) for name in (embeddings, labels) if name]
    return main([*paths, "--out", str(folder / out), *options])


def command(files):
    """The command in a process of its own, without options."""
    words = [sys.executable, "-m", "lossbench.evaluate"]
    return [*words, str(files / "faces.npy"), str(files / "people.txt")]


def test_the_numbers_are_those_of_the_protocols(files, capsys):
    assert call(files, "--bootstrap", "0", "--no-figures") == 0
    record = read_record(files / "out")
    rows, labels = map(torch.from_numpy, draw())
    expected = {
        **{f"test/{name}": value for name, value in verification(rows, labels).metrics.items()},
        **{f"test/{name}": value for name, value in identification(rows, labels).metrics.items()},
    }
    # Other names sort otherwise, and draw other galleries: what is drawn agrees only nearly.
    exact = {name for name in expected if "cmc" not in name}
    assert {name: record.metrics[name] for name in exact} == {name: expected[name] for name in exact}
    assert record.metrics["test/cmc_1"] == pytest.approx(expected["test/cmc_1"], abs=0.1)
    assert record.details["head"] == "faces"
    assert record.details["dataset"] == "people"
    assert record.intervals == {}
    assert {"roc_far", "cmc_rank"} <= set(read_curves(files / "out"))
    assert not (files / "out" / "figures").exists()
    assert "faces on people" in capsys.readouterr().out


def test_the_bootstrap_brackets_the_numbers_and_follows_from_its_seed(files):
    assert call(files, "--bootstrap", "200") == 0
    first = read_record(files / "out")
    interval = first.intervals["test/tar_far_1e_2"]
    assert interval["low"] <= first.metrics["test/tar_far_1e_2"] <= interval["high"]
    assert interval["replicates"] == 200
    assert (files / "out" / "figures" / "roc.png").exists()
    assert call(files, "--bootstrap", "200", out="again") == 0
    assert call(files, "--bootstrap", "200", "--seed", "1", out="other") == 0
    assert read_record(files / "again").intervals == first.intervals
    assert read_record(files / "other").intervals != first.intervals


def test_asking_twice_evaluates_once_and_nothing_else_is_overwritten(files, capsys):
    assert call(files, "--bootstrap", "0", "--no-figures") == 0
    written = (files / "out" / "result.json").stat().st_mtime_ns
    assert call(files, "--bootstrap", "0", "--no-figures") == 0
    assert "finished before" in capsys.readouterr().out
    assert (files / "out" / "result.json").stat().st_mtime_ns == written
    assert call(files, "--bootstrap", "0", "--protocol", "verification") == 1
    assert "holds the result of something else" in capsys.readouterr().err
    assert call(files, "--bootstrap", "0", "--protocol", "verification", "--force", "--no-figures") == 0
    assert not any("cmc" in name for name in read_record(files / "out").metrics)


def test_distractors_stand_in_galleries_and_in_no_pair(files):
    rows, labels = draw()
    np.save(files / "faces.npy", np.concatenate([rows, draw(noise=5.0)[0][:20]]))
    np.save(files / "people.npy", np.concatenate([labels, np.full(20, -1)]))
    assert call(files, "--bootstrap", "0", "--no-figures", labels="people.npy") == 0
    record = read_record(files / "out")
    assert record.details["test/identification"]["distractors"] == 20
    assert record.details["test/verification"]["genuine_pairs"] == sum(
        int(count) * (int(count) - 1) // 2 for count in np.bincount(labels)
    )


def test_zero_rows_and_lonely_identities_are_counted_aloud(files, capsys):
    rows, labels = draw()
    rows[3] = 0
    labels[7] = 99
    np.save(files / "faces.npy", rows)
    np.save(files / "people.npy", labels)
    assert call(files, "--bootstrap", "0", "--no-figures", labels="people.npy") == 0
    told = capsys.readouterr().out
    assert "warning  rows that are zero: 1" in told
    assert "warning  identities with one row: 1" in told
    assert "warning  TAR@FAR=1e-3: rests on 1.6 false accepts" in told
    assert len(read_record(files / "out").details["cautions"]) == 3


def test_what_cannot_be_evaluated_is_one_line_and_leaves_nothing(files, capsys):
    (files / "short.txt").write_text("a\nb\n")
    assert call(files, labels="short.txt") == 1
    err = capsys.readouterr().err
    assert err.startswith("lossbench.evaluate: error: ")
    assert "labels of shape (2,) for 60 rows" in err
    assert len(err.splitlines()) == 1
    assert not (files / "out").exists()


def test_one_identity_alone_has_no_numbers_but_reasons(files, capsys):
    (files / "one.txt").write_text("same\n" * 60)
    assert call(files, "--no-figures", labels="one.txt") == 0
    record = read_record(files / "out")
    assert record.metrics["test/auc"] is None
    assert "one identity" in record.details["undefined"]["test/auc"]


def test_the_files_are_left_alone_and_no_warning_is_printed(files):
    before = (files / "faces.npy").read_bytes()
    done = subprocess.run(
        [*command(files), "--out", str(files / "out"), "--no-figures"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert (files / "faces.npy").read_bytes() == before


def test_two_systems_are_compared_on_the_same_identities(files, capsys):
    np.save(files / "noisy.npy", draw(noise=1.5)[0])
    assert call(files, "--bootstrap", "300", "--no-figures") == 0
    assert call(files, "--bootstrap", "300", "--no-figures", embeddings="noisy.npy", out="noisy") == 0
    capsys.readouterr()
    assert (
        call(files, "--bootstrap", "300", "--no-figures", "--against", str(files / "noisy.npy"), out="both")
        == 0
    )
    one, two, both = (read_record(files / name) for name in ("out", "noisy", "both"))
    name = "test/tar_far_1e_1"
    found = both.details["against"]["differences"][name]
    assert found["difference"] == one.metrics[name] - two.metrics[name] > 0
    # Paired: narrower than if each had its own identities.
    widths = [run.intervals[name]["high"] - run.intervals[name]["low"] for run in (one, two)]
    assert found["high"] - found["low"] < sum(widths)
    assert "TAR@FAR=1e-1" in capsys.readouterr().out.partition("against")[2]


def test_a_system_compared_with_itself_has_no_difference(files, capsys):
    options = ("--bootstrap", "200", "--no-figures", "--against", str(files / "faces.npy"))
    assert call(files, *options) == 0
    assert read_record(files / "out").details["against"]["differences"] == {}
    assert "faces.npy: no metric differs in any replicate, nothing to compare" in capsys.readouterr().out


def test_rows_and_their_system_have_the_names_they_are_given(files):
    call(files, "--no-figures", "--bootstrap", "0", "--name", "mine", "--dataset", "passports")
    details = read_record(files / "out").details
    assert (details["head"], details["dataset"]) == ("mine", "passports")


def test_labels_in_the_first_file_are_those_of_both(files, capsys):
    rows, labels = draw()
    np.savez(files / "one.npz", embeddings=rows, labels=labels)
    options = ("--bootstrap", "200", "--no-figures")
    given = {"embeddings": "one.npz", "labels": None}
    assert call(files, *options, "--against", str(files / "faces.npy"), **given) == 0
    np.save(files / "less.npy", rows[:-1])
    assert call(files, *options, "--against", str(files / "less.npy"), **given, out="less") == 1
    assert f"--against {files / 'less.npy'}: {len(rows) - 1} rows, not {len(rows)}" in capsys.readouterr().err


def test_distractors_of_another_model_are_refused(files, capsys):
    np.save(files / "narrow.npy", np.ones((5, 3), np.float32))
    assert call(files, "--distractors", str(files / "narrow.npy"), "--no-figures") == 1
    assert "narrow.npy: has 3 columns" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["out", "out/runs"])
def test_a_training_run_is_never_written_over(files, capsys, place):
    (files / place).mkdir(parents=True)
    (files / place / "config.yaml").write_text("")
    if place == "out/runs":
        (files / place / "result.json").write_text("{}")
    assert call(files, "--no-figures", "--force") == 1
    assert "holds a training run, or folders of results; choose another" in capsys.readouterr().err


def test_other_rows_or_no_replicates_cannot_be_compared(files, capsys):
    np.savez(files / "other.npz", embeddings=draw()[0], labels=draw()[1][::-1].copy())
    np.savez(files / "one.npz", embeddings=draw()[0], labels=draw()[1])
    assert call(files, "--against", str(files / "other.npz"), embeddings="one.npz", labels=None) == 1
    assert "has other labels" in capsys.readouterr().err
    assert call(files, "--against", str(files / "faces.npy"), "--bootstrap", "0") == 1
    assert "needs --bootstrap" in capsys.readouterr().err


def stop(*given, **options):
    raise KeyboardInterrupt


def test_stopped_in_the_middle_nothing_is_written_and_one_line_told(files, capsys, monkeypatch):
    monkeypatch.setattr("lossbench.evaluate.files.labelled", stop)
    assert call(files) == 130
    assert capsys.readouterr().err == "lossbench.evaluate: stopped, nothing was written\n"
    assert not (files / "out").exists()


def test_stopped_while_writing_over_a_result_the_old_one_stays_whole(files, monkeypatch):
    assert call(files, "--bootstrap", "0") == 0
    before = {path: path.read_bytes() for path in (files / "out").rglob("*") if path.is_file()}
    monkeypatch.setattr("lossbench.evaluate.files.write_record", stop)
    assert call(files, "--bootstrap", "200", "--force") == 130
    assert {path: path.read_bytes() for path in (files / "out").rglob("*") if path.is_file()} == before


def test_what_is_written_over_leaves_no_file_of_the_old_result_and_all_of_others(files):
    assert call(files, "--bootstrap", "0") == 0
    (files / "out" / "notes.txt").write_text("mine")
    assert (files / "out" / "hardest.csv").exists()
    assert call(files, "--bootstrap", "0", "--force", "--protocol", "identification", "--no-figures") == 0
    left = {path.name for path in (files / "out").iterdir()}
    assert left == {"result.json", "curves.npz", "notes.txt"}


def test_equal_rows_are_told_of_and_change_no_number(files, capsys):
    rows, labels = draw()
    rows[1], labels[1] = rows[0], labels[0]
    rows[2], labels[2] = rows[0], (labels[0] + 1) % 12
    np.save(files / "faces.npy", rows)
    np.save(files / "people.npy", labels)
    np.save(files / "strangers.npy", np.concatenate([rows[5:7], rows[:1] * 0, -rows[7:8]]))
    options = ("--distractors", str(files / "strangers.npy"), "--bootstrap", "0", "--no-figures")
    assert call(files, *options, labels="people.npy") == 0
    told = capsys.readouterr().out
    assert "rows that equal an earlier row of their label: 1" in told
    assert "rows that equal a row of another label: 3" in told
    assert "distractors that equal a row: 2" in told
    assert "distractors that are zero: 1" in told
    expected = verification(torch.from_numpy(rows), torch.from_numpy(labels)).metrics["auc"]
    assert read_record(files / "out").metrics["test/auc"] == expected


def test_rows_in_the_role_of_another_file_are_another_result(files, capsys):
    other = str(files / "faces.npy")
    assert call(files, "--against", other, "--bootstrap", "200", "--no-figures") == 0
    assert call(files, "--distractors", other, "--bootstrap", "200", "--no-figures") == 1
    assert "holds the result of something else" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({"low": 0.01, "high": 0.02}, "without 0"),
        ({"low": -0.01, "high": 0.02}, "not resolved"),
        ({"low": 0.01, "high": 0.02, "p": 0.01, "p_holm": 0.12}, "not resolved (Holm's p 0.12)"),
        ({"low": 0.01, "high": 0.02, "p": 0.01, "p_holm": 0.04}, "resolved (Holm's p 0.04)"),
    ],
)
def test_the_verdict_is_that_of_all_metrics_together(found, verdict):
    assert _verdict(found) == verdict


@pytest.mark.parametrize("option", [("--seed", "-1"), ("--bootstrap", "x"), ("--seed", "99999999999")])
def test_numbers_that_are_none_are_refused_with_the_option_named(files, capsys, option):
    with pytest.raises(SystemExit):
        call(files, *option)
    err = capsys.readouterr().err
    assert f"argument {option[0]}: {option[1]}: must be a whole number" in err
    assert len(err.splitlines()) == 2


# protocols with lists of their own


def people(folder, n=40, identities=8):
    """Embeddings of images named as LFW's, in a list, and pairs of them in two folds."""
    rows, labels = draw(n, identities, noise=0.5)
    order = np.argsort(labels, kind="stable")
    rows, labels = rows[order], labels[order]
    number = np.arange(n) - np.searchsorted(labels, labels) + 1
    np.save(folder / "faces.npy", rows)
    names = [f"p{label}/p{label}_{i:04d}" for label, i in zip(labels, number, strict=True)]
    (folder / "images.txt").write_text("\n".join(name.split("/")[1] for name in names) + "\n")
    (folder / "people.txt").write_text("\n".join(f"p{label}" for label in labels) + "\n")
    same = [f"p{label}\t1\t2" for label in range(4)]
    other = [f"p{label}\t1\tp{label + 1}\t1" for label in range(4)]
    (folder / "pairs.txt").write_text(
        "\n".join(["2\t2", *same[:2], *other[:2], *same[2:], *other[2:]]) + "\n"
    )
    return rows, labels


def test_view_2_reads_pairs_of_images_and_records_the_digest_of_the_list(files):
    people(files)
    options = ("--protocol", "lfw", "--pairs", str(files / "pairs.txt"), "--no-figures")
    assert call(files, *options, labels="images.txt") == 0
    record = read_record(files / "out")
    assert record.details["test/lfw"]["folds"] == 2
    assert 0.5 <= record.metrics["test/pair_accuracy"] <= 1
    assert len(record.config["protocol"]["lists"]["pairs"][0]["sha256"]) == 64


def test_blufr_draws_trials_where_no_list_is_given(files):
    people(files)
    assert call(files, "--protocol", "blufr", "--no-figures") == 0
    record = read_record(files / "out")
    assert record.details["test/blufr"]["trials"] == 10
    assert any(name.startswith("test/tar_far_1e_3") for name in record.metrics)


def test_megaface_puts_distractors_into_every_gallery(files):
    people(files)
    np.save(files / "strangers.npy", np.random.default_rng(1).normal(size=(50, 8)).astype(np.float16))
    options = ("--protocol", "megaface", "--distractors", str(files / "strangers.npy"), "--no-figures")
    assert call(files, *options) == 0
    record = read_record(files / "out")
    assert record.details["test/megaface"]["distractors"] == 50
    assert record.details["test/megaface"]["cleaned"] is False
    assert 0 < record.metrics["test/cmc_1"] <= 1


@pytest.mark.parametrize(
    ("protocol", "line"), [("lfw", "needs --pairs"), ("megaface", "needs --distractors")]
)
def test_a_protocol_without_its_list_is_one_line(files, capsys, protocol, line):
    assert call(files, "--protocol", protocol) == 1
    err = capsys.readouterr().err
    assert line in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--pairs", "people.txt"), "--pairs: only --protocol lfw or ijb_verification reads it"),
        (("--protocol", "blufr", "--distractors", "faces.npy"), "only --protocol megaface or identification"),
        (
            ("--protocol", "blufr", "--against", "faces.npy"),
            "--against: only --protocol verification or identification",
        ),
        (
            ("--against", "faces.npy", "--distractors", "faces.npy"),
            "--against: the other system has no rows of --distractors",
        ),
        (("--bootstrap", "5"), "--bootstrap 5: give 200 or more, or 0"),
        (("--protocol", "lfw", "--pairs", "none.txt"), "none.txt"),
    ],
)
def test_options_that_would_not_be_read_and_files_that_are_not_there_are_refused(
    files, capsys, options, line
):
    paths = {"people.txt", "faces.npy", "none.txt"}
    assert call(files, *(str(files / word) if word in paths else word for word in options)) == 1
    err = capsys.readouterr().err
    assert line in err
    assert len(err.splitlines()) == 1
    assert not (files / "out" / "result.json").exists()


def test_a_file_in_the_place_of_the_folder_is_refused_before_anything_is_computed(files, capsys):
    (files / "out").write_text("mine")
    assert call(files) == 1
    assert "is a file; give a folder" in capsys.readouterr().err
    assert (files / "out").read_text() == "mine"


def test_distractors_in_a_file_of_their_own_stand_in_the_gallery(files):
    np.save(files / "strangers.npy", np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32))
    options = ("--distractors", str(files / "strangers.npy"), "--bootstrap", "0", "--no-figures")
    assert call(files, *options) == 0
    assert read_record(files / "out").details["test/identification"]["distractors"] == 50


def test_a_metric_without_an_interval_says_why(files):
    rows, _ = draw(noise=0.01)  # nobody is ever mistaken
    np.save(files / "faces.npy", rows)
    assert call(files, "--bootstrap", "200", "--no-figures") == 0
    record = read_record(files / "out")
    assert record.metrics["test/tar_far_1e_1"] == 1
    assert "test/tar_far_1e_1" not in record.intervals
    assert "every replicate is equal" in record.details["without_interval"]["test/tar_far_1e_1"]


def test_official_trials_are_refused_for_rows_in_another_order(files, capsys):
    rows, labels = people(files)
    trial = draw_trials(torch.from_numpy(labels), trials=1, seed=0)[0]
    names = [line.split("/")[-1] for line in (files / "images.txt").read_text().split()]
    write_blufr(files / "trials.mat", names, labels, [trial])
    options = ("--protocol", "blufr", "--trials", str(files / "trials.mat"), "--no-figures")
    assert call(files, *options) == 0
    shuffled = np.random.default_rng(0).permutation(len(rows))
    np.save(files / "faces.npy", rows[shuffled])
    (files / "people.txt").write_text("".join(f"p{label}\n" for label in labels[shuffled]))
    assert call(files, *options, out="shuffled") == 1
    assert "groups the rows otherwise than LABELS" in capsys.readouterr().err


def test_the_recorded_command_is_the_one_that_ran(files):
    subprocess.run(
        [*command(files), "--out", str(files / "my out"), "--no-figures", "--bootstrap", "0"],
        capture_output=True, check=True,
    )  # fmt: skip
    told = read_record(files / "my out").environment["command"]
    assert told.startswith("python -m lossbench.evaluate ")
    assert f"'{files / 'my out'}'" in told


def test_the_hardest_pairs_are_named_by_row_and_label(files):
    assert call(files, "--bootstrap", "0", "--no-figures") == 0
    rows, labels = draw()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    scores = (unit @ unit.T).astype(np.float64)
    with (files / "out" / "hardest.csv").open() as stream:
        found = list(csv.DictReader(stream))
    for kind, same, order in (("impostor", False, -1), ("genuine", True, 1)):
        mine = [row for row in found if row["kind"] == kind]
        assert len(mine) == 100
        upper = np.triu(np.ones_like(scores, dtype=bool), 1) & ((labels[:, None] == labels) == same)
        expected = order * np.sort(order * scores[upper])[:100]
        assert np.allclose([float(row["score"]) for row in mine], expected, atol=1e-5)
        for row in mine:
            a, b = int(row["row"]), int(row["other_row"])
            assert scores[a, b] == pytest.approx(float(row["score"]), abs=1e-5)
            assert (row["label"], row["other_label"]) == (f"person {labels[a]}", f"person {labels[b]}")


def test_rates_are_also_given_by_identity(files):
    rows, labels = draw()
    labels[:40] = 0  # one person with most of the pairs
    np.save(files / "people.npy", labels)
    assert call(files, "--bootstrap", "0", "--no-figures", labels="people.npy") == 0
    record = read_record(files / "out")
    threshold = record.details["test/tar_far_1e_1"]["threshold"]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    scores = unit @ unit.T
    shares = []
    for person in np.unique(labels):
        own = scores[np.ix_(labels == person, labels == person)]
        pairs = own[np.triu_indices(len(own), 1)]
        shares += [np.mean(pairs >= threshold - 1e-6)] if len(pairs) else []
    assert record.metrics["test/macro/tar_far_1e_1"] == pytest.approx(np.mean(shares), abs=1e-3)
    assert record.metrics["test/macro/tar_far_1e_1"] != record.metrics["test/tar_far_1e_1"]


def test_files_that_no_evaluation_wrote_are_left_alone(files, capsys):
    mine = files / "out" / "figures" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert call(files) == 1
    assert "was not written by an evaluation" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_another_name_or_figures_asked_for_later_are_not_passed_over(files):
    call(files, "--no-figures")
    assert not (files / "out" / "figures").exists()
    call(files, "--name", "mine")
    assert (files / "out" / "figures").exists()
    assert read_record(files / "out").details["head"] == "mine"


def test_hours_of_work_are_announced(monkeypatch):
    rows = torch.zeros(1, 8).expand(10**7, 8)
    monkeypatch.setattr(module, "_SAMPLE", 64)
    assert re.fullmatch(r", about [\d,]+ min", module._about(rows, 10**7))
    assert re.fullmatch(r", about [\d,]+ min", module._about(rows[:64], 10**12))
    assert module._about(rows[:64], 64) == ""
    assert module._about(rows[:9], 10**12) == ""
