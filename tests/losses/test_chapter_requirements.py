"""What the chapter asks of every loss, by claim. Losses that fail are listed with a reason, and do fail."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from lossbench import losses
from tests.losses.cases import LOSSES

NOT_MONOTONE = {
    "squared_normalized": "blind to signs: a negative target score costs more as it rises to zero",
    "label_smoothing": "by design: past p_y = 1 - smoothing + smoothing/C a higher target score costs more",
}
NOT_CONVEX = {
    "mse": "bounded by 2 and not constant",
    "focal": "its slope overshoots 1 and returns to it",
    "squared_normalized": "it falls on both sides of a target score of zero",
}

rows = pytest.mark.parametrize("case", LOSSES, ids=[f"{case.name}-{case.knobs}" for case in LOSSES])


def loss_of(case):
    return partial(getattr(losses, case.function), **case.knobs)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@rows
def test_c_3_6_1_req_monotone(case):
    """C-3.6.1-req: a higher target score never costs more."""
    own = torch.linspace(-12, 12, 401, dtype=torch.float64)
    rises = []
    for others in 2 * randn(20, 4):
        scores = torch.cat([own[:, None], others.expand(401, 4)], 1)
        rises.append(loss_of(case)(scores, torch.zeros(401, dtype=torch.long)).diff().max().item())
    if case.name in NOT_MONOTONE:
        assert max(rises) > 1e-3, NOT_MONOTONE[case.name]
    else:
        assert max(rises) <= 1e-12


@rows
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_c_3_6_1_req_finite(case, dtype):
    """C-3.6.1-req: value and gradient are finite on every corner of [-1e4, 1e4]^4 and between."""
    scores = torch.tensor(list(product([-1e4, 0.0, 1e4], repeat=4)), dtype=dtype).requires_grad_()
    values = loss_of(case)(scores, torch.zeros(81, dtype=torch.long))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(scores.grad).all()


def test_c_3_6_1_req_squared_normalized_is_finite_through_eps_alone():
    """C-3.6.1-req: without eps the value has no bound at z_y = 0 and none is defined at all zeros."""
    target = torch.tensor([0])
    scores = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    for eps in (1e-6, 1e-12, 1e-300):
        value = losses.squared_normalized_loss(scores, target, eps=eps)
        assert value.item() == pytest.approx(-torch.tensor(eps, dtype=torch.float64).log().item(), abs=1e-5)
    assert losses.squared_normalized_loss(1e4 * scores, target, eps=1e-305).isinf()
    squares = torch.zeros(1, 2).square()
    assert (squares / squares.sum(1)).isnan().all()


@rows
def test_c_3_6_1_req_differentiable_and_x_13(case):
    """C-3.6.1-req, X-13: a gradient lies between the one-sided differences, at kinks and at random points."""
    kinks = torch.tensor([[10.0, 9, 9], [0, 0, 0], [1, 1, 0], [-2, -1, -3]], dtype=torch.float64)
    scores = torch.cat([kinks, 2 * randn(8, 3)]).requires_grad_()
    target = torch.zeros(len(scores), dtype=torch.long)
    loss = loss_of(case)
    loss(scores, target).sum().backward()
    with torch.no_grad():
        value = loss(scores, target)
        for j, step in enumerate(1e-6 * torch.eye(3, dtype=torch.float64)):
            right = (loss(scores + step, target) - value) / 1e-6
            left = (value - loss(scores - step, target)) / 1e-6
            assert (scores.grad[:, j] >= torch.minimum(left, right) - 1e-5).all()
            assert (scores.grad[:, j] <= torch.maximum(left, right) + 1e-5).all()


def convexity_gap(cost, n=400):
    """Largest excess of a midpoint's cost over the mean of its ends; a convex cost has none."""
    ends = 3 * randn(2, n, 3, 4, seed=1)
    return (cost(ends.mean(0)) - (cost(ends[0]) + cost(ends[1])) / 2).max().item()


@rows
def test_c_3_6_2_prop(case):
    """C-3.6.2-prop: convex in the weights of a linear head, or listed; under a cosine head none is."""
    x, target = randn(4), torch.zeros(400, dtype=torch.long)
    gap = convexity_gap(lambda weight: loss_of(case)(weight @ x, target))
    if case.name in NOT_CONVEX:
        assert gap > 1e-3, NOT_CONVEX[case.name]
    else:
        assert gap <= 1e-9
    assert (
        convexity_gap(lambda w: loss_of(case)(10 * F.normalize(w, dim=2) @ F.normalize(x, dim=0), target))
        > 0.1
    )
