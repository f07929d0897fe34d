"""Claims on squared error, and that other losses in its place are caught."""

from __future__ import annotations

import pytest

from lossbench.chapter import squared_error
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(squared_error)
def test_claims_come_out(claim):
    comes_out(claim)


def averaged(loss):
    return lambda z, y: loss(z, y) / z.shape[1]


NAMES = ["symmetry", "weak", "whole_sum", "gradients", "coupling", "ignored_coupling"]


@pytest.mark.parametrize("name", NAMES)
def test_a_mean_over_the_classes_instead_of_the_sum_is_caught(monkeypatch, name):
    monkeypatch.setattr(squared_error, "mse_loss", averaged(squared_error.mse_loss))
    fails(getattr(squared_error, name))
