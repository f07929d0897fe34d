"""SphereFace2, type C, by the paper's formula, and where its bias starts."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from lossbench.heads import SphereFace2Head
from lossbench.losses import one_vs_all_loss
from tests.heads import contract

published = partial(one_vs_all_loss, positive=0.7 * 50 / 40, negative=0.3 * 50 / 40)


def make(classes=5, *, m=0.4, s=40.0, t=3.0):
    torch.manual_seed(0)
    return SphereFace2Head(8, classes, m=m, s=s, t=t).double()


def draw(n=9, classes=5):
    generator = torch.Generator().manual_seed(1)
    embedding = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    return embedding, torch.randint(classes, (n,), generator=generator)


def cosines(head, x):
    return [float(x @ w / np.sqrt((x @ x) * (w @ w))) for w in head.weight.detach().numpy()]


def stretched(cosine, t):
    return 2 * ((cosine + 1) / 2) ** t - 1


def oracle(head, x, y, *, m, r, t, lam, lw):
    """The reference's loss of one sample: lw C / r times a mean over the classes."""
    b, terms = head.bias.item(), []
    for j, c in enumerate(cosines(head, x)):
        logit = r * (stretched(c, t) + (-m if j == y else m)) + b
        sign, weight = (-1, lam) if j == y else (1, 1 - lam)
        terms.append(weight * math.log1p(math.exp(sign * logit)))
    return lw * len(terms) / r * (sum(terms) / len(terms))


@pytest.mark.parametrize("t", [3.0, 1.0, 2.5])
def test_with_the_one_vs_all_loss_it_equals_the_papers_formula_one_sample_at_a_time(t):
    head, (embedding, target) = make(t=t), draw()
    losses = published(head(embedding, target), target).tolist()
    for x, y, loss in zip(embedding.numpy(), target.tolist(), losses, strict=True):
        assert loss == pytest.approx(oracle(head, x, y, m=0.4, r=40.0, t=t, lam=0.7, lw=50.0), rel=1e-9)


def test_plain_scores_carry_no_margin():
    head, (embedding, target) = make(), draw()
    expected = [
        [40 * stretched(c, 3) + head.bias.item() for c in cosines(head, x)] for x in embedding.numpy()
    ]
    assert np.allclose(head(embedding).detach().numpy(), expected, rtol=1e-12)
    shift = torch.full((9, 5), 16.0, dtype=torch.float64).scatter(1, target[:, None], -16.0)
    assert torch.allclose(head(embedding, target) - head(embedding), shift)


def test_the_exponent_one_without_a_margin_is_the_scaled_cosine_and_the_bias():
    head, (embedding, target) = make(m=0.0, t=1.0), draw()
    expected = 40 * head.cosine(embedding) + head.bias
    assert torch.allclose(head(embedding, target), expected)
    assert torch.allclose(head(embedding), expected)


def test_untrained_scores_are_the_training_scores_of_those_cosines():
    head, (embedding, target) = make(), draw()
    assert torch.equal(head.untrained_scores(head.cosine(embedding), target), head(embedding, target))


@pytest.mark.parametrize("classes", [2, 3, 10, 10_000])
@pytest.mark.parametrize("knobs", [{}, {"m": 0.0}, {"s": 4.0, "m": 0.1, "t": 1.0}])
def test_the_bias_starts_where_the_untrained_loss_at_right_angles_is_least(classes, knobs):
    head = make(classes, **knobs)
    scores = head.untrained_scores(torch.zeros(1, classes, dtype=torch.float64), torch.tensor([0]))
    loss = one_vs_all_loss(scores, torch.tensor([0]), positive=1.0, negative=1.0).sum()
    (slope,) = torch.autograd.grad(loss, head.bias)
    assert head.bias.ndim == 0
    assert slope.item() == pytest.approx(0, abs=1e-5)  # the bias is a float32 number


def test_the_bias_starts_as_in_the_reference_code_where_both_sides_weigh_the_same():
    """b = log 2z - a_i - log(1 - z + sqrt((1 - z)^2 + 4z exp(a_y - a_i))) with z = 1 / (C - 1)."""
    z, own, other = 1 / 9999, 40 * (-0.75 - 0.4), 40 * (-0.75 + 0.4)
    root = math.sqrt((1 - z) ** 2 + 4 * z * math.exp(own - other))
    assert make(10_000).bias.item() == pytest.approx(
        math.log(2 * z) - other - math.log(1 - z + root), rel=1e-6
    )


def test_one_class_and_a_huge_scale_start_with_a_finite_bias():
    for head in (make(1), make(1000, s=1e4)):
        assert torch.isfinite(head.bias)
    embedding, target = draw(classes=1)
    assert torch.isfinite(published(make(1)(embedding, target), target)).all()


@pytest.mark.parametrize("t", [3.0, 1.0, 1.5])
def test_gradients_pass_gradcheck_through_the_whole_head_the_bias_too(t):
    head, (embedding, target) = make(s=4.0, t=t), draw()

    def loss(x, weight, bias):
        return published(
            torch.func.functional_call(head, {"weight": weight, "bias": bias}, (x, target)), target
        )

    leaves = [leaf.detach().clone().requires_grad_() for leaf in (embedding, head.weight, head.bias)]
    assert torch.autograd.gradcheck(loss, leaves)


@pytest.mark.parametrize("t", [3.0, 1.0, 1.5])
@pytest.mark.parametrize("row", [1.0, -1.0, 0.0])
def test_values_and_gradients_are_finite_in_float32_on_a_prototype_opposite_to_it_and_at_zero(row, t):
    head = make(t=t).float()
    embedding = (row * head.weight[2:3].detach()).requires_grad_()
    values = published(head(embedding, torch.tensor([2])), torch.tensor([2]))
    values.sum().backward()
    for found in (values, embedding.grad, head.weight.grad, head.bias.grad):
        assert found.dtype == torch.float32
        assert torch.isfinite(found).all()


def test_cosines_that_rounding_took_past_one_are_no_trouble():
    head = make(t=2.5)
    cosine = torch.tensor([[-1.0000002, 1.0000002, 0, 0, 0]], dtype=torch.float64, requires_grad=True)
    head.untrained_scores(cosine, torch.tensor([0])).sum().backward()
    assert torch.isfinite(cosine.grad).all()


def test_the_gradient_on_the_cosine_is_the_exact_one():
    head = make()
    cosine = torch.tensor([[0.0, 0.5, 1.0, -1.0, -0.5]], dtype=torch.float64, requires_grad=True)
    head.untrained_scores(cosine, torch.tensor([0])).sum().backward()
    expected = [40 * 3 * ((c + 1) / 2) ** 2 for c in (0.0, 0.5, 1.0, -1.0, -0.5)]
    assert cosine.grad[0].tolist() == pytest.approx(expected)


def test_float32_agrees_with_float64():
    embedding, target = draw()
    single = make().float()(embedding.float(), target)
    assert torch.allclose(single.double(), make()(embedding, target), atol=1e-4)


def test_samples_do_not_see_each_other_and_are_left_alone():
    contract.assert_samples_stand_alone(make(), *contract.draw())


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"t": 0.5}, "t=0.5: must be a number >= 1; below 1 the slope"),
        ({"m": 1.0}, r"m=1.0: must be a number in \[0, 1\)"),
        ({"m": -0.1}, r"m=-0.1: must be a number in \[0, 1\)"),
        ({"s": 0.0}, "s=0.0: must be a number > 0"),
        ({"s": None}, "s=None: must be a number > 0"),
        ({"m": "abc"}, r"m=abc: must be a number in \[0, 1\)"),
    ],
)
def test_a_bad_knob_is_named_with_its_value(knobs, line):
    with pytest.raises(ValueError, match=line):
        make(**knobs)
