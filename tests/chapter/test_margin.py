"""Claims on the additive margin and the angles it leaves, and that other margins are caught."""

from __future__ import annotations

import math
from functools import partial

import pytest

from lossbench.chapter import angles, margin, pull
from lossbench.margins import additive_angle, additive_cosine
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(margin)
def test_claims_on_the_margin_come_out(claim):
    comes_out(claim)


@every_claim(pull)
def test_claims_on_the_pull_come_out(claim):
    comes_out(claim)


@pytest.mark.parametrize("wrong", [partial(additive_cosine, m=0.3), partial(additive_angle, m=0.35)])
def test_another_margin_is_caught(monkeypatch, wrong):
    monkeypatch.setattr(margin, "AM", wrong)
    monkeypatch.setattr(pull, "AM", wrong)
    for claim in (
        margin.fixed_gap,
        pull.angle_left,
        pull.left_beside,
        pull.pressure,
        pull.between_prototypes,
    ):
        fails(claim)


def test_a_margin_on_every_class_is_caught(monkeypatch):
    monkeypatch.setattr(margin, "additive_cosine", lambda cosine, target, *, m: cosine - m)
    fails(margin.one_score)
    fails(margin.listing)


def test_scores_that_keep_the_lengths_are_caught(monkeypatch):
    class Plain(margin.CosineHead):
        def forward(self, embedding, target=None):
            return 30 * embedding @ self.weight.T

    monkeypatch.setattr(margin, "CosineHead", Plain)
    fails(margin.cosines)


@pytest.mark.parametrize("apart", [55.0, 90.0, 170.0])
def test_the_boundary_is_the_closed_form(apart):
    half = math.radians(apart / 2)
    wanted = math.degrees(half - math.asin(0.175 / math.sin(half)))
    assert angles.boundary(angles.AM, apart) == pytest.approx(wanted)


def test_no_region_gives_nan():
    assert math.isnan(angles.boundary(angles.AM, 20.0))
    assert math.isnan(angles.widest(angles.AM, 40.0))
