"""Center loss against its own update rule, one class at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lossbench.regularizers import CenterLoss


def draw(n=12, d=3, classes=4):
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return embedding, torch.randint(classes - 1, (n,), generator=generator)  # the last class stays away


def center(weight=0.01, alpha=0.5):
    made = CenterLoss(3, 4, weight=weight, alpha=alpha).double()
    made.centers.copy_(torch.randn(4, 3, generator=torch.Generator().manual_seed(1)))
    return made


def test_the_loss_is_half_the_squared_distance_times_the_weight():
    made, (embedding, target) = center().eval(), draw()
    centers = made.centers.numpy()
    expected = [0.005 * sum((x - centers[y]) ** 2) for x, y in zip(embedding.numpy(), target, strict=True)]
    assert made(embedding, target).tolist() == pytest.approx(expected, rel=1e-12)


def test_the_gradient_pulls_towards_the_centre_which_takes_none():
    made, (embedding, target) = center(), draw()
    before = made.centers.clone()
    made(embedding.requires_grad_(), target).sum().backward()
    assert torch.allclose(embedding.grad, 0.01 * (embedding.detach() - before[target]))
    assert not list(made.parameters())


def test_centres_move_by_their_own_rule():
    made, (embedding, target) = center(alpha=0.3), draw()
    expected = made.centers.numpy().copy()
    for _ in range(2):
        moved = expected.copy()
        for j in range(4):
            members = embedding.numpy()[target.numpy() == j]
            moved[j] -= 0.3 * (expected[j] - members).sum(0) / (1 + len(members))
        expected = moved
        made(embedding, target)
    assert np.allclose(made.centers.numpy(), expected, atol=1e-12)


def test_nothing_moves_in_evaluation_or_without_gradients():
    made, (embedding, target) = center(), draw()
    before = made.centers.clone()
    made.eval()(embedding, target)
    with torch.no_grad():
        made.train()(embedding, target)
    assert torch.equal(made.centers, before)


def test_the_centres_are_part_of_the_state():
    made, (embedding, target) = center(), draw()
    made(embedding, target)
    again = center()
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.centers, made.centers)


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"weight": -1, "alpha": 0.5}, "center_weight=-1: must be a number >= 0"),
        ({"weight": 0.1, "alpha": 2}, r"center_alpha=2: must be a number in \[0, 1\]"),
    ],
)
def test_knobs_out_of_range_are_named(knobs, line):
    with pytest.raises(ValueError, match=line):
        CenterLoss(3, 4, **knobs)
