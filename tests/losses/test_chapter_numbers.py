"""Worked numbers of the chapter, each test named by the claim it checks."""

from __future__ import annotations

import math

import pytest
import torch

from lossbench.heads import LinearHead
from lossbench.losses import cross_entropy_loss, hinge_loss

CATS = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]], dtype=torch.float64)
TARGET = torch.tensor([0, 1, 2])


def test_c_3_6_3_example():
    """C-3.6.3-example: scores 3.2, 5.1, -1.7 with label cat cost 2.0404 nats."""
    probabilities = CATS[0].softmax(0)
    assert CATS[0].exp().tolist() == pytest.approx([24.5325, 164.0219, 0.1827], abs=1e-4)
    assert probabilities.tolist() == pytest.approx([0.12998, 0.86905, 0.00097], abs=1e-5)
    loss = cross_entropy_loss(CATS[:1], TARGET[:1], tau=1.0).item()
    assert loss == pytest.approx(2.0404, abs=1e-4)
    assert loss / math.log(10) == pytest.approx(0.886, abs=1e-3)


def test_c_3_6_4_ex():
    """C-3.6.4-ex: hinge 2.9, 0 and 12.9, mean 5.2667; cross-entropy on the same scores, mean 2.7587."""
    hinge = hinge_loss(CATS, TARGET, delta=1.0)
    assert hinge.tolist() == pytest.approx([2.9, 0.0, 12.9])
    assert hinge.mean().item() == pytest.approx(5.2667, abs=1e-4)
    entropy = cross_entropy_loss(CATS, TARGET, tau=1.0)
    assert entropy.tolist() == pytest.approx([2.0404, 0.0791, 6.1565], abs=1e-4)
    assert entropy.mean().item() == pytest.approx(2.7587, abs=1e-4)


def test_c_3_6_4_hinge():
    """C-3.6.4-hinge: slope +1 per violated class, minus their number at the target, 0 when satisfied."""
    scores = CATS.clone().requires_grad_()
    hinge_loss(scores, TARGET, delta=1.0).sum().backward()
    assert scores.grad.tolist() == [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, -2.0]]


def test_c_3_6_3_softmax():
    """C-3.6.3-softmax: the gradient of cross-entropy on the scores is p - y."""
    scores = CATS.clone().requires_grad_()
    cross_entropy_loss(scores, TARGET, tau=1.0).sum().backward()
    expected = CATS.softmax(1) - torch.eye(3, dtype=torch.float64)
    assert torch.allclose(scores.grad, expected, atol=1e-10)


def test_c_3_2_1_scale_loss():
    """C-3.2.1-scale-loss: scaling [2, -1, 0.5] keeps the winner but not the loss."""
    scores = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)
    target = torch.tensor([0])
    costs = [cross_entropy_loss(c * scores, target, tau=1.0).item() for c in (1.0, 0.5, 2.0)]
    assert costs == pytest.approx([0.2413, 0.5280, 0.0509], abs=1e-4)
    assert [hinge_loss(c * scores, target, delta=1.0).item() for c in (1.0, 0.5)] == [0.0, 0.25]


def test_c_3_6_5_double():
    """C-3.6.5-double: raising the target from 10 to 20 lowers cross-entropy and leaves the hinge at 0."""
    scores = torch.tensor([[10.0, -2, 3], [10, 9, 9], [10, -100, -100]], dtype=torch.float64)
    doubled = scores.clone()
    doubled[:, 0] = 20
    target = torch.zeros(3, dtype=torch.long)
    before, after = (cross_entropy_loss(z, target, tau=1.0).tolist() for z in (scores, doubled))
    assert before[:2] == pytest.approx([9.176e-4, 0.5514], rel=1e-3)
    assert after[:2] == pytest.approx([4.17e-8, 3.34e-5], rel=1e-2)
    assert (before[2], after[2]) == (0.0, 0.0)  # 3.4e-48 in truth, beyond float64's log-sum-exp
    for z in (scores, doubled):
        assert hinge_loss(z, target, delta=1.0).tolist() == [0.0, 0.0, 0.0]


def test_c_3_6_5_init():
    """C-3.6.5-init: equal scores cost log C and C - 1."""
    zeros = torch.zeros(1, 10, dtype=torch.float64)
    target = torch.tensor([3])
    assert cross_entropy_loss(zeros, target, tau=1.0).item() == pytest.approx(2.3026, abs=1e-4)
    assert hinge_loss(zeros, target, delta=1.0).item() == 9.0


def test_c_3_6_5_scale_and_x_02():
    """X-02: scaling scores changes the hinge where a margin is violated."""
    target = torch.tensor([0])
    assert hinge_loss(2 * CATS[:1], target, delta=1.0).item() == pytest.approx(4.8)
    tied = torch.tensor([[10.0, 9.5, 9.5]], dtype=torch.float64)
    assert hinge_loss(tied, target, delta=1.0).item() == 1.0
    assert hinge_loss(2 * tied, target, delta=1.0).item() == 0.0


def test_c_3_1_shapes():
    """C-3.1-shapes: ten classes on 32x32x3 pixels are 30,730 parameters."""
    head = LinearHead(32 * 32 * 3, 10)
    assert head(torch.zeros(1, 3072)).shape == (1, 10)
    assert sum(parameter.numel() for parameter in head.parameters()) == 30730


def test_c_3_1_2_toy():
    """C-3.1.2-toy: the 2x2 image scores -96.8, 437.9 and 60.75 (the slide's 61.95 forgets the bias)."""
    head = LinearHead(4, 3).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.2, -0.5, 0.1, 2.0], [1.5, 1.3, 2.1, 0.0], [0, 0.25, 0.2, -0.3]]))
        head.bias.copy_(torch.tensor([1.1, 3.2, -1.2]))
    scores = head(torch.tensor([[56.0, 231, 24, 2]], dtype=torch.float64))
    assert scores[0].tolist() == pytest.approx([-96.8, 437.9, 60.75], abs=1e-4)
