"""Expected initial losses against the chapter's baselines and plain Monte Carlo."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from lossbench.diagnostics import (
    cosine_statistics,
    expected_initial_loss,
    infeasible_margin,
    random_cosines,
)
from lossbench.heads import CosineHead, LinearHead
from lossbench.losses import cross_entropy_loss, hinge_loss
from lossbench.margins import additive_angle, additive_cosine, multiplicative_angle

CE = partial(cross_entropy_loss, tau=1.0)
AM = partial(additive_cosine, m=0.35)


def test_linear_heads_start_at_log_c_and_c_minus_one():
    head = LinearHead(4, 10)
    assert expected_initial_loss(head, CE, dim=4, classes=10).mean == pytest.approx(math.log(10), rel=1e-3)
    hinge = expected_initial_loss(head, partial(hinge_loss, delta=1.0), dim=4, classes=10)
    assert hinge.mean == pytest.approx(9.0, rel=1e-2)


@pytest.mark.parametrize(
    ("classes", "dim", "normface", "amsoftmax"),
    [(10516, 512, 10.14, 20.64), (10, 64, 6.13, 16.42), (10, 512, 3.02, 13.40)],
)
def test_d_init_baselines_of_cosine_heads(classes, dim, normface, amsoftmax):
    """D-init: Monte Carlo at s=30, m=0.35."""
    for margin, expected in ((None, normface), (AM, amsoftmax)):
        head = CosineHead(dim, 1, margin=margin, s=30.0)
        found = expected_initial_loss(head, CE, dim=dim, classes=classes, draws=400, targets=8)
        assert found.mean == pytest.approx(expected, abs=0.25 if classes == 10 else 0.06)


def test_random_cosines_are_distributed_as_drawn_prototypes():
    rng = np.random.default_rng(1)
    drawn = rng.standard_normal((20000, 6))
    drawn = drawn[:, 0] / np.linalg.norm(drawn, axis=1)
    quick = random_cosines(1, 20000, 6, rng)[0].numpy()
    quantiles = np.linspace(0.02, 0.98, 25)
    assert np.quantile(quick, quantiles) == pytest.approx(np.quantile(drawn, quantiles), abs=0.03)


def test_one_dimension_has_cosines_plus_and_minus_one():
    assert set(random_cosines(3, 50, 1, np.random.default_rng(0)).flatten().tolist()) == {-1.0, 1.0}


def test_a_measured_loss_far_from_the_expected_one_does_not_agree():
    expected = expected_initial_loss(LinearHead(4, 10), CE, dim=4, classes=10)
    assert expected.agrees(2.35)
    assert not expected.agrees(9.0)
    assert not expected.agrees(float("nan"))


def test_a_fresh_head_measures_what_is_expected():
    torch.manual_seed(0)
    for head in (LinearHead(64, 100), CosineHead(64, 100, s=30.0), CosineHead(64, 100, margin=AM, s=30.0)):
        embedding, target = torch.randn(512, 64), torch.randint(100, (512,))
        measured = CE(head(embedding, target), target).mean().item()
        assert expected_initial_loss(head, CE, dim=64, classes=100).agrees(measured)


def test_cosine_statistics_by_hand():
    cosine = torch.tensor([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3]])
    target = torch.tensor([0, 1])
    margined = AM(cosine, target)
    found = cosine_statistics(cosine, margined, target)
    assert found["target_cosine"].item() == pytest.approx(0.65)
    assert found["cosine_gap"].item() == pytest.approx((0.7 - 0.1) / 2)
    assert found["margin_satisfied"].item() == 0.5


def test_one_class_has_no_gap():
    one = torch.ones(2, 1)
    assert set(cosine_statistics(one, one, torch.zeros(2, dtype=torch.long))) == {"target_cosine"}


@pytest.mark.parametrize(
    ("margin", "dim", "classes", "short", "bound"),
    [
        (partial(additive_cosine, m=0.35), 2, 10, "0.159", "0.191"),
        (partial(additive_angle, m=0.7), 2, 10, "0.044", "0.191"),
        (partial(additive_cosine, m=0.1), 1, 3, "0.100", "0.000"),
    ],
)
def test_a_margin_that_no_prototypes_can_satisfy_is_told_with_its_bound(margin, dim, classes, short, bound):
    told = infeasible_margin(CosineHead(dim, classes, margin=margin, s=30.0), dim=dim, classes=classes)
    assert f"on its own prototype {short} below another class" in told
    assert f"no further than {bound} apart" in told


@pytest.mark.parametrize(
    ("margin", "dim", "classes"),
    [
        (AM, 512, 10572),
        (partial(additive_angle, m=0.5), 2, 10),  # 0.5 radians of the 0.628 between ten points on a circle
        (partial(multiplicative_angle, m=4, lam=0.0), 2, 10),
        (None, 2, 10),
        (AM, 2, 1),
    ],
)
def test_a_margin_that_can_be_satisfied_is_not_remarked_upon(margin, dim, classes):
    head = CosineHead(dim, classes, margin=margin, s=30.0)
    assert infeasible_margin(head, dim=dim, classes=classes) is None
