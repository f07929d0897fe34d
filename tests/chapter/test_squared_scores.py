"""Claims on shares of squared scores, and that a softmax in their place is caught."""

from __future__ import annotations

from lossbench.chapter import squared_scores
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(squared_scores)
def test_claims_come_out(claim):
    comes_out(claim)


@every_claim(squared_scores)
def test_a_softmax_in_the_place_of_squares_is_caught(monkeypatch, claim):
    monkeypatch.setattr(squared_scores, "squared_loss", squared_scores.entropy_loss)
    fails(claim)


@every_claim(squared_scores)
def test_fourth_powers_in_the_place_of_squares_are_caught(monkeypatch, claim):
    loss = squared_scores.squared_loss
    monkeypatch.setattr(squared_scores, "squared_loss", lambda z, y: loss(z.square(), y))
    fails(claim)
