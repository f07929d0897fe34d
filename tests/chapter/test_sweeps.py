"""Runs of sweeps by their settings: what is read, weighed and drawn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from lossbench.chapter.claim import Missing
from lossbench.chapter.committed import settings
from lossbench.chapter.endpoints import called
from lossbench.chapter.orderings import contrast, points, with_interval
from lossbench.chapter.sweeps import both, draw, number, slope
from tests.chapter.sweeping import write_runs

NOISE = "knob/label_noise"


def score(seed, m, label_noise=None):
    return {"test/cmc_1": m + (label_noise or 0.0) + seed, "val/cmc_1": 0.5, "test/eer": None}


def test_settings_are_read_as_the_report_writes_them(tmp_path):
    write_runs(tmp_path, "label_noise", {"m": [0, 0.35], "label_noise": [None, 0.4]}, score)
    runs = settings("label_noise", "glyphs", both(number(NOISE, 0.0), number("knob/m")), tmp_path / "results")
    assert set(runs) == {(0.0, 0.0), (0.0, 0.35), (0.4, 0.0), (0.4, 0.35)}
    assert runs[0.4, 0.35] == {
        seed: {"test/cmc_1": pytest.approx(0.75 + seed), "val/cmc_1": 0.5} for seed in range(3)
    }


def test_a_column_that_no_run_has_is_not_guessed(tmp_path):
    write_runs(tmp_path, "label_noise", {"m": [0, 0.35], "label_noise": [None]}, score)
    with pytest.raises(Missing, match=f"no column {NOISE} in"):
        settings("label_noise", "glyphs", number(NOISE, 0.0), tmp_path / "results")


def test_a_blank_that_stands_for_nothing_leaves_the_run_out(tmp_path):
    write_runs(tmp_path, "leaks", {"m": [0.35], "leak": [None, 0.5]}, lambda seed, m, leak: {"test/cmc_1": m})
    wanted = both(number("knob/leak"), number("knob/m"))
    assert set(settings("leaks", "glyphs", wanted, tmp_path / "results")) == {(0.5, 0.35)}


def test_other_data_sets_are_not_mixed_in(tmp_path):
    path = write_runs(tmp_path, "margin", {"m": [0, 0.35]}, score, dataset="lfw")
    with pytest.raises(Missing, match="has no runs on glyphs"):
        settings("margin", "glyphs", number("knob/m"), path.parent.parent)


def test_two_runs_of_one_setting_and_seed_are_refused(tmp_path):
    path = write_runs(tmp_path, "label_noise", {"m": [0.35], "label_noise": [None, 0.4]}, score)
    with pytest.raises(ValueError, match=r"two runs of 0\.35 with seed=0"):
        settings("label_noise", "glyphs", number("knob/m"), path.parent.parent)


def test_a_contrast_is_of_the_seeds_that_every_setting_has():
    runs = {"a": {0: {"x": 1.0}, 1: {"x": 2.0}}, "b": {1: {"x": 0.5}, 2: {"x": 9.0}}, "c": {1: {"y": 1.0}}}
    assert contrast(runs, {"a": 2, "b": -1}, "x") == [3.5]
    assert contrast(runs, {"a": 1, "c": 1}, "x") == []
    assert points(runs, {"a": 2, "b": -1}, "x") == [350.0]
    assert points(runs, {"a": 1, "d": -1}, "x") == []


def test_the_slope_is_that_of_the_fitted_parabola():
    margins = (0.2, 0.25, 0.4, 0.6, 0.7)
    values = np.random.default_rng(0).normal(size=5)
    first, second, _ = np.polyfit(margins, values, 2)
    weights = slope(margins, 0.3)
    assert sum(weights[m] * value for m, value in zip(margins, values, strict=True)) == pytest.approx(
        2 * first * 0.3 + second
    )


def test_means_have_an_interval_from_three_seeds_on():
    assert with_interval([]) == "-"
    assert with_interval([1.0, 2.0]) == "1.50"
    assert with_interval([1.0, 2.0, 3.0], "+") == "+2.00 (-0.48 to +4.48)"


def test_metrics_are_called_as_in_the_table():
    assert called("test/ladder/cmc_1") == "rank-1, all distractors"
    assert called("test/tar_far_1e_3") == "TAR@FAR=1e-3"


@pytest.mark.parametrize(
    ("values", "bands"), [({0.0: [1.0, 2.0], 1.0: [], 2.0: [1.0, 2.0, 4.0]}, 1), ({}, 0)]
)
def test_a_curve_has_a_band_only_where_there_are_three_seeds(values, bands):
    axes = Figure().subplots()
    draw(axes, values, "black", "a")
    assert len(axes.collections) == bands
    assert [list(line.get_xdata()) for line in axes.lines] == ([[0, 2], [0, 0, 2, 2, 2]] if values else [])
