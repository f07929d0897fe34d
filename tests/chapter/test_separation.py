"""Linear programmes against cases whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from lossbench.chapter.separation import (
    best_line,
    hulls_meet,
    most_right,
    separable,
    wins_somewhere,
)

SQUARE = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])


@pytest.mark.parametrize(
    ("labels", "answer"),
    [([0, 0, 0, 1], True), ([0, 1, 1, 1], True), ([0, 1, 1, 0], False), ([0, 0, 1, 1], True)],
)
def test_gates_are_separable_except_xor(labels, answer):
    assert separable(SQUARE, torch.tensor(labels)) is answer
    assert hulls_meet(SQUARE, torch.tensor(labels)) is not answer


def test_all_of_one_class_are_separable_from_nothing():
    assert separable(SQUARE, torch.zeros(4, dtype=torch.long))


def test_without_a_bias_points_on_one_ray_are_not_separable_and_opposite_ones_are():
    ray, both = torch.tensor([[1.0, 1], [2, 2]]), torch.tensor([[1.0, 1], [-2, -2]])
    target = torch.tensor([1, 0])
    assert not separable(ray, target, bias=False)
    assert separable(ray, target)
    assert separable(both, target, bias=False)


def test_the_scale_of_the_points_does_not_matter():
    for scale in (1e-3, 1.0, 1e3):
        assert separable(scale * SQUARE, torch.tensor([0, 0, 0, 1]))
        assert not separable(scale * SQUARE, torch.tensor([0, 1, 1, 0]))


def test_the_same_point_in_both_classes_is_not_separable():
    points, target = torch.tensor([[1.0, 2], [1, 2]]), torch.tensor([0, 1])
    assert not separable(points, target)
    assert hulls_meet(points, target)


def test_separable_and_meeting_hulls_exclude_each_other_on_random_points():
    torch.manual_seed(1)
    for _ in range(30):
        points, target = torch.randn(8, 2), torch.arange(8) % 2
        assert separable(points, target) is not hulls_meet(points, target)


def test_most_right_of_xor_is_three_of_four():
    assert most_right(SQUARE, torch.tensor([0, 1, 1, 0])) == 0.75
    assert most_right(SQUARE, torch.tensor([0, 1, 1, 1])) == 1.0


def test_the_best_line_agrees_with_trying_every_labelling():
    torch.manual_seed(2)
    for _ in range(5):
        points, target = torch.randn(7, 2), torch.randint(2, (7,))
        assert math.isclose(best_line(points, target, 2000), most_right(points, target))


def test_a_class_below_the_others_wins_nowhere():
    weight = torch.tensor([[1.0, 0], [-1, 0], [0, 0]], dtype=torch.float64)
    assert [wins_somewhere(weight, torch.tensor([0.0, 0, -1]).double(), k) for k in range(3)] == [1, 1, 0]
    assert wins_somewhere(weight, torch.tensor([0.0, 0, 1]).double(), 2)
