"""Claims on margins and scales that can work, and that wrong bounds are caught."""

from __future__ import annotations

import math

import pytest
import torch

from lossbench.chapter import feasible
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(feasible, slow=["C-AM-bound"])
def test_claims_come_out(claim):
    comes_out(claim)


def test_a_wrong_closed_form_is_caught(monkeypatch):
    monkeypatch.setattr(feasible, "largest_margin", lambda classes, dim: (0.5, True))
    monkeypatch.setattr(feasible, "_widest_gap", lambda classes, dim, starts=12: 0.4)
    fails(feasible.attainable)
    fails(feasible.typical)


@pytest.mark.parametrize(
    ("name", "wrong"), [("loss_floor", lambda classes, s: 1.0), ("least_scale", lambda classes, p: 4.0)]
)
def test_a_wrong_floor_or_scale_is_caught(monkeypatch, name, wrong):
    monkeypatch.setattr(feasible, name, wrong)
    fails(feasible.floor)


@pytest.mark.parametrize(
    ("classes", "dim", "gap"),
    [(4, 3, 4 / 3), (6, 3, 1.0), (5, 2, 1 - math.cos(2 * math.pi / 5)), (12, 3, 0.5528)],
)
def test_optimised_prototypes_reach_the_known_arrangements(classes, dim, gap):
    torch.manual_seed(0)
    assert feasible._widest_gap(classes, dim) == pytest.approx(gap, abs=1e-3)
