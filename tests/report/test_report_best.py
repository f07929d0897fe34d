"""Marks of the best rows: never more than the intervals say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from lossbench.records import Record
from lossbench.report.best import best_marks, direction
from lossbench.report.groups import Group, group_records

MakeRecord = Callable[..., Record]


@pytest.fixture
def groups_with(record: MakeRecord) -> Callable[..., list[Group]]:
    """A group for each list of values, one value a seed."""

    def make(metric: str, *rows: Sequence[float | None], datasets: Sequence[str] = ()) -> list[Group]:
        runs = []
        for place, values in enumerate(rows):
            dataset = datasets[place] if datasets else "glyphs"
            for seed, value in enumerate(values):
                run = record(seed=seed, knobs={"m": place / 10}, metrics={metric: value})
                run.details["dataset"] = dataset
                runs.append(run)
        return group_records(runs)

    return make


def test_a_best_row_clear_of_the_others_is_best(groups_with: Callable[..., list[Group]]) -> None:
    groups = groups_with("test/accuracy", [0.5, 0.51, 0.52], [0.9, 0.91, 0.92], [0.5, 0.5, 0.5])
    assert best_marks(groups, "test/accuracy") == ["", "best", ""]


def test_lower_is_better_for_errors(groups_with: Callable[..., list[Group]]) -> None:
    groups = groups_with("test/eer", [0.1, 0.1, 0.1], [0.2, 0.2, 0.2])
    assert best_marks(groups, "test/eer") == ["best", ""]


def test_all_rows_that_overlap_with_the_best_are_unresolved(groups_with: Callable[..., list[Group]]) -> None:
    groups = groups_with("test/accuracy", [0.90, 0.92, 0.94], [0.89, 0.91, 0.93], [0.1, 0.1, 0.1])
    assert best_marks(groups, "test/accuracy") == ["unresolved", "unresolved", ""]


def test_a_wide_interval_reaches_a_narrow_one_inside_it(groups_with: Callable[..., list[Group]]) -> None:
    groups = groups_with("test/accuracy", [0.8, 0.8, 0.8], [0.1, 0.5, 0.9])
    assert best_marks(groups, "test/accuracy") == ["unresolved", "unresolved"]


def test_rows_without_an_interval_are_not_marked(groups_with: Callable[..., list[Group]]) -> None:
    groups = groups_with("test/accuracy", [0.9], [0.5, 0.5], [0.4, 0.4], [None, None])
    assert best_marks(groups, "test/accuracy") == ["", "best", "", ""]
    assert best_marks(groups_with("test/accuracy", [0.9, 0.9]), "test/accuracy") == [""]


def test_only_rows_on_the_same_data_are_compared(groups_with: Callable[..., list[Group]]) -> None:
    rows = ([0.9, 0.9], [0.1, 0.1], [0.5, 0.5], [0.4, 0.4])
    groups = groups_with("test/accuracy", *rows, datasets=("a", "a", "b", "b"))
    assert best_marks(groups, "test/accuracy") == ["best", "", "best", ""]


@pytest.mark.parametrize(
    ("metric", "sign"),
    [
        ("test/accuracy_top5", 1),
        ("test/macro/tar_far_2_5e_4", 1),
        ("val/auc", 1),
        ("test/cmc_1", 1),
        ("test/tpir_fpir_1e_2", 1),
        ("test/macro/eer", -1),
        ("test/nll_scaled", -1),
        ("test/ece", -1),
        ("test/pair_accuracy_standard_error", 0),
        ("test/accuracy_rare", 1),
        ("test/ladder/cmc_1_distractors_100", 1),
        ("test/trials/tar_far_1e_4_mean", 1),
        ("test/trials/tar_far_1e_4_mean_minus_std", 1),
        ("test/trials/tar_far_1e_4_std", 0),
        ("test/trials/realised_far_1e_3_max", 0),
        ("test/realised_far_1e_3", 0),
        ("test/mean_norm", 0),
    ],
)
def test_a_metric_has_a_direction_only_where_it_is_known(metric: str, sign: int) -> None:
    assert direction(metric) == sign
