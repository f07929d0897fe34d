"""Claims on the score function, and that wrong scores are caught."""

from __future__ import annotations

import pytest
import torch

from lossbench.chapter import bias, linear, scaling
from lossbench.heads import LinearHead
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(linear)
def test_claims_on_scores_come_out(claim):
    comes_out(claim)


@every_claim(bias, slow=["C-3.1.1-general"])
def test_claims_on_the_bias_come_out(claim):
    comes_out(claim)


@every_claim(scaling)
def test_claims_on_scaling_come_out(claim):
    comes_out(claim)


def with_scores(monkeypatch, change):
    """A head whose scores are changed by ``change(scores, embedding)``."""
    forward = LinearHead.forward
    monkeypatch.setattr(LinearHead, "forward", lambda head, x: change(forward(head, x), x))


@pytest.mark.parametrize(
    "claim",
    [
        *(linear.shapes, linear.slope_and_shift, linear.pairwise, linear.toy),
        *(bias.two_points, bias.trick, scaling.homogeneous, scaling.scaled_losses),
    ],
    ids=lambda claim: claim.id,
)
def test_scores_that_are_not_linear_are_caught(monkeypatch, claim):
    with_scores(monkeypatch, lambda scores, x: scores + 0.1 * x.square().mean(1, keepdim=True) * scores)
    fails(claim)


@pytest.mark.parametrize(
    "claim",
    [linear.toy, linear.slope_and_shift, linear.pairwise, bias.two_points, scaling.homogeneous],
    ids=lambda claim: claim.id,
)
def test_a_bias_that_is_left_out_is_caught(monkeypatch, claim):
    forward = LinearHead.forward
    monkeypatch.setattr(
        LinearHead, "forward", lambda head, x: forward(head, x) - (0 if head.bias is None else head.bias)
    )
    fails(claim)


def test_a_trick_whose_constant_is_two_is_caught(monkeypatch):
    def forward(head, x):
        one = 2 * torch.ones_like(x[:, :1])
        return x @ head.weight[:, : head.dim].T + (
            one * head.weight[:, -1] if head.bias is None else head.bias
        )

    monkeypatch.setattr(LinearHead, "forward", forward)
    fails(bias.trick)
    fails(bias.fixed_feature)


def test_a_separator_where_there_is_none_is_caught(monkeypatch):
    monkeypatch.setattr(bias, "separable", lambda points, target, bias=True: True)
    assert any("linear programme" in told for told in fails(bias.two_points))


def test_data_that_do_not_move_are_caught(monkeypatch):
    blobs = bias.Blobs
    monkeypatch.setattr(bias, "Blobs", lambda **options: blobs(**options | {"shift": 0.0}))
    assert any("by chance" in told for told in fails(bias.shifted_data))


def test_losses_that_ignore_the_scale_are_caught(monkeypatch):
    loss = scaling.hinge_loss
    monkeypatch.setattr(scaling, "hinge_loss", lambda z, y, delta: loss(z / z.norm(), y, delta=delta))
    fails(scaling.scaled_losses)


def test_a_decay_that_spares_the_bias_either_way_is_caught(monkeypatch):
    monkeypatch.setattr(bias, "_decayed_bias", lambda *, decayed: 3.0)
    assert any("smaller" in told for told in fails(bias.trick_limits))
