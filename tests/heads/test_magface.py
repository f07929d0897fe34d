"""MagFace's head against its formula, one sample at a time."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from lossbench.heads import CosineHead, MagFaceHead
from lossbench.margins import additive_angle
from tests.heads import contract

KNOBS = {"norm_lower": 10.0, "norm_upper": 110.0, "m_lower": 0.45, "m_upper": 0.8, "s": 8.0}


def make(classes=contract.CLASSES, **knobs):
    torch.manual_seed(0)
    return MagFaceHead(8, classes, **{**KNOBS, **knobs}).double()


def oracle(row, y, x):
    a = min(max(math.sqrt(sum(v * v for v in x)), 10.0), 110.0)
    m = 0.45 + (0.8 - 0.45) * (a - 10) / (110 - 10)
    angle = math.acos(row[y])
    own = math.cos(angle + m) if angle + m <= math.pi else row[y] - m * math.sin(m)
    return [8.0 * (own if j == y else c) for j, c in enumerate(row)]


@pytest.mark.parametrize("length", [1.0, 15.0, 60.0, 500.0])
def test_scores_follow_the_formula_one_sample_at_a_time(length):
    head, (embedding, target) = make(), contract.draw(length=length)
    rows = zip(contract.cosines(head, embedding), target.tolist(), embedding.tolist(), strict=True)
    for (row, y, x), scores in zip(rows, head(embedding, target).tolist(), strict=True):
        assert scores == pytest.approx(oracle(row, y, x), abs=1e-9)


def test_targets_past_pi_minus_m_follow_the_formula_too():
    head = make()
    embedding = -40 * torch.nn.functional.normalize(head.weight.detach()) + 0.5
    rows = zip(contract.cosines(head, embedding), range(5), embedding.tolist(), strict=True)
    for (row, y, x), scores in zip(rows, head(embedding, torch.arange(5)).tolist(), strict=True):
        assert row[y] < -math.cos(0.5)
        assert scores == pytest.approx(oracle(row, y, x), abs=1e-9)


@pytest.mark.parametrize(
    ("length", "m"), [(0.1, 0.45), (10.0, 0.45), (60.0, 0.625), (110.0, 0.8), (1e4, 0.8)]
)
def test_at_any_one_norm_it_is_arcface(length, m):
    embedding, target = contract.draw()
    embedding = length * torch.nn.functional.normalize(embedding)
    head = make()
    arcface = CosineHead(8, 5, margin=partial(additive_angle, m=m), s=8.0).double()
    arcface.load_state_dict(head.state_dict())
    assert torch.allclose(head(embedding, target), arcface(embedding, target), rtol=1e-12)


def test_the_gradient_on_the_norm_is_that_of_its_margin():
    """-s sin(theta + m(a)) (0.8 - 0.45) / 100 between the bounds, 0 outside."""
    head = make()
    for length, slope in ((5.0, 0.0), (50.0, 0.35 / 100), (200.0, 0.0)):
        embedding, target = contract.draw()
        embedding = (length * torch.nn.functional.normalize(embedding)).requires_grad_()
        head(embedding, target).gather(1, target[:, None]).sum().backward()
        radial = (embedding.grad * embedding).sum(1).detach() / length
        own = torch.tensor(contract.cosines(head, embedding), dtype=torch.float64).gather(1, target[:, None])
        angle = own[:, 0].acos() + 0.45 + 0.35 / 100 * (length - 10)
        assert (angle < math.pi).all()
        assert torch.allclose(radial, -8 * angle.sin() * slope, atol=1e-12)


@pytest.mark.parametrize("length", [1.0, 60.0, 500.0])
def test_gradients_are_exact_through_the_whole_head(length):
    contract.assert_gradients_are_those_of_the_values(make(), *contract.draw(length=length))


@pytest.mark.parametrize("length", [1.0, 60.0])
def test_values_and_gradients_are_finite_at_the_edges(length):
    contract.assert_finite_at_the_edges(make, length=length)


def test_samples_stand_alone_and_inputs_are_left_alone():
    contract.assert_samples_stand_alone(make(), *contract.draw(length=60.0))


def test_untrained_scores_know_the_norm():
    head, row = make(), torch.tensor([[0.2, -0.1]], dtype=torch.float64)
    for norm, m in ((1.0, 0.45), (110.0, 0.8)):
        expected = [8 * math.cos(math.acos(0.2) + m), -0.8]
        assert head.untrained_scores(row, torch.tensor([0]), norm)[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"norm_lower": 0.0}, "norm_lower=0.0: must be a number > 0"),
        ({"norm_upper": 10.0}, "norm_upper=10.0: must be a number > 10"),
        ({"m_lower": -0.1}, r"m_lower=-0.1: must be a number in \[0, 1.5708\)"),
        ({"m_upper": 0.4}, r"m_upper=0.4: must be a number in \[0.45, 1.5708\)"),
        ({"m_upper": 45.0}, r"m_upper=45.0: must be a number in \[0.45, 1.5708\)"),
        ({"s": 0.0}, "s=0.0: must be a number > 0"),
    ],
)
def test_a_bad_knob_is_named_with_its_value(knobs, line):
    with pytest.raises(ValueError, match=line):
        make(**knobs)
