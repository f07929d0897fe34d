"""Claims of 3.6.5 on both losses, and that exchanging them is caught."""

from __future__ import annotations

import pytest

from lossbench.chapter import comparison
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(comparison)
def test_claims_come_out(claim):
    comes_out(claim)


@pytest.mark.parametrize("name", ["sensitivity", "scaling", "relative_scores"])
def test_a_hinge_in_the_place_of_cross_entropy_is_caught(monkeypatch, name):
    monkeypatch.setattr(comparison, "entropy_loss", comparison._hinge)
    fails(getattr(comparison, name))


@pytest.mark.parametrize("name", ["doubling", "sensitivity", "scaling", "scaled_hinge"])
def test_cross_entropy_in_the_place_of_the_hinge_is_caught(monkeypatch, name):
    monkeypatch.setattr(comparison, "_hinge", comparison.entropy_loss)
    fails(getattr(comparison, name))


def test_the_third_row_needs_the_exact_logarithm(monkeypatch):
    monkeypatch.setattr(comparison, "exact_loss", comparison.entropy_loss)
    assert len(fails(comparison.doubling)) == 2
