"""Claims on points and hyperplanes, and that wrong geometry is caught."""

from __future__ import annotations

import math

import pytest
import torch

from lossbench.chapter import dimensions, geometry
from lossbench.datasets.toys import Blobs
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(geometry, slow=["C-3.4.2-hard"])
def test_claims_on_hyperplanes_come_out(claim):
    comes_out(claim)


@every_claim(dimensions, slow=["C-3.4.4-highdim"])
def test_claims_on_xor_and_dimensions_come_out(claim):
    comes_out(claim)


def test_regions_that_are_not_convex_are_caught(monkeypatch):
    head = geometry.linear_head
    monkeypatch.setattr(geometry, "linear_head", lambda w, b: lambda x: head(w, b)(x.square() - 0.5))
    assert any("leave their region" in told for told in fails(geometry.regions))


def test_classes_that_a_line_parts_are_caught(monkeypatch):
    blobs = Blobs(classes=2, samples=50, noise=0.1, shift=0.0, seed=0)
    monkeypatch.setattr(geometry, "TOYS", dict.fromkeys(geometry.TOYS, blobs))
    geometry._nets.cache_clear()
    told = fails(geometry.hard_cases)
    geometry._nets.cache_clear()
    assert any("hyperplane exists" in each for each in told)
    assert any("below 80" in each for each in told)


@pytest.mark.parametrize("answer", [False, True])
def test_a_linear_programme_that_always_says_the_same_is_caught(monkeypatch, answer):
    for module in (geometry, dimensions):
        monkeypatch.setattr(module, "separable", lambda points, target: answer)
    fails(geometry.disjoint_modes)
    fails(dimensions.many_dimensions)


def test_the_perceptron_learns_and_and_or_and_comes_back_on_xor():
    for gate in ("and", "or"):
        mistakes, back = dimensions.perceptron(dimensions.GATES[gate])
        assert back is None
        assert mistakes[-1] == 0
    mistakes, back = dimensions.perceptron(dimensions.GATES["xor"])
    assert back is not None
    assert 0 not in mistakes


def test_xor_that_is_learned_is_caught(monkeypatch):
    monkeypatch.setitem(dimensions.GATES, "xor", [0, 1, 1, 1])
    fails(dimensions.xor)


@pytest.mark.parametrize(("points", "size"), [(1, 1), (4, 2), (7, 3), (12, 5)])
def test_the_share_of_separable_labellings_is_covers_sum(points, size):
    count = 2 * sum(math.comb(points - 1, k) for k in range(size + 1))
    assert math.isclose(dimensions.separable_share(points, size), count / 2**points)


def test_quadratic_features_are_the_monomials():
    assert geometry.quadratic(torch.tensor([[2.0, 3.0]])).tolist() == [[2, 3, 4, 6, 9]]
