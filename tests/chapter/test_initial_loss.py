"""Claims on the loss before training, and that other starts are caught."""

from __future__ import annotations

import torch

from lossbench.chapter import initial_loss
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(initial_loss)
def test_claims_come_out(claim):
    comes_out(claim)


def test_a_linear_head_with_wide_weights_is_caught(monkeypatch):
    monkeypatch.setattr("lossbench.heads.linear.WEIGHT_STD", 0.1)
    fails(initial_loss.start)


def test_a_network_that_starts_sure_is_caught(monkeypatch):
    network = initial_loss.network

    def loud(seed):
        model = network(seed)
        torch.nn.init.normal_(model[2].weight)
        return model

    monkeypatch.setattr(initial_loss, "network", loud)
    fails(initial_loss.faults)
    fails(initial_loss.invisible)


def test_a_softmax_applied_twice_everywhere_is_caught_by_its_floor(monkeypatch):
    loss = initial_loss.entropy_loss
    monkeypatch.setattr(initial_loss, "entropy_loss", lambda z, y: loss(z.softmax(1), y))
    fails(initial_loss.faults)
