"""Metrics over one setting of a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossbench.records import write_record
from lossbench.report.__main__ import main
from lossbench.report.groups import group_records
from lossbench.report.over import over_figure, series_over

from .conftest import make_record

METRICS = ["test/tar_far_1e_3", "test/eer"]


def sweep(margins=(0.2, 0.35, 0.5), scales=(30.0,), seeds=3, lr=0.1):
    """AM-Softmax whose TAR is m + s / 1000, a little apart from seed to seed."""
    return [
        make_record(
            "amsoftmax",
            seed,
            knobs={"m": m, "s": s},
            lr=lr,
            metrics={"test/tar_far_1e_3": m + s / 1000 + 0.01 * seed, "test/eer": None},
        )
        for m in margins
        for s in scales
        for seed in range(seeds)
    ]


def test_runs_alike_in_all_else_are_one_line_over_the_setting() -> None:
    found = series_over(group_records(sweep(scales=(16.0, 30.0))), "m")
    assert {label: list(row) for label, row in found.items()} == {
        "amsoftmax s=16": [0.2, 0.35, 0.5],
        "amsoftmax s=30": [0.2, 0.35, 0.5],
    }
    assert list(series_over(group_records(sweep(scales=(16.0, 30.0))), "s")) == [
        "amsoftmax m=0.2", "amsoftmax m=0.35", "amsoftmax m=0.5",
    ]  # fmt: skip


def test_twins_are_told_apart_by_what_they_differ_in() -> None:
    records = [*sweep(lr=0.1), *sweep(lr=0.2)]
    found = series_over(group_records(records), "m")
    assert sorted(found) == ["amsoftmax s=30 optimizer.lr=0.1", "amsoftmax s=30 optimizer.lr=0.2"]
    assert list(series_over(group_records(records), "lr")["amsoftmax m=0.2 s=30"]) == [0.1, 0.2]


def test_another_setting_of_the_same_name_stays_a_setting() -> None:
    records = sweep()
    for record in sweep(seeds=1):
        record.config["schedule"] = {"m": 7.0}
        records.append(record)
    found = series_over(group_records(records), "m")
    assert sorted(found) == ["amsoftmax s=30", "amsoftmax s=30 schedule.m=7"]
    assert [list(row) for row in found.values()] == [[0.2, 0.35, 0.5]] * 2


def test_a_knob_that_the_configuration_calls_otherwise_is_one_line_all_the_same() -> None:
    records = sweep()
    for record in records:
        m = record.config["head"].pop("m")
        record.config["head"]["margin"] = {"m": {"_target_": "lossbench.schedules.linear_ramp", "end": m}}
    found = series_over(group_records(records), "m")
    assert {label: list(row) for label, row in found.items()} == {"amsoftmax s=30": [0.2, 0.35, 0.5]}


def test_a_setting_that_is_no_number_is_refused() -> None:
    records = [*sweep(seeds=1), make_record("linear", 0)]
    with pytest.raises(ValueError, match=r"'head\._target_': must be a number"):
        series_over(group_records(records), "head._target_")


def test_points_are_means_over_seeds_and_the_band_is_their_interval() -> None:
    groups = group_records(sweep())
    figure = over_figure(series_over(groups, "m"), "m", METRICS)
    tar, eer = figure.axes
    assert tar.lines[0].get_xdata().tolist() == [0.2, 0.35, 0.5]
    assert tar.lines[0].get_ydata() == pytest.approx([24, 39, 54])
    half = 100 * (groups[0].estimate(METRICS[0]).half_width or 0)
    band = tar.collections[0].get_datalim(tar.transData)
    assert (band.y0, band.y1) == pytest.approx((24 - half, 54 + half))
    assert len(eer.lines[0].get_xdata()) == 0


def test_one_seed_has_no_band_and_a_wide_range_is_logarithmic() -> None:
    records = [make_record("linear", 0, lr=lr, metrics={METRICS[0]: lr}) for lr in (0.01, 0.1, 1.0)]
    (axes,) = over_figure(series_over(group_records(records), "lr"), "lr", METRICS[:1]).axes
    assert axes.get_xscale() == "log"
    assert not axes.collections


def test_a_setting_in_which_nothing_differs_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'tau': must be what runs differ in: .*\bm\b"):
        series_over(group_records(sweep()), "tau")


def test_the_command_writes_the_figure_or_one_line(tmp_path: Path, capsys) -> None:
    for place, record in enumerate(sweep()):
        write_record(tmp_path / str(place), record)
    assert main([str(tmp_path), "--no-figures", "--metrics", "tar_far_1e_3", "--over", "m"]) == 0
    assert (tmp_path / "report/over_m.svg").exists()
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--over", "s"])
    assert "--over 's': must be what runs differ in" in capsys.readouterr().err


def test_there_is_a_panel_for_each_metric_and_no_other() -> None:
    series = series_over(group_records(sweep()), "m")
    for count in (1, 2, 3):
        metrics = [METRICS[0]] * count
        assert len(over_figure(series, "m", metrics).axes) == count
