"""Questions on the hinge, and that wrong variants are caught."""

from __future__ import annotations

import pytest

from lossbench.chapter import hinge_variants
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(hinge_variants)
def test_claims_come_out(claim):
    comes_out(claim)


def with_hinge(monkeypatch, make):
    monkeypatch.setattr(hinge_variants, "hinge_loss", make(hinge_variants.hinge_loss))


# Where zero stays zero, or halves keep their order, half the loss says the same.
@every_claim(hinge_variants, without=["C-3.6.4-unique", "C-3.6.4-square"])
def test_a_hinge_that_is_half_as_large_is_caught(monkeypatch, claim):
    with_hinge(monkeypatch, lambda loss: lambda z, y, *, delta: loss(z, y, delta=delta) / 2)
    fails(claim)


@pytest.mark.parametrize("name", ["all_classes", "inflation", "scaled_weights"])
def test_a_margin_that_is_ignored_is_caught(monkeypatch, name):
    with_hinge(monkeypatch, lambda loss: lambda z, y, *, delta: loss(z, y, delta=1e-9))
    fails(getattr(hinge_variants, name))


def test_a_mean_over_all_classes_is_caught(monkeypatch):
    loss = hinge_variants.hinge_mean_loss

    def over_all(z, y, *, delta):
        return loss(z, y, delta=delta) * (z.shape[1] - 1) / z.shape[1]

    monkeypatch.setattr(hinge_variants, "hinge_mean_loss", over_all)
    fails(hinge_variants.factor)
    fails(hinge_variants.mean)


def test_squares_that_are_not_squared_are_caught(monkeypatch):
    monkeypatch.setattr(hinge_variants, "squared_hinge_loss", hinge_variants.hinge_loss)
    fails(hinge_variants.squared)


def test_a_loss_with_one_minimum_is_caught(monkeypatch):
    def strict(z, y, *, delta):
        return (z - 1).square().sum(1)

    monkeypatch.setattr(hinge_variants, "hinge_loss", strict)
    assert any("different W" in told for told in fails(hinge_variants.unique))
