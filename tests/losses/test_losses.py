"""Every loss against its oracle: by value, by gradient, at the edges."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from lossbench import losses
from tests.losses.cases import LOSSES

IDS = [f"{case.name}-{case.knobs}" for case in LOSSES]


@pytest.fixture(params=LOSSES, ids=IDS)
def case(request):
    return request.param


@pytest.fixture
def loss(case):
    return partial(getattr(losses, case.function), **case.knobs)


def draw(n=7, c=5, dtype=torch.float64, scale=2.0):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(n, c, generator=generator, dtype=torch.float64) * scale
    return scores.to(dtype), torch.randint(c, (n,), generator=generator)


def oracle_gradient(case, row, target, step=1e-6):
    """Central differences of the oracle, one score at a time."""
    gradient = []
    for j in range(len(row)):
        up, down = list(row), list(row)
        up[j] += step
        down[j] -= step
        high, low = (case.oracle(shifted, target, **case.knobs) for shifted in (up, down))
        gradient.append((high - low) / (2 * step))
    return gradient


def test_values_equal_the_oracle(case, loss):
    scores, target = draw()
    expected = [
        case.oracle(row, y, **case.knobs) for row, y in zip(scores.tolist(), target.tolist(), strict=True)
    ]
    assert loss(scores, target).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_gradients_equal_the_oracles_differences(case, loss):
    scores, target = draw()
    scores.requires_grad_()
    loss(scores, target).sum().backward()
    for row, y, gradient in zip(scores.tolist(), target.tolist(), scores.grad.tolist(), strict=True):
        assert gradient == pytest.approx(oracle_gradient(case, row, y), abs=1e-6)


def test_gradients_pass_gradcheck(loss):
    scores, target = draw()
    assert torch.autograd.gradcheck(lambda z: loss(z, target), scores.requires_grad_())


def test_one_value_per_sample_and_inputs_left_alone(loss):
    scores, target = draw()
    before = scores.clone(), target.clone()
    assert loss(scores, target).shape == target.shape
    assert torch.equal(scores, before[0])
    assert torch.equal(target, before[1])


def test_samples_do_not_see_each_other(loss):
    scores, target = draw()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert torch.equal(loss(scores[order], target[order]), loss(scores, target)[order])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("huge", [1.0, 1e4])
def test_values_and_gradients_are_finite_at_huge_scores(loss, dtype, huge):
    scores, target = draw(dtype=dtype, scale=huge)
    scores = torch.cat([scores, torch.zeros(1, 5, dtype=dtype)]).requires_grad_()
    values = loss(scores, torch.cat([target, torch.tensor([0])]))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(scores.grad).all()


def test_one_class_costs_nothing(case, loss):
    scores = torch.tensor([[3.0], [-2.0]], dtype=torch.float64, requires_grad=True)
    values = loss(scores, torch.tensor([0, 0]))
    values.sum().backward()
    assert values.tolist() == [0.0, 0.0]
    assert scores.grad.tolist() == [[0.0], [0.0]]


def test_float32_agrees_with_float64(loss):
    scores, target = draw()
    assert torch.allclose(loss(scores.float(), target).double(), loss(scores, target), rtol=1e-5, atol=1e-6)


def test_temperature_one_is_cross_entropy():
    scores, target = draw()
    expected = torch.nn.functional.cross_entropy(scores, target, reduction="none")
    assert torch.equal(losses.cross_entropy_loss(scores, target, tau=1.0), expected)


def test_temperature_equals_dividing_the_scores():
    scores, target = draw()
    divided = losses.cross_entropy_loss(scores / 0.25, target, tau=1.0)
    assert torch.allclose(losses.cross_entropy_loss(scores, target, tau=0.25), divided)


@pytest.mark.parametrize(
    ("function", "knob", "value"),
    [
        ("cross_entropy_loss", "tau", 0),
        ("cross_entropy_loss", "tau", -1.0),
        ("cross_entropy_loss", "tau", float("nan")),
        ("cross_entropy_loss", "tau", "abc"),
        ("hinge_loss", "delta", 0.0),
        ("hinge_loss", "delta", float("inf")),
    ],
)
def test_a_bad_knob_is_named_with_its_value(function, knob, value):
    scores, target = draw()
    with pytest.raises(ValueError, match=f"{knob}={value}: must be a number > 0"):
        getattr(losses, function)(scores, target, **{knob: value})
