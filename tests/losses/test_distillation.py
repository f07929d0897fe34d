"""Distillation against its formula, one sample at a time."""

from __future__ import annotations

import math

import pytest
import torch

from lossbench.losses import cross_entropy_loss, distillation_loss
from tests.losses.cases import cross_entropy, softmax


def draw(n=6, c=4):
    generator = torch.Generator().manual_seed(0)
    scores, teacher = torch.randn(2, n, c, generator=generator, dtype=torch.float64) * 3
    return scores, torch.randint(c, (n,), generator=generator), teacher


@pytest.mark.parametrize(("temperature", "soft_weight"), [(1.0, 0.5), (4.0, 0.9), (8.0, 1.0)])
def test_values_equal_the_oracle(temperature, soft_weight):
    scores, target, teacher = draw()
    found = distillation_loss(scores, target, teacher, temperature=temperature, soft_weight=soft_weight)
    for value, z, y, t in zip(
        found.tolist(), scores.tolist(), target.tolist(), teacher.tolist(), strict=True
    ):
        p, q = (softmax([score / temperature for score in row]) for row in (z, t))
        divergence = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
        hard = cross_entropy(z, y, tau=1.0)
        expected = (1 - soft_weight) * hard + soft_weight * temperature**2 * divergence
        assert value == pytest.approx(expected, rel=1e-9)


def test_the_student_gets_gradients_and_the_teacher_none():
    scores, target, teacher = draw()

    def loss(z):
        return distillation_loss(z, target, teacher, temperature=4.0, soft_weight=0.9)

    assert torch.autograd.gradcheck(loss, scores.requires_grad_())
    teacher.requires_grad_()
    distillation_loss(scores, target, teacher, temperature=4.0, soft_weight=0.9).sum().backward()
    assert teacher.grad is None


def test_the_soft_gradient_keeps_its_size_at_high_temperatures():
    """With T² it tends to the difference of centred scores over C, without it would vanish as 1/T²."""
    scores, target, teacher = draw()
    scores.requires_grad_()
    distillation_loss(scores, target, teacher, temperature=1e4, soft_weight=1.0).sum().backward()
    apart = (scores - teacher).detach()
    assert torch.allclose(scores.grad, (apart - apart.mean(1, keepdim=True)) / 4, atol=1e-3)


def test_a_teacher_of_weight_zero_is_cross_entropy():
    scores, target, teacher = draw()
    plain = distillation_loss(scores, target, teacher, temperature=4.0, soft_weight=0.0)
    assert torch.allclose(plain, cross_entropy_loss(scores, target, tau=1.0))


def test_a_student_like_its_teacher_has_no_soft_loss():
    scores, target, _ = draw()
    loss = distillation_loss(scores, target, scores, temperature=4.0, soft_weight=1.0)
    assert loss.abs().max() < 1e-12


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"temperature": 0, "soft_weight": 0.5}, "temperature=0: must be a number > 0"),
        ({"temperature": 4.0, "soft_weight": 1.5}, r"soft_weight=1.5: must be a number in \[0, 1\]"),
    ],
)
def test_knobs_out_of_range_are_named(knobs, line):
    with pytest.raises(ValueError, match=line):
        distillation_loss(*draw(), **knobs)
