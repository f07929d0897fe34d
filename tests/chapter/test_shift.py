"""Calibration under shift: the claim, and that a shift that is none shows nothing."""

from __future__ import annotations

from lossbench.chapter import shift
from lossbench.chapter.claim import examine
from lossbench.chapter.orderings import NOT_RESOLVED
from tests.chapter.checking import comes_out, every_claim


@every_claim(shift, slow=["C-AM-lim-shift"])
def test_claims_come_out(claim):
    comes_out(claim)


def test_pictures_that_stay_as_they_are_lose_nothing(monkeypatch):
    monkeypatch.setattr(shift, "SHIFTS", {"none": lambda images, seed: images})
    monkeypatch.setattr(shift, "SEEDS", range(3))
    found = examine(shift.calibration_under_shift)
    assert found.work.measured[3].startswith("+0, ")
    assert found.work.failed
    assert found.verdict == "not reproduced here"


def test_a_temperature_that_is_never_fitted_mends_nothing(monkeypatch):
    monkeypatch.setattr(shift, "fit_temperature", lambda scores, target: 1.0)
    monkeypatch.setattr(shift, "SEEDS", range(3))
    found = examine(shift.calibration_under_shift)
    mended = [step for step in found.work.steps if "takes from it" in step and "Holm" in step]
    assert len(mended) == 3
    assert all(step.endswith(NOT_RESOLVED) for step in mended)


def test_the_last_temperature_is_fitted_on_shifted_pictures():
    _, _, unshifted, shifted = shift._errors("am-0.35", 0)[list(shift.SHIFTS).index("moved by a pixel")]
    assert shifted < unshifted / 2
