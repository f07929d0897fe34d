"""Claims of 3.6.3, and that a wrong cross-entropy is caught by each of them."""

from __future__ import annotations

import pytest
import torch

from lossbench.chapter import softmax
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(softmax)
def test_claims_come_out(claim):
    comes_out(claim)


BROKEN = {
    "in bits": lambda loss: lambda z, y: loss(z, y) / torch.log(torch.tensor(2.0)),
    "a little smoothed": lambda loss: lambda z, y: 0.99 * loss(z, y) + 0.01 * loss(z, (y + 1) % z.shape[1]),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("name", ["softmax", "relative", "example", "bounded_gradient", "names"])
def test_a_wrong_cross_entropy_is_caught(monkeypatch, name, fault):
    monkeypatch.setattr(softmax, "entropy_loss", BROKEN[fault](softmax.entropy_loss))
    fails(getattr(softmax, name))


@pytest.mark.parametrize("name", ["alone", "start"])
def test_scores_that_are_not_compared_are_caught(monkeypatch, name):
    monkeypatch.setattr(softmax, "entropy_loss", lambda z, y: -z.gather(1, y[:, None])[:, 0])
    fails(getattr(softmax, name))


def test_a_loss_with_a_floor_above_zero_is_caught(monkeypatch):
    exact = softmax.exact_loss
    monkeypatch.setattr(softmax, "exact_loss", lambda z, y: exact(z, y) + 1e-6)
    fails(softmax.extremes)


def test_a_loss_with_another_minimiser_is_caught(monkeypatch):
    monkeypatch.setattr(softmax, "mse_loss", lambda z, y: softmax.entropy_loss(2 * z, y))
    assert any("squared error" in told for told in fails(softmax.likelihood))
