"""Claims on gradients of cosine heads, and that other gradients are caught."""

from __future__ import annotations

import pytest
import torch

from lossbench.chapter import feature_norms, gradients
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(gradients)
def test_claims_on_the_gradient_come_out(claim):
    comes_out(claim)


@every_claim(feature_norms)
def test_claims_on_feature_norms_come_out(claim):
    comes_out(claim)


def test_a_loss_twice_as_steep_is_caught(monkeypatch):
    loss = gradients.entropy_loss
    monkeypatch.setattr(gradients, "entropy_loss", lambda scores, target: 2 * loss(scores, target))
    for claim in (gradients.bounded, gradients.feature_bound, gradients.start):
        fails(claim)


def test_directions_that_prefer_an_axis_are_caught(monkeypatch):
    def along_the_first(*shape, **options):
        found = torch.ones(*shape, **options)
        found[:, 0] = 10
        return found

    monkeypatch.setattr(gradients.torch, "randn", along_the_first)
    fails(gradients.sine_square)


@pytest.mark.parametrize("name", ["norms", "inverse", "rotation"])
def test_a_head_that_does_not_normalise_is_caught(monkeypatch, name):
    monkeypatch.setattr(
        feature_norms, "cosine_head", lambda weight, s=30.0, m=0.0: gradients.plain_head(weight)
    )
    fails(getattr(feature_norms, name))


def test_a_linear_head_that_normalises_is_caught(monkeypatch):
    monkeypatch.setattr(feature_norms, "plain_head", gradients.cosine_head)
    fails(feature_norms.norms)
    fails(feature_norms.rotation)
