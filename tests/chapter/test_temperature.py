"""Claims on the temperature, and that a wrong one is caught."""

from __future__ import annotations

import pytest

from lossbench.chapter import temperature
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(temperature)
def test_claims_come_out(claim):
    comes_out(claim)


@pytest.mark.parametrize("name", ["limits", "gradients", "bounded_scores"])
def test_a_temperature_that_multiplies_is_caught(monkeypatch, name):
    loss = temperature.cross_entropy_loss
    monkeypatch.setattr(temperature, "cross_entropy_loss", lambda z, y, *, tau: loss(z, y, tau=1 / tau))
    fails(getattr(temperature, name))
