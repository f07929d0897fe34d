"""Learning-rate factors against values worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from lossbench.schedules import cosine_ramp, lambda_annealing, linear_ramp, step_decay, warmup_cosine


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


@pytest.mark.parametrize("ramp", [linear_ramp, cosine_ramp])
def test_a_ramp_rises_from_zero_to_its_end_and_stays(ramp):
    values = [ramp(step, 100, end=0.4, ramp=0.27) for step in range(100)]
    assert values[0] == 0
    assert values[27:] == [0.4] * 73
    assert all(low < high for low, high in pairwise(values[:28]))


def test_halfway_up_both_ramps_are_at_half_their_end():
    assert linear_ramp(10, 80, end=0.4, ramp=0.25) == pytest.approx(0.2)
    assert cosine_ramp(10, 80, end=0.4, ramp=0.25) == pytest.approx(0.2)
    assert cosine_ramp(5, 80, end=0.4, ramp=0.25) == pytest.approx(0.2 * (1 - math.sqrt(0.5)))


SPHEREFACE = {"start": 1000.0, "end": 5.0, "gamma": 0.12, "power": 1.0, "period": 28000}


def test_lambda_falls_as_in_the_sphereface_recipe_and_is_5_from_iteration_1659():
    values = [lambda_annealing(step, 28000, **SPHEREFACE) for step in range(2000)]
    assert values[:2] == pytest.approx([1000.0, 1000 / 1.12])
    assert next(step for step, value in enumerate(values) if value == 5) == 1659


def test_a_shorter_run_is_stretched_over_the_same_fall():
    short = [lambda_annealing(step, 600, **SPHEREFACE) for step in range(600)]
    assert short[3] == pytest.approx(lambda_annealing(140, 28000, **SPHEREFACE))
    assert next(step for step, value in enumerate(short) if value == 5) == math.ceil(1659 * 600 / 28000)


def test_with_power_35_lambda_falls_towards_zero_as_in_the_l_softmax_recipe():
    recipe = {"start": 1000.0, "end": 0.0, "gamma": 2.5e-5, "power": 35.0, "period": 20000}
    assert lambda_annealing(10000, 20000, **recipe) == pytest.approx(1000 * 1.25**-35)
    assert lambda_annealing(20000, 20000, **recipe) < 1e-3


@pytest.mark.parametrize(
    ("schedule", "options", "line"),
    [
        (linear_ramp, {"end": 0.4, "ramp": 0}, r"ramp=0: must be a number in \(0, 1\]; a share of all steps"),
        (cosine_ramp, {"end": 0.4, "ramp": 1.5}, r"ramp=1.5: must be a number in \(0, 1\]"),
        (lambda_annealing, {**SPHEREFACE, "end": -1}, r"lam=-1: must be a number >= 0"),
        (lambda_annealing, {**SPHEREFACE, "period": 0}, r"period=0: must be a whole number >= 1"),
    ],
)
def test_ramps_out_of_range_are_refused(schedule, options, line):
    with pytest.raises(ValueError, match=line):
        schedule(0, 10, **options)
