"""L-Softmax against its formula, one sample at a time."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from lossbench.heads import LargeMarginHead, LinearHead
from lossbench.losses import cross_entropy_loss
from lossbench.margins import multiplicative_angle
from tests.losses.cases import multiplicative_angle as psi


def l_softmax(m, lam=0.0):
    torch.manual_seed(0)
    return LargeMarginHead(8, 5, margin=partial(multiplicative_angle, m=m, lam=lam)).double()


def draw(n=6, d=8):
    generator = torch.Generator().manual_seed(3)
    embedding = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return embedding, torch.randint(5, (n,), generator=generator)


@pytest.mark.parametrize(("m", "lam"), [(2, 0.0), (3, 0.0), (4, 5.0)])
def test_scores_follow_the_formula_one_sample_at_a_time(m, lam):
    head, (embedding, target) = l_softmax(m, lam), draw()
    weight = head.weight.detach().numpy()
    for x, y, scores in zip(embedding.numpy(), target.tolist(), head(embedding, target), strict=True):
        lengths = [math.sqrt(x @ x) * math.sqrt(w @ w) for w in weight]
        cosines = [float(x @ w) / length for w, length in zip(weight, lengths, strict=True)]
        changed = psi(cosines, y, m=m, lam=lam)
        expected = [length * c for length, c in zip(lengths, changed, strict=True)]
        assert scores.tolist() == pytest.approx(expected, rel=1e-9)
    assert np.allclose(head(embedding).detach().numpy(), embedding.numpy() @ weight.T, atol=1e-12)


def test_multiplying_the_angle_by_one_is_softmax():
    """L(m=1) is a linear head without bias."""
    head, (embedding, target) = l_softmax(1), draw()
    linear = LinearHead(8, 5, bias=False).double()
    linear.load_state_dict(head.state_dict())
    assert torch.allclose(head(embedding, target), linear(embedding, target), atol=1e-12)


def test_gradients_pass_gradcheck_through_the_whole_head():
    head, (embedding, target) = l_softmax(3, 1.0), draw()

    def loss(x, weight):
        scores = torch.func.functional_call(head, {"weight": weight}, (x, target))
        return cross_entropy_loss(scores, target, tau=1.0)

    weight = torch.randn_like(head.weight, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (embedding.requires_grad_(), weight))


@pytest.mark.parametrize("direction", [1.0, -1.0, 0.0])
def test_values_and_gradients_are_finite_on_a_prototype_opposite_to_it_and_at_zero(direction):
    head = l_softmax(4).float()
    embedding = (direction * head.weight[2:3].detach()).requires_grad_()
    loss = cross_entropy_loss(head(embedding, torch.tensor([2])), torch.tensor([2]), tau=1.0)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(embedding.grad).all()
    assert torch.isfinite(head.weight.grad).all()
