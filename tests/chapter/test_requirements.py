"""Claims of 3.6 to 3.6.2, and that losses which break the rules are caught."""

from __future__ import annotations

import pytest
import torch

from lossbench.chapter import requirements
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(requirements)
def test_claims_come_out(claim):
    comes_out(claim)


def with_loss(monkeypatch, name, loss):
    monkeypatch.setitem(requirements.LOSSES, name, loss)


def test_a_loss_that_rises_with_the_targets_score_is_caught(monkeypatch):
    with_loss(monkeypatch, "focal", lambda z, y: z.gather(1, y[:, None])[:, 0] ** 2)
    assert any("never rise" in told for told in fails(requirements.required))


def test_a_loss_that_overflows_is_caught(monkeypatch):
    with_loss(
        monkeypatch, "cross-entropy", lambda z, y: -(z.exp() / z.exp().sum(1, keepdim=True)).log()[:, 0]
    )
    assert any("finite" in told and "cross-entropy" in told for told in fails(requirements.required))


def test_a_sum_in_the_place_of_the_mean_is_caught(monkeypatch):
    hinge = requirements.LOSSES["hinge"]
    with_loss(monkeypatch, "hinge", lambda z, y: hinge(z, y) * len(z))
    fails(requirements.mean)


def test_a_hinge_whose_gradient_misses_its_slopes_is_caught(monkeypatch):
    hinge = requirements.LOSSES["hinge"]
    with_loss(monkeypatch, "hinge", lambda z, y: hinge(z.detach(), y) + 0 * z.sum(1))
    fails(requirements.kinks)


@pytest.mark.parametrize("power", [0.5, 0.9])
def test_a_loss_that_is_not_convex_is_caught(monkeypatch, power):
    hinge = requirements.LOSSES["hinge"]
    with_loss(monkeypatch, "hinge", lambda z, y: (hinge(z, y) + 1e-9) ** power)
    assert any("convex in W" in told for told in fails(requirements.desirable))


def test_a_hinge_that_far_errors_rule_is_caught(monkeypatch):
    with_loss(monkeypatch, "hinge", requirements.LOSSES["squared hinge"])
    assert any("right beside outliers" in told for told in fails(requirements.desirable))


def test_the_largest_excess_of_a_parabola_is_none_and_of_its_opposite_is_some():
    def parabola(z, y):
        return z.square().sum(1)

    def scores(weight):
        return weight.flatten(1)

    assert requirements._excess(parabola, scores) <= 0
    assert requirements._excess(lambda z, y: -parabola(z, y), scores) > 0
    assert torch.equal(requirements.TARGET, torch.tensor([0, 1, 2]))
