"""Charts of the page: grids, values and outlines against the curves they come from."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from lossbench.records import Record
from lossbench.report.chart import Chart, Line
from lossbench.report.charts import curve_charts, training_charts
from lossbench.report.groups import Group, group_records
from lossbench.report.ticks import decade_ticks, round_ticks, tick_text

MakeRecord = Callable[..., Record]
MakeCurves = Callable[..., dict[str, np.ndarray]]


@pytest.fixture
def group(record: MakeRecord) -> Group:
    (group,) = group_records([record(seed=seed) for seed in range(3)])
    return group


def test_the_roc_has_every_power_of_ten_and_begins_where_it_is_resolved(
    group: Group, curves: MakeCurves
) -> None:
    roc, _ = curve_charts([group], [[curves(seed) for seed in range(3)]])
    for far in (1e-3, 1e-2, 1e-1, 1.0):
        assert far in roc.grid
    assert roc.grid[0] >= 1 / 2000 > roc.grid[0] / 10 ** (1 / 30)
    assert roc.grid[roc.at] == 1e-3


def test_a_value_of_the_roc_is_the_largest_tar_at_that_far(group: Group, curves: MakeCurves) -> None:
    roc, _ = curve_charts([group], [[curves(seed) for seed in range(3)]])
    (line,) = roc.lines
    for seed in range(3):
        far, tar = curves(seed)["roc_far"], curves(seed)["roc_tar"]
        for x, y in zip(roc.grid, line.seeds[str(seed)], strict=True):
            assert y == tar[far <= x].max()


def test_a_thinned_roc_passes_through_the_metrics(record: MakeRecord) -> None:
    run = record(metrics={"test/tar_far_1e_3": 0.7})
    run.details["test/tar_far_1e_3"] = {"achieved_far": 0.00099}
    thin = {"roc_far": np.array([1e-4, 1.0]), "roc_tar": np.array([0.5, 1.0])}
    (roc,) = curve_charts(group_records([run]), [[thin]])
    (line,) = roc.lines
    assert line.seeds["0"][list(roc.grid).index(1e-3)] == 0.7
    assert line.seeds["0"][0] == 0.5


def test_a_metric_of_other_pairs_does_not_bend_the_curve(record: MakeRecord) -> None:
    curve = {"roc_far": np.array([1e-4, 1e-2, 1.0]), "roc_tar": np.array([0.5, 0.6, 1.0])}
    run = record(metrics={"test/tar_far_1e_3": 0.9, "test/tar_far_1e_2": 0.7, "test/tar_far_1e_1": None})
    run.details["test/tar_far_1e_3"] = {"achieved_far": 0.00099}
    run.details["test/tar_far_1e_2"] = {"threshold": 0.5}
    (roc,) = curve_charts(group_records([run]), [[curve]])
    assert set(roc.lines[0].mean.tolist()) == {0.5, 0.6, 1.0}


def test_each_dataset_has_its_own_charts_and_lines_keep_their_place_in_the_table(
    record: MakeRecord, curves: MakeCurves
) -> None:
    other = record("linear", details=record("linear").details | {"dataset": "lfw"})
    groups = group_records([record(), other])
    charts = curve_charts(groups, [[curves()], [curves()]])
    assert [chart.title for chart in charts] == [
        "Verification ROC: glyphs", "Identification CMC: glyphs",
        "Verification ROC: lfw", "Identification CMC: lfw",
    ]  # fmt: skip
    assert [[line.group for line in chart.lines] for chart in charts] == [[0], [0], [1], [1]]


def test_runs_without_curves_are_left_out(record: MakeRecord, curves: MakeCurves) -> None:
    groups = group_records([record(), record("linear")])
    assert curve_charts(groups, [[{}], [{}]]) == []
    roc, _ = curve_charts(groups, [[{}], [curves()]])
    assert [line.label for line in roc.lines] == ["linear"]


def test_a_cmc_of_one_rank_can_be_drawn(record: MakeRecord) -> None:
    one = {"cmc_rank": np.array([1]), "cmc_rate": np.array([0.5])}
    (cmc,) = curve_charts(group_records([record()]), [[one]])
    assert cmc.lines[0].mean.tolist() == [0.5, 0.5]
    assert "50.00 %" in cmc.figure()


def test_histories_of_other_steps_share_a_chart(record: MakeRecord) -> None:
    groups = group_records([record(), record("linear")])
    coarse = [{"step": 0.0, "train/loss": 4.0}, {"step": 100.0, "train/loss": 2.0}]
    fine = [{"step": float(step), "train/loss": 1.0} for step in range(0, 51, 10)]
    (chart,) = training_charts(groups, [[coarse], [fine]])
    assert chart.grid.tolist() == [0, 10, 20, 30, 40, 50, 100]
    assert chart.lines[0].mean.tolist() == [4.0, 3.8, 3.6, 3.4, 3.2, 3.0, 2.0]
    np.testing.assert_array_equal(chart.lines[1].mean, [1] * 6 + [np.nan])


def test_values_that_are_no_numbers_and_histories_without_steps_are_left_out(record: MakeRecord) -> None:
    groups = group_records([record()])
    history = [{"step": 0.0, "train/loss": np.nan}, {"step": 1.0, "train/loss": np.inf}, {"val/eer": 0.1}]
    assert training_charts(groups, [[history]]) == []
    assert training_charts(groups, [[[]]]) == []


def test_long_histories_are_thinned_with_both_ends_kept(record: MakeRecord) -> None:
    history = [{"step": float(step), "train/loss": 1.0} for step in range(10_000)]
    (chart,) = training_charts(group_records([record()]), [[history]])
    assert len(chart.grid) == 60
    assert (chart.grid[0], chart.grid[-1]) == (0, 9999)


def test_a_loss_that_reaches_zero_is_not_drawn_on_a_log_axis(record: MakeRecord) -> None:
    groups = group_records([record()])
    for last, log in ((0.0, False), (0.1, True)):
        history = [{"step": 0.0, "train/loss": 100.0}, {"step": 1.0, "train/loss": last}]
        (chart,) = training_charts(groups, [[history]])
        assert chart.log_y is log
        assert chart.figure()


def points(d: str, steps: bool) -> list[tuple[float, float]]:
    """Corners of an outline, from its commands."""
    corners, x, y = [], 0.0, 0.0
    for command, text in re.findall(r"([MLHVZ])([^MLHVZ]*)", d):
        numbers = [float(number) for number in text.split()]
        if command in "ML":
            x, y = numbers
        elif command == "H":
            (x,) = numbers
        elif command == "V":
            (y,) = numbers
        corners.append((x, y))
    return corners


@pytest.mark.parametrize("steps", [True, False])
def test_outlines_are_steps_or_straight_lines_between_the_scaled_points(steps: bool) -> None:
    seeds = {"0": np.array([np.nan, 0.2, 0.4, 0.8]), "1": np.array([0.1, 0.4, 0.6, 1.0])}
    chart = Chart("a", "A", "x", np.arange(4.0), [Line(0, "l", seeds)], 3, steps=steps)
    band, line, *_ = re.findall(r' d="([^"]+)"', chart.figure())
    # The frame is 46..462 by 260..10; y runs from 0.1 - 0.036 to 1.0 + 0.036.
    x = [46 + 416 * i / 3 for i in (1, 2, 3)]
    at = {value: 260 - 250 * (value - 0.064) / 0.972 for value in (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0)}
    mean = list(zip(x, [at[0.3], at[0.5], at[0.9]], strict=True))
    corners = [mean[0], (x[1], mean[0][1]), mean[1], (x[2], mean[1][1]), mean[2]] if steps else mean
    assert np.allclose(points(line, steps), corners, atol=0.051)
    high = list(zip(x, [at[0.4], at[0.6], at[1.0]], strict=True))
    low = list(zip(x, [at[0.2], at[0.4], at[0.8]], strict=True))
    if steps:
        around = [high[0], (x[1], high[0][1]), high[1], (x[2], high[1][1]), high[2]]
        around += [low[2], (x[2], low[1][1]), low[1], (x[1], low[0][1]), low[0]]
    else:
        around = high + low[::-1]
    assert np.allclose(points(band, steps)[:-1], around, atol=0.051)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.37])
def test_a_constant_line_has_an_axis_of_its_own(value: float) -> None:
    line = Line(0, "l", {"0": np.full(3, value)})
    for percent in (True, False):
        text = Chart("a", "A", "x", np.arange(3.0), [line], 0, percent=percent).figure()
        assert "nan" not in text
        assert "inf" not in text


def test_a_line_without_any_value_is_drawn_as_nothing() -> None:
    line = Line(0, "l", {"0": np.full(3, np.nan), "1": np.full(3, np.nan)})
    text = Chart("a", "A", "x", np.arange(3.0), [line], 0).figure()
    assert text.count('d=""') == 2


def test_ticks_are_round_few_and_inside() -> None:
    generator = np.random.default_rng(0)
    for low, width in zip(generator.normal(0, 10, 200), 10 ** generator.uniform(-6, 6, 200), strict=True):
        ticks = round_ticks(low, low + width)
        assert len(ticks) in range(4, 12)
        assert low - width / 1e6 <= ticks[0] < ticks[-1] <= low + width * (1 + 1e-6)
        step = ticks[1] - ticks[0]
        assert f"{step:.3e}"[:5] in ("1.000", "2.000", "5.000")


def test_log_ticks_are_powers_of_ten_with_2_and_5_on_a_short_axis() -> None:
    assert decade_ticks(1e-6, 1) == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert decade_ticks(1, 100) == pytest.approx([1, 2, 5, 10, 20, 50, 100])
    assert [tick_text(value) for value in (1e-6, 0.00316, 1, 20, 12345)] == [
        "1e-6",
        "3.16e-3",
        "1",
        "20",
        "12,345",
    ]
