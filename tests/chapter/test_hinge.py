"""Claims on the hinge, and that a wrong one is caught by each of them."""

from __future__ import annotations

from lossbench.chapter import hinge
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(hinge)
def test_claims_come_out(claim):
    comes_out(claim)


@every_claim(hinge)
def test_a_hinge_that_is_half_as_large_is_caught(monkeypatch, claim):
    loss = hinge.hinge_loss
    monkeypatch.setattr(hinge, "hinge_loss", lambda z, y, *, delta: loss(z, y, delta=delta) / 2)
    fails(claim)


def test_a_margin_that_is_ignored_is_caught(monkeypatch):
    loss = hinge.hinge_loss
    monkeypatch.setattr(hinge, "hinge_loss", lambda z, y, *, delta: loss(z, y, delta=1e-9))
    assert len(fails(hinge.slopes)) >= 2
