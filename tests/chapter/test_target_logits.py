"""Claims on target logits and regions, and that other margins are caught."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from lossbench.chapter import regions, target_logits
from lossbench.margins import additive_angle
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(target_logits)
def test_claims_on_target_logits_come_out(claim):
    comes_out(claim)


@every_claim(regions)
def test_claims_on_regions_come_out(claim):
    comes_out(claim)


@pytest.mark.parametrize("name", ["curves", "concept"])
def test_an_angular_margin_for_am_is_caught(monkeypatch, name):
    monkeypatch.setattr(target_logits, "AM", partial(additive_angle, m=0.35))
    fails(getattr(target_logits, name))


def test_a_target_that_rises_again_is_caught(monkeypatch):
    monkeypatch.setattr(target_logits, "A_SOFTMAX", lambda cosine, target: (4 * cosine.acos()).cos())
    assert any("falls" in told for told in fails(target_logits.curves))


def test_regions_without_margin_are_caught(monkeypatch):
    monkeypatch.setattr(regions, "additive_cosine", lambda cosine, target, *, m: cosine)
    fails(regions.shapes)


def test_only_features_ahead_by_the_margin_lie_in_a_region():
    found = regions._region(
        torch.tensor([[1.0, 0, 0], [0.8, 0.6, 0], [0.9, 0.4359, 0]]).double(), regions.OCTAHEDRON
    )
    assert found.tolist() == [0, -1, 0]
