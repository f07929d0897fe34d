"""Claims on what temperatures are changed for, and that other outcomes are told of."""

from __future__ import annotations

import torch

from lossbench.chapter import temperature_uses
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(temperature_uses, slow=["C-3.6.3-distill", "C-3.6.3-nce"])
def test_claims_come_out(claim):
    comes_out(claim)


def test_a_temperature_that_is_not_fitted_is_caught(monkeypatch):
    monkeypatch.setattr(temperature_uses, "fit_temperature", lambda scores, target: 0.5)
    fails(temperature_uses.calibrated)


def test_students_that_learn_nothing_from_the_teacher_are_told_of(monkeypatch):
    def without_teacher(scores, target, teacher, *, temperature, soft_weight):
        return torch.nn.functional.cross_entropy(scores, target, reduction="none")

    monkeypatch.setattr(temperature_uses, "distillation_loss", without_teacher)
    fails(temperature_uses.distillation)


def test_embeddings_that_do_not_depend_on_tau_are_told_of(monkeypatch):
    monkeypatch.setattr(temperature_uses, "_embedded", lambda tau, rate: [-2.0, 0.5, 90.0])
    assert len(fails(temperature_uses.contrastive)) == 3


def test_an_info_nce_of_another_temperature_is_caught(monkeypatch):
    loss = temperature_uses.info_nce_loss
    monkeypatch.setattr(temperature_uses, "info_nce_loss", lambda x, y, *, tau: loss(x, y, tau=2 * tau))
    monkeypatch.setattr(temperature_uses, "_embedded", lambda tau, rate: [-2.0, 0.5, 90.0])
    assert any("share of the nearest" in told for told in fails(temperature_uses.contrastive))
