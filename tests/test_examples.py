import doctest
import importlib

import pytest

MODULES = ["functional.roc", "functional.roc_summary", "functional.pairs", "functional.cmc"]
MODULES += ["functional.classification", "metrics.cmc", "metrics.verification_roc"]
MODULES += ["losses.cross_entropy", "losses.focal", "losses.hinge", "losses.label_smoothing", "losses.mse"]
MODULES += ["losses.squared_normalized", "losses.one_vs_all", "validate", "feasibility"]
MODULES += ["margins.angle", "margins.additive_angle", "margins.additive_cosine", "margins.clipped_angle"]
MODULES += ["margins.combined", "margins.multiplicative_angle"]
MODULES += ["functional.thresholds", "functional.open_set", "functional.listed", "functional.pair_tail"]
MODULES += ["functional.bootstrap", "functional.distractors", "functional.templates", "intervals"]
MODULES += ["functional.verification", "functional.pair_numbers", "functional.screening"]
MODULES += ["protocols.lfw", "protocols.blufr_trials", "protocols.megaface"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"lossbench.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
