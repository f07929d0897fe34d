"""Claims on training with squared error, and that other losses in its place are told of."""

from __future__ import annotations

import torch

from lossbench.chapter import squared_error_training
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(squared_error_training, slow=["C-3.6.3.1-mse-train"])
def test_claims_come_out(claim):
    comes_out(claim)


def test_a_loss_that_is_not_proper_is_caught(monkeypatch):
    def absolute(z, y):
        return (z.softmax(1) - torch.eye(z.shape[1])[y]).abs().sum(1)

    monkeypatch.setitem(squared_error_training.LOSSES, "squared error", absolute)
    assert any("squared error" in told for told in fails(squared_error_training.brier))


def test_a_squared_error_that_recovers_from_sure_errors_is_told_of(monkeypatch):
    monkeypatch.setattr(squared_error_training, "mse_loss", squared_error_training.entropy_loss)
    monkeypatch.setattr(squared_error_training, "STEPS", 60)
    assert any("does not at any rate" in told for told in fails(squared_error_training.training))
