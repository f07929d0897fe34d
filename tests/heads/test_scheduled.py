"""Margins whose knobs change while training."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from lossbench.heads import CosineHead, Scheduled
from lossbench.heads.scheduled import Paced, scheduled
from lossbench.margins import additive_cosine, multiplicative_angle
from lossbench.schedules import lambda_annealing, linear_ramp

RISING = partial(linear_ramp, end=0.4, ramp=0.5)


def draw():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(6, 4, generator=generator) * 1.8 - 0.9, torch.tensor([0, 3, 1, 2, 2, 0])


def test_a_margin_without_schedules_is_left_as_it_is():
    margin = partial(additive_cosine, m=0.35)
    assert scheduled(margin) is margin
    assert scheduled(additive_cosine) is additive_cosine


def test_at_every_step_the_margin_is_that_of_the_schedules_value():
    margin, (cosine, target) = scheduled(partial(additive_cosine, m=RISING)), draw()
    assert isinstance(margin, Paced)
    for step in (0, 10, 50, 99):
        margin.at(step, 100)
        expected = additive_cosine(cosine, target, m=min(0.4, 0.8 * step / 100))
        assert torch.allclose(margin(cosine, target), expected)


def test_a_margin_starts_at_step_0():
    cosine, target = draw()
    assert torch.equal(scheduled(partial(additive_cosine, m=RISING))(cosine, target), cosine)


def test_one_knob_may_be_scheduled_and_another_fixed():
    falling = partial(lambda_annealing, start=1000.0, end=5.0, gamma=0.12, power=1.0, period=100)
    margin, (cosine, target) = scheduled(partial(multiplicative_angle, m=4, lam=falling)), draw()
    margin.at(2, 100)
    assert torch.equal(margin(cosine, target), multiplicative_angle(cosine, target, m=4, lam=falling(2, 100)))


def test_the_step_is_part_of_the_heads_state():
    def head():
        torch.manual_seed(0)
        return CosineHead(8, 4, margin=partial(additive_cosine, m=RISING), s=30.0)

    first, again = head(), head()
    assert isinstance(first.margin, Scheduled)
    first.margin.at(20, 100)
    again.load_state_dict(first.state_dict())
    embedding, target = torch.randn(3, 8), torch.tensor([0, 1, 2])
    assert again.margin.knobs == first.margin.knobs == {"m": pytest.approx(0.16)}
    assert torch.equal(again(embedding, target), first(embedding, target))
