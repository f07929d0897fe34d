"""Claims on A-Softmax's angular margin, and that other surrogates are caught by each of them."""

from __future__ import annotations

import math

import pytest
import torch

from lossbench.chapter import angular
from lossbench.margins import multiplicative_angle
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(angular)
def test_claims_come_out(claim):
    comes_out(claim)


def raw_cosine(cosine, target, *, m, lam):
    """cos(m theta) itself, without the pieces that keep it falling."""
    turned = (m * cosine.clamp(-1 + 1e-15, 1 - 1e-15).acos()).cos()
    return (lam * cosine + turned) / (1 + lam)


@every_claim(angular, without=["X-16"])
def test_a_surrogate_that_rises_again_is_caught(monkeypatch, claim):
    monkeypatch.setattr(angular, "multiplicative_angle", raw_cosine)
    fails(claim)


def test_a_blend_the_wrong_way_round_is_caught(monkeypatch):
    def upside_down(cosine, target, *, m, lam):
        pure = multiplicative_angle(cosine, target, m=m, lam=0.0)
        return (cosine + lam * pure) / (1 + lam)

    monkeypatch.setattr(angular, "multiplicative_angle", upside_down)
    fails(angular.surrogate)
    fails(angular.blended)


def test_psi_at_whole_sectors_is_minus_one_times_two_k_plus_one_or_so():
    angles = torch.deg2rad(torch.tensor([0.0, 45, 90, 135, 180], dtype=torch.float64))
    assert angular.psi(angular._margin(4), angles).tolist() == pytest.approx([1, -1, -3, -5, -7])


def test_the_variance_for_uniform_angles_is_that_of_a_sine():
    assert angular._variance(angular._margin(1), 2) == pytest.approx(0.5 - 4 / math.pi**2, abs=1e-6)
