"""MagFace's regularizer against its formula."""

from __future__ import annotations

import math

import pytest
import torch

from lossbench.regularizers import MagFaceNorm


def make(weight=35.0, lower=10.0, upper=110.0):
    return MagFaceNorm(4, 3, weight=weight, lower=lower, upper=upper)


def embeddings(*lengths, dtype=torch.float64):
    direction = torch.tensor([0.5, -0.5, 0.1, 0.7], dtype=torch.float64)
    direction /= direction.norm()
    return (torch.tensor(lengths, dtype=torch.float64)[:, None] * direction).to(dtype)


def cost(term, *lengths):
    return term(embeddings(*lengths), torch.zeros(len(lengths), dtype=torch.long))


def g(a):
    return 1 / a + a / 110**2


def test_between_the_bounds_and_above_it_is_the_papers_term():
    lengths = (10.0, 20.0, 63.0, 110.0, 300.0)
    assert cost(make(), *lengths).tolist() == pytest.approx([35 * g(a) for a in lengths], rel=1e-12)


def test_below_the_lower_bound_it_is_the_line_that_touches_there():
    slope = 1 / 110**2 - 1 / 10**2
    found = cost(make(), 0.0, 1.0, 9.0).tolist()
    assert found == pytest.approx([35 * (g(10) + slope * (a - 10)) for a in (0.0, 1.0, 9.0)], rel=1e-12)


def test_it_falls_until_the_upper_bound_and_rises_beyond_in_a_convex_curve():
    lengths = torch.linspace(0, 200, 401, dtype=torch.float64)
    values = cost(make(), *lengths.tolist())
    assert lengths[values.argmin()] == 110
    assert values.min().item() == pytest.approx(35 * 2 / 110)
    assert (values.diff().diff() > -1e-12).all()


def slopes(term, *lengths):
    """Derivative by the norm."""
    embedding = embeddings(*lengths).requires_grad_()
    term(embedding, torch.zeros(len(lengths), dtype=torch.long)).sum().backward()
    return (embedding.grad * torch.nn.functional.normalize(embedding.detach())).sum(1).tolist()


def test_every_norm_but_zero_has_its_pull():
    found = slopes(make(), 0.0, 3.0, 10.0, 50.0, 110.0, 200.0)
    pull = 35 * (1 / 110**2 - 1 / 10**2)
    beyond = [35 * (1 / 110**2 - 1 / a**2) for a in (50.0, 110.0, 200.0)]
    assert found == pytest.approx([0.0, pull, pull, *beyond], abs=1e-12)


def test_above_22_6_the_pull_at_the_lower_bound_beats_the_heads_strongest_push():
    """A target's score falls with the norm by at most s (0.8 - 0.45) / 100, at s = 64."""
    push = 64 * 0.35 / 100
    least = push * 10**2 * 110**2 / (110**2 - 10**2)
    assert least == pytest.approx(22.6, abs=0.05)
    assert (
        push + slopes(make(weight=1.01 * least), 10.0)[0]
        < 0
        < push + slopes(make(weight=0.99 * least), 10.0)[0]
    )


def test_gradients_pass_gradcheck():
    embedding = embeddings(2.0, 30.0, 150.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: make()(x, torch.zeros(3, dtype=torch.long)), embedding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_finite_at_zero_and_far_out(dtype):
    embedding = embeddings(0.0, 1e-30, 1e6, dtype=dtype).requires_grad_()
    values = make()(embedding, torch.zeros(3, dtype=torch.long))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(embedding.grad).all()


def test_samples_stand_alone_whatever_their_class_and_inputs_are_left_alone():
    embedding, target = embeddings(3.0, 20.0, 150.0), torch.tensor([0, 1, 2])
    before, order = embedding.clone(), torch.tensor([2, 0, 1])
    values = make()(embedding, target)
    assert values.shape == (3,)
    assert torch.equal(make()(embedding[order], target), values[order])
    assert torch.equal(embedding, before)
    assert (make(weight=0.0)(embedding, target) == 0).all()


def test_it_keeps_no_state():
    assert make().state_dict() == {}
    assert math.isfinite(cost(make().train(), 20.0).item())


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"weight": -1.0}, "norm_weight=-1.0: must be a number >= 0"),
        ({"lower": 0.0}, "norm_lower=0.0: must be a number > 0"),
        ({"upper": 9.0}, "norm_upper=9.0: must be a number > 10"),
    ],
)
def test_a_bad_knob_is_named_with_its_value(knobs, line):
    with pytest.raises(ValueError, match=line):
        make(**knobs)
