"""Figures: right steps, written files, and nothing that changes from call to call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from lossbench.records import Record
from lossbench.report.figures import (
    cmc_figure,
    history_figure,
    roc_figure,
    run_figures,
    save,
    step_values,
    write_curve_figures,
)

MakeCurves = Callable[..., dict[str, np.ndarray]]
HISTORY = [
    {"step": 50.0, "epoch": 0.0, "train/loss": 3.0, "train/target_cosine": 0.2, "train/cosine_gap": 0.1},
    {"step": 100.0, "epoch": 1.0, "train/loss": 2.0, "train/lr": 0.1, "val/eer": 0.2, "val/auc": 0.9},
]


def pairs(curves: MakeCurves, seeds: range) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(curve["roc_far"], curve["roc_tar"]) for curve in map(curves, seeds)]


def test_a_curve_is_read_as_a_right_continuous_step_function() -> None:
    far, tar = np.array([0.1, 0.2, 0.5]), np.array([0.3, 0.6, 1.0])
    values = step_values(far, tar, np.array([0.05, 0.1, 0.19, 0.2, 0.3, 0.5, 1.0]))
    np.testing.assert_array_equal(values, [np.nan, 0.3, 0.3, 0.6, 0.6, 1.0, 1.0])


def test_steps_agree_with_the_definition_one_point_at_a_time() -> None:
    generator = np.random.default_rng(0)
    far, tar = generator.integers(0, 20, 50) / 20, generator.random(50)
    for target in generator.random(200):
        allowed = tar[far <= target]
        expected = allowed.max() if len(allowed) else np.nan
        np.testing.assert_array_equal(step_values(far, tar, np.array([target])), [expected])


def test_the_roc_begins_at_the_smallest_far_that_the_impostors_resolve(curves: MakeCurves) -> None:
    (axes,) = roc_figure({"a": pairs(curves, range(2))}).axes
    assert axes.get_xlim() == pytest.approx((1 / 2000, 1))
    line = axes.lines[0]
    assert line.get_drawstyle() == "steps-post"
    first = [tar[far == far.min()].max() for far, tar in pairs(curves, range(2))]
    assert line.get_ydata()[0] == pytest.approx(np.mean(first))
    assert line.get_ydata()[-1] == 1


def test_the_legend_ranks_the_lines_and_names_their_seeds(curves: MakeCurves) -> None:
    high = [(far, np.minimum(1, tar + 0.2)) for far, tar in pairs(curves, range(3))]
    (axes,) = roc_figure({"low": pairs(curves, range(3)), "high": high}).axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text().split()[-1] for text in legend.get_texts()] == ["high", "low"]
    assert "mean of 3 seeds" in legend.get_title().get_text()


def test_the_legend_prefers_the_metric_to_a_thinned_curve(curves: MakeCurves) -> None:
    known = {"b": {"test/tar_far_1e_3": 0.123}}
    lines = {"a": pairs(curves, range(1)), "b": pairs(curves, range(1))}
    legend = roc_figure(lines, known=known).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][-1] == "12.3 %  b"


def test_more_lines_than_colours_leave_the_lower_ones_faint(curves: MakeCurves) -> None:
    many = {f"m={i}": [(curves()["roc_far"], curves()["roc_tar"] * (1 - i / 20))] for i in range(10)}
    legend = roc_figure(many).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][-1] == "3 more, lower"


@pytest.mark.parametrize("ranks", [1, 2, 700])
def test_a_cmc_of_any_length_is_drawn(ranks: int, tmp_path: Path) -> None:
    rank = np.arange(1, ranks + 1)
    save(cmc_figure({"a": [(rank, 1 - 0.5 / rank)]}), tmp_path, "cmc")


def test_files_are_written_and_the_svg_is_the_same_twice(curves: MakeCurves, tmp_path: Path) -> None:
    for name in ("one", "two"):
        png, svg = save(roc_figure({"a": pairs(curves, range(3))}), tmp_path / name, "roc")
        assert png.stat().st_size > 5000
        assert svg.stat().st_size > 5000
    assert (tmp_path / "one/roc.svg").read_bytes() == (tmp_path / "two/roc.svg").read_bytes()
    assert b"dc:date" not in (tmp_path / "one/roc.svg").read_bytes()


def test_drawing_leaves_the_callers_style_alone(curves: MakeCurves, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    write_curve_figures(tmp_path, {"a": [curves()]})
    assert dict(matplotlib.rcParams) == before


def test_the_training_figure_has_a_panel_for_what_was_logged() -> None:
    figure = history_figure(HISTORY)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.axison]
    assert titles == ["loss", "target cosine and gap to the best rival", "validation", "learning rate"]
    with pytest.raises(ValueError, match="no column to draw"):
        history_figure([{"step": 1.0}])


def test_one_run_gets_the_figures_it_has_numbers_for(
    record: Callable[..., Record], curves: MakeCurves, tmp_path: Path
) -> None:
    written = run_figures(tmp_path / "all", record(), curves(), HISTORY)
    assert [path.name for path in written] == [
        "roc.png", "roc.svg", "cmc.png", "cmc.svg", "training.png", "training.svg",
    ]  # fmt: skip
    assert run_figures(tmp_path / "none", record(), {}, []) == []
