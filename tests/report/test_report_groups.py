"""Pooling seeds: what is averaged, what is never averaged, and the interval over it."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from types import ModuleType

import pytest

from lossbench.records import Record
from lossbench.report import groups, interval, names
from lossbench.report.groups import curve_labels, flat_settings, group_records
from lossbench.report.interval import estimate

MakeRecord = Callable[..., Record]


@pytest.mark.parametrize("module", [groups, interval, names])
def test_the_examples_in_the_docstrings_run(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


def test_the_interval_is_students_t_by_hand() -> None:
    # 1, 2, 3: mean 2, sd 1; t(2, 0.975) = 4.302653 from the printed tables.
    three = estimate([1.0, 2.0, 3.0])
    assert (three.mean, three.n) == (2.0, 3)
    assert three.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    # 0, 2: sd sqrt(2), so the half-width is t(1, 0.975) = 12.7062 itself.
    two = estimate([0.0, 2.0])
    assert two.interval == pytest.approx((1 - 12.7062, 1 + 12.7062), rel=1e-5)


def test_one_seed_has_no_interval_and_none_has_no_mean() -> None:
    assert estimate([0.4]).interval == (None, None)
    assert estimate([0.4]).mean == 0.4
    assert estimate([None, None]).mean is None


def test_undefined_values_are_left_out_and_equal_values_have_no_spread() -> None:
    assert estimate([0.1, None, 0.3]).n == 2
    assert (estimate([0.1] * 3).mean, estimate([0.1] * 3).half_width) == (0.1, 0.0)


def test_seeds_of_one_configuration_are_pooled_in_order(record: MakeRecord) -> None:
    (group,) = group_records([record(seed=seed) for seed in (10, 2, 0)])
    assert group.seeds == [0, 2, 10]
    assert group.differs == {}


def test_precisions_and_recipes_are_never_pooled(record: MakeRecord) -> None:
    runs = [
        record(seed=0),
        record(seed=1, environment={"precision": "float32", "recipe": 1}),
        record(seed=2, environment={"precision": "bf16", "recipe": 2}),
    ]
    found = group_records(runs)
    assert [group.seeds for group in found] == [[0], [2], [1]]
    assert [group.differs["precision"] for group in found] == ["bf16", "bf16", "float32"]


def test_other_data_under_the_same_name_is_not_pooled(record: MakeRecord) -> None:
    found = group_records(
        [record(seed=seed, split={"sha256": digest}) for seed, digest in enumerate(["a", "b"])]
    )
    assert [group.differs for group in found] == [{"data": "a"}, {"data": "b"}]


def test_how_a_run_was_started_does_not_part_seeds(record: MakeRecord) -> None:
    started = {"seed": 1, "group": "sweep", "force": True, "precision": "auto", "logger": {"mode": "offline"}}
    assert len(group_records([record(seed=0), record(seed=1, config=record().config | started)])) == 1


def test_threads_cpu_and_commit_do_not_part_seeds(record: MakeRecord) -> None:
    other = {"precision": "bf16", "recipe": 1, "threads": 1, "cpu": "Epyc", "commit": "fff"}
    assert len(group_records([record(seed=0), record(seed=1, environment=other)])) == 1


def test_a_learning_rate_that_differs_is_shown(record: MakeRecord) -> None:
    plain = group_records([record("linear"), record("linear", lr=0.2)])
    assert curve_labels(plain) == ["linear optimizer.lr=0.1", "linear optimizer.lr=0.2"]
    found = group_records([record(seed=0), record(seed=0, lr=0.2)])
    assert [group.differs for group in found] == [{"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}]
    assert curve_labels(found) == [
        "amsoftmax m=0.35 s=30 optimizer.lr=0.1",
        "amsoftmax m=0.35 s=30 optimizer.lr=0.2",
    ]


def test_what_only_the_head_explains_is_not_repeated(record: MakeRecord) -> None:
    found = group_records(
        [record("linear"), record("amsoftmax"), record("amsoftmax", knobs={"m": 0.2, "s": 30.0})]
    )
    assert [group.differs for group in found] == [{}, {}, {}]
    assert curve_labels(found) == ["amsoftmax m=0.2 s=30", "amsoftmax m=0.35 s=30", "linear"]


def test_equal_labels_show_what_differs_even_inside_the_head(record: MakeRecord) -> None:
    config = record().config
    other = record(config=config | {"head": config["head"] | {"bias": True}})
    assert {str(group.differs) for group in group_records([record(), other])} == {"{}", "{'head.bias': True}"}


def test_thirty_and_thirty_point_zero_are_one_configuration(record: MakeRecord) -> None:
    runs = [record(seed=0), record(seed=1, knobs={"m": 0.35, "s": 30})]
    assert len(group_records(runs)) == 1


def test_a_seed_counts_once(record: MakeRecord) -> None:
    (group,) = group_records([record(seed=0), record(seed=0), record(seed=1)])
    assert (group.seeds, group.repeats) == ([0, 1], 1)


def test_a_nested_seed_that_follows_the_root_is_no_setting_but_a_fixed_one_is(record: MakeRecord) -> None:
    def run(seed: int, nested: int) -> Record:
        return record(seed=seed, config=record(seed=seed).config | {"protocol": {"seed": nested}})

    assert len(group_records([run(0, 0), run(1, 1)])) == 1
    assert len(group_records([run(0, 0), run(1, 0)])) == 1
    assert len(group_records([run(0, 0), run(1, 0), run(2, 5)])) == 2


def test_runs_without_a_seed_are_not_taken_for_seeds(record: MakeRecord) -> None:
    found = group_records([record(id="aaa", config={}), record(id="bbb", config={})])
    assert [group.differs for group in found] == [{"id": "aaa"}, {"id": "bbb"}]


def test_knobs_sort_by_size_not_by_spelling(record: MakeRecord) -> None:
    found = group_records([record(knobs={"s": s}) for s in (100.0, 20.0, 5.0)])
    assert [group.knobs["s"] for group in found] == [5.0, 20.0, 100.0]


def test_nulls_are_no_settings() -> None:
    assert flat_settings({"a": None, "b": {"c": 1, "d": True}}) == {"b.c": 1.0, "b.d": True}


def test_two_versions_of_ones_own_code_are_two_rows(record: MakeRecord) -> None:
    runs = [record(seed=seed) for seed in range(3)]
    edited = [record(seed=seed, id=f"edited-{seed}") for seed in range(3)]
    for run in runs:
        run.config["code"] = {"mylosses.sharp": "0123456789"}
    for run in edited:
        run.config["code"] = {"mylosses.sharp": "9876543210"}
    groups = group_records([*runs, *edited])
    assert [group.seeds for group in groups] == [[0, 1, 2]] * 2
    assert [group.differs for group in groups] == [
        {"code.mylosses.sharp": "01234567"},
        {"code.mylosses.sharp": "98765432"},
    ]
