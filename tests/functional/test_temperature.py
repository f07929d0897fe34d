"""The fitted temperature against a general minimiser."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from lossbench.functional import fit_temperature, log_confidence


def draw(sharpness, n=400, c=6):
    """Scores whose targets are drawn from softmax(scores / sharpness)."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(n, c, generator=generator, dtype=torch.float64) * 5
    return scores, torch.multinomial((scores / sharpness).softmax(1), 1, generator=generator)[:, 0]


def nll(scores, target, tau):
    return -float(log_confidence(scores, target, tau=tau)[0].mean())


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 4.0, 50.0])
def test_the_fit_is_the_minimum_of_the_negative_log_likelihood(sharpness):
    scores, target = draw(sharpness)
    found = fit_temperature(scores, target)
    best = minimize_scalar(
        lambda log_tau: nll(scores, target, math.exp(log_tau)), bounds=(-8, 8), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    assert found == pytest.approx(math.exp(best.x), rel=1e-4)
    assert nll(scores, target, found) <= best.fun + 1e-12
    assert found == pytest.approx(sharpness, rel=0.5)


def test_scores_a_thousand_times_larger_have_a_temperature_a_thousand_times_higher():
    scores, target = draw(1.0)
    assert fit_temperature(scores * 1e3, target) == pytest.approx(fit_temperature(scores, target) * 1e3)
    assert fit_temperature(scores + 1e4, target) == pytest.approx(fit_temperature(scores, target), rel=1e-6)


def test_c_3_6_3_calib_scaling_lowers_the_loss_of_an_overconfident_model_and_changes_no_decision():
    scores, target = draw(4.0)
    tau = fit_temperature(scores, target)
    assert nll(scores, target, tau) < nll(scores, target, 1.0)
    assert torch.equal((scores / tau).argmax(1), scores.argmax(1))


def test_there_is_no_best_temperature_when_every_target_is_first_or_scores_say_nothing():
    scores = torch.eye(4)
    assert fit_temperature(scores, torch.arange(4)) is None
    assert fit_temperature(torch.zeros(4, 4), torch.arange(4)) is None
    assert fit_temperature(-scores, torch.arange(4)) is None
