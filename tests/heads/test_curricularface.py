"""CurricularFace against its formula, one sample at a time."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from lossbench.heads import CosineHead, CurricularFaceHead
from lossbench.margins import additive_angle
from tests.heads import contract


def make(classes=contract.CLASSES, m=0.5, s=8.0):
    torch.manual_seed(0)
    return CurricularFaceHead(8, classes, margin=partial(additive_angle, m=m), s=s).double()


def with_t(t, **knobs):
    head = make(**knobs)
    head.t.fill_(t)
    return head.eval()


def oracle(row, y, *, t, m=0.5, s=8.0):
    angle = math.acos(row[y])
    own = math.cos(angle + m) if angle + m <= math.pi else row[y] - m * math.sin(m)
    rivals = [c * (t + c) if c > own else c for c in row]
    return [s * (own if j == y else c) for j, c in enumerate(rivals)]


@pytest.mark.parametrize("t", [0.0, 0.3, 0.9])
def test_scores_follow_the_formula_one_sample_at_a_time(t):
    head, (embedding, target) = with_t(t), contract.draw()
    found = head(embedding, target).tolist()
    for row, y, scores in zip(contract.cosines(head, embedding), target.tolist(), found, strict=True):
        assert scores == pytest.approx(oracle(row, y, t=t), abs=1e-9)


def test_t_follows_the_mean_target_cosine_before_each_batch_is_scored():
    head, (embedding, target) = make(), contract.draw()
    t = 0.0
    for x, y in ((embedding, target), (2 * embedding[:4], target[:4])):
        rows = contract.cosines(head, x)
        own = [row[j] for row, j in zip(rows, y.tolist(), strict=True)]
        t = 0.99 * t + 0.01 * sum(own) / len(own)
        for row, j, scores in zip(rows, y.tolist(), head(x, y).tolist(), strict=True):
            assert scores == pytest.approx(oracle(row, j, t=t), abs=1e-9)
    assert head.t.item() == pytest.approx(t, abs=1e-12)


def test_without_hard_rivals_it_is_arcface():
    head = with_t(0.4, m=0.2)
    arcface = CosineHead(8, 5, margin=partial(additive_angle, m=0.2), s=8.0).double()
    with torch.no_grad():
        head.weight.copy_(torch.eye(8, dtype=torch.float64)[:5])
        arcface.weight.copy_(head.weight)
    embedding = head.weight.detach() + 0.1
    assert torch.allclose(head(embedding, torch.arange(5)), arcface(embedding, torch.arange(5)))


def test_a_hard_rival_has_slope_t_plus_twice_its_cosine_and_an_easy_one_slope_one():
    head = with_t(0.3)
    cosine = torch.tensor([[0.5, 0.4, -0.9]], dtype=torch.float64, requires_grad=True)
    head.margined(cosine, torch.tensor([0]), torch.ones(1, 1))[0, 1:].sum().backward()
    assert cosine.grad.tolist() == [[0.0, pytest.approx(0.3 + 2 * 0.4), 1.0]]


def test_past_pi_minus_m_rivals_are_held_against_the_targets_own_lower_value():
    """cos(pi + 0.5) = -0.878 is above the rival, the target's value -1 - 0.5 sin 0.5 = -1.24 is below."""
    row = torch.tensor([[-1.0, -0.95]], dtype=torch.float64)
    changed = with_t(0.1).margined(row, torch.tensor([0]), torch.ones(1, 1))
    assert changed.tolist() == [[pytest.approx(-1 - 0.5 * math.sin(0.5)), pytest.approx(-0.95 * -0.85)]]


def test_gradients_are_exact_through_the_whole_head():
    contract.assert_gradients_are_those_of_the_values(with_t(0.3), *contract.draw())


def test_values_and_gradients_are_finite_at_the_edges():
    contract.assert_finite_at_the_edges(make, length=1.0)


def test_samples_stand_alone_and_inputs_are_left_alone():
    contract.assert_samples_stand_alone(with_t(0.3), *contract.draw())


def test_t_moves_in_training_alone_and_is_part_of_the_state():
    head = make()
    assert "t" in head.state_dict()
    contract.assert_state_moves_in_training_alone(head, *contract.draw())


def test_bad_knobs_are_named_with_their_values():
    with pytest.raises(ValueError, match="s=0: must be a number > 0"):
        make(s=0)
    with pytest.raises(ValueError, match=r"m=28.6: must be a number in \[0, 1.5708\)"):
        make(m=28.6)(*contract.draw())
