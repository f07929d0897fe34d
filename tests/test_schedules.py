"""Learning-rate factors against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from lossbench.schedules import step_decay, warmup_cosine


def test_warm_up_rises_in_equal_steps_to_the_full_rate():
    assert [warmup_cosine(step, 20, warmup=0.2) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_after_the_warm_up_half_a_cosine_falls_to_zero():
    # 16 steps are left after 4: a quarter, half and three quarters of the way down.
    factors = {step: warmup_cosine(step, 20, warmup=0.2) for step in (4, 8, 12, 16, 20)}
    root = math.sqrt(2) / 4
    expected = {4: 1.0, 8: 0.5 + root, 12: 0.5, 16: 0.5 - root, 20: 0.0}
    assert factors == pytest.approx(expected, abs=1e-12)


def test_the_last_step_still_moves():
    # The factor is zero only after the last step: no step of the budget is spent on nothing.
    assert warmup_cosine(19, 20, warmup=0.2) == pytest.approx((1 - math.cos(math.pi / 16)) / 2)
    assert warmup_cosine(19, 20, warmup=0.2) > 0


def test_without_warm_up_the_first_step_has_the_full_rate():
    assert [warmup_cosine(step, 4, warmup=0.0) for step in (0, 2)] == pytest.approx([1.0, 0.5])


def test_a_run_of_one_step_has_the_full_rate():
    assert warmup_cosine(0, 1, warmup=0.15) == 1.0


def test_a_warm_up_of_nearly_every_step_never_exceeds_the_full_rate():
    factors = [warmup_cosine(step, 10, warmup=0.99) for step in range(11)]
    assert factors == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])


def test_step_decay_multiplies_at_each_milestone_from_that_step_on():
    factors = [step_decay(step, 10, milestones=[0.5, 0.8], factor=0.1) for step in range(10)]
    assert factors == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_a_milestone_between_two_steps_acts_at_the_next():
    # 0.53 of 100 steps is step 53; of 10 steps it lies between 5 and 6.
    assert [step_decay(step, 100, milestones=[0.53], factor=0.5) for step in (52, 53)] == [1.0, 0.5]
    assert [step_decay(step, 10, milestones=[0.53], factor=0.5) for step in (5, 6)] == [1.0, 0.5]


def test_step_decay_without_milestones_is_constant():
    assert {step_decay(step, 7, milestones=[], factor=0.1) for step in range(7)} == {1.0}


@pytest.mark.parametrize(
    ("schedule", "options", "line"),
    [
        (warmup_cosine, {"warmup": 1}, r"warmup=1: must be a number in \[0, 1\); a share of all steps"),
        (warmup_cosine, {"warmup": -0.1}, r"warmup=-0.1: must be a number in \[0, 1\)"),
        (step_decay, {"milestones": [0.5], "factor": 0}, r"factor=0: must be a number in \(0, 1\]"),
        (step_decay, {"milestones": [30], "factor": 0.1}, r"milestones=30: .*; shares of all steps"),
    ],
)
def test_options_out_of_range_are_refused(schedule, options, line):
    with pytest.raises(ValueError, match=line):
        schedule(0, 10, **options)
