import numpy as np
import pytest
import torch

from lossbench.functional import calibration, log_confidence, target_rank
from lossbench.functional import classification as module


def test_the_rank_of_the_target_counts_ties_against_it():
    scores = torch.tensor([[3.0, 1, 2], [2, 2, 1], [0, 0, 0]])
    assert target_rank(scores, torch.tensor([2, 0, 1])).tolist() == [2, 2, 3]


def test_log_confidence_is_log_softmax_in_float64_whatever_the_chunks(monkeypatch):
    scores, target = torch.randn(50, 7) * 30, torch.randint(7, (50,))
    expected = (scores.double() / 0.5).log_softmax(dim=1)
    for cells in (1, 21, 2**22):
        monkeypatch.setattr(module, "_CELLS", cells)
        own, best = log_confidence(scores, target, tau=0.5)
        assert torch.allclose(own, expected.gather(1, target[:, None])[:, 0], rtol=1e-12)
        assert torch.allclose(best, expected.amax(1), rtol=1e-12, atol=1e-14)


def test_bins_hold_their_upper_limit_and_every_sample_once():
    confidence = torch.tensor([0.25, 0.5, 0.5000001, 1.0, 1e-9], dtype=torch.float64)
    result = calibration(confidence, torch.ones(5, dtype=torch.bool), bins=4)
    assert result.samples.tolist() == [2, 1, 1, 1]
    assert np.isclose(result.ece, (1 - confidence).mean())


def test_an_empty_bin_has_no_mean_and_no_weight():
    result = calibration(torch.tensor([0.9, 0.9]), torch.tensor([True, False]), bins=2)
    assert result.accuracy.isnan().tolist() == [True, False]
    assert result.ece == pytest.approx(0.4)


def test_temperature_and_bins_out_of_range_are_refused():
    with pytest.raises(ValueError, match="tau=0"):
        log_confidence(torch.ones(1, 2), torch.tensor([0]), tau=0)
    with pytest.raises(ValueError, match="bins=0"):
        calibration(torch.ones(1), torch.ones(1, dtype=torch.bool), bins=0)
