"""AdaFace against its formula, one sample at a time."""

from __future__ import annotations

import math
import statistics
from functools import partial

import pytest
import torch

from lossbench.heads import AdaFaceHead, CosineHead
from lossbench.losses import cross_entropy_loss
from lossbench.margins import additive_angle, additive_cosine
from tests.heads import contract

KNOBS = {"m": 0.4, "h": 0.333, "alpha": 0.01, "s": 8.0}


def make(classes=contract.CLASSES, **knobs):
    torch.manual_seed(0)
    return AdaFaceHead(8, classes, **{**KNOBS, **knobs}).double()


def with_statistics(mean, std, **knobs):
    head = make(**knobs)
    head.norm_mean.fill_(mean)
    head.norm_std.fill_(std)
    return head.eval()


def held(norm):
    return min(max(norm, 1e-3), 100.0)


def oracle(row, y, norm, *, mean, std, m=0.4, h=0.333, s=8.0):
    k = min(max(h * (held(norm) - mean) / (std + 1e-3), -1.0), 1.0)
    angle = min(max(math.acos(row[y]) - m * k, 0.0), math.pi)
    return [s * (math.cos(angle) - (m + m * k) if j == y else c) for j, c in enumerate(row)]


def norms(embedding):
    return [math.sqrt(sum(a * a for a in x)) for x in embedding.tolist()]


def assert_follows_the_formula(head, scores, embedding, target, **statistics):
    rows = zip(contract.cosines(head, embedding), target.tolist(), norms(embedding), strict=True)
    for (row, y, norm), found in zip(rows, scores.tolist(), strict=True):
        assert found == pytest.approx(oracle(row, y, norm, **statistics), abs=1e-9)


@pytest.mark.parametrize("length", [1e-5, 5.0, 30.0, 500.0])
def test_scores_follow_the_formula_one_sample_at_a_time(length):
    head, (embedding, target) = with_statistics(12.0, 9.0), contract.draw(length=length)
    assert_follows_the_formula(head, head(embedding, target), embedding, target, mean=12.0, std=9.0)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0])
def test_norms_are_followed_before_each_batch_is_scored(alpha):
    head, (embedding, target) = make(alpha=alpha), contract.draw(length=60.0)
    mean, std = 20.0, 100.0
    for x, y in ((embedding, target), (2 * embedding[:4], target[:4])):
        seen = [held(norm) for norm in norms(x)]
        mean = (1 - alpha) * mean + alpha * statistics.mean(seen)
        std = (1 - alpha) * std + alpha * statistics.stdev(seen)
        assert_follows_the_formula(head, head(x, y), x, y, mean=mean, std=std)
    assert head.norm_mean.item() == pytest.approx(mean, rel=1e-12)
    assert head.norm_std.item() == pytest.approx(std, rel=1e-12)


def test_one_sample_alone_leaves_the_deviation_as_it_is():
    head, (embedding, target) = make(alpha=1.0), contract.draw()
    head(embedding[:1], target[:1])
    assert head.norm_mean.item() == pytest.approx(norms(embedding)[0])
    assert head.norm_std.item() == 100.0


def test_norms_equal_to_the_mean_are_am_softmax():
    embedding, target = contract.draw()
    embedding = 20 * torch.nn.functional.normalize(embedding)
    head = make().train()
    am_softmax = CosineHead(8, 5, margin=partial(additive_cosine, m=0.4), s=8.0).double()
    am_softmax.load_state_dict({"weight": head.weight})
    assert torch.allclose(head(embedding, target), am_softmax(embedding, target), rtol=1e-12)
    flat = make(h=0.0)
    assert torch.allclose(flat(7 * embedding, target), am_softmax(embedding, target), rtol=1e-12)


def test_the_shortest_norms_are_arcface_as_far_as_that_falls():
    head, (embedding, target) = with_statistics(90.0, 1.0), contract.draw()
    arcface = CosineHead(8, 5, margin=partial(additive_angle, m=0.4), s=8.0).double()
    arcface.load_state_dict({"weight": head.weight})
    assert torch.allclose(head(embedding, target), arcface(embedding, target), rtol=1e-12)


@pytest.mark.parametrize(("norm", "k"), [(1.0, -1), (90.0, 1)])
def test_the_slope_is_exact_inside_and_one_where_the_angle_is_held(norm, k):
    head = with_statistics(45.0, 1.0)
    angles = torch.linspace(0.05, math.pi - 0.05, 9, dtype=torch.float64)
    cosine = angles.cos()[:, None].requires_grad_()
    zeros = torch.zeros(9, dtype=torch.long)
    head.margined(cosine, zeros, torch.full((9, 1), norm)).sum().backward()
    turned = angles - 0.4 * k
    inside = (turned > 0) & (turned < math.pi)
    assert 0 < inside.sum() < 9
    expected = torch.where(inside, turned.sin() / angles.sin(), 1.0)
    assert torch.allclose(cosine.grad[:, 0], expected)


def test_norms_carry_no_gradient():
    head, (embedding, target) = with_statistics(1.0, 0.5), contract.draw()
    embedding.requires_grad_()
    cross_entropy_loss(head(embedding, target), target, tau=1.0).sum().backward()
    assert (embedding.grad * embedding).sum(1).abs().max() < 1e-12


@pytest.mark.parametrize("mean", [0.0, 90.0])
def test_gradients_are_exact_through_the_whole_head_where_k_is_at_its_ends(mean):
    contract.assert_gradients_are_those_of_the_values(with_statistics(mean, 1e-3), *contract.draw())


def test_values_and_gradients_are_finite_at_the_edges():
    contract.assert_finite_at_the_edges(make, length=1.0)
    contract.assert_finite_at_the_edges(partial(make, alpha=1.0), length=1.0)


def test_samples_stand_alone_and_inputs_are_left_alone():
    contract.assert_samples_stand_alone(with_statistics(1.0, 0.5), *contract.draw())


def test_the_norms_statistics_move_in_training_alone_and_are_part_of_the_state():
    head = make()
    assert {"norm_mean", "norm_std"} <= head.state_dict().keys()
    contract.assert_state_moves_in_training_alone(head, *contract.draw())


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"m": 1.0}, r"m=1.0: must be a number in \[0, 1\)"),
        ({"h": -0.1}, "h=-0.1: must be a number >= 0"),
        ({"alpha": 0.0}, r"alpha=0.0: must be a number in \(0, 1\]"),
        ({"alpha": 1.5}, r"alpha=1.5: must be a number in \(0, 1\]"),
        ({"s": -1.0}, "s=-1.0: must be a number > 0"),
    ],
)
def test_a_bad_knob_is_named_with_its_value(knobs, line):
    with pytest.raises(ValueError, match=line):
        make(**knobs)
