"""LDAM: the margin of each class by the formula."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from lossbench.heads import CosineHead, LDAMHead
from lossbench.losses import cross_entropy_loss
from lossbench.margins import additive_cosine
from tests.heads import contract

COUNTS = (160, 10, 40, 10, 1000)
entropy_loss = partial(cross_entropy_loss, tau=1.0)


def make(counts=COUNTS, *, m=0.5, s=8.0):
    torch.manual_seed(0)
    return LDAMHead(8, len(counts), counts, m=m, s=s).double()


def test_scores_equal_the_oracle_one_sample_at_a_time():
    head, (embedding, target) = make(), contract.draw()
    weight = head.weight.detach().numpy()
    for x, y, scores in zip(
        embedding.numpy(), target.tolist(), head(embedding, target).tolist(), strict=True
    ):
        cosines = [float(x @ w / np.sqrt((x @ x) * (w @ w))) for w in weight]
        cosines[y] -= 0.5 * (10 / COUNTS[y]) ** 0.25
        assert scores == pytest.approx([8 * c for c in cosines], abs=1e-9)


def test_the_rarest_classes_have_the_margin_m_and_sixteen_times_as_many_images_half_of_it():
    head, (embedding, _) = make(), contract.draw()
    for y, margin in ((1, 0.5), (3, 0.5), (0, 0.25), (2, 0.5 / math.sqrt(2))):
        target = torch.full((7,), y)
        difference = (head(embedding) - head(embedding, target))[:, y]
        assert difference.tolist() == pytest.approx([8 * margin] * 7)


def test_equal_counts_are_am_softmax():
    head, (embedding, target) = make([7] * 5), contract.draw()
    plain = CosineHead(8, 5, partial(additive_cosine, m=0.5), s=8.0).double()
    plain.weight.data.copy_(head.weight.data)
    assert torch.allclose(head(embedding, target), plain(embedding, target))
    assert torch.allclose(head(embedding), plain(embedding))


def test_gradients_pass_gradcheck_through_the_whole_head():
    contract.assert_gradients_are_those_of_the_values(make(), *contract.draw())


def test_values_and_gradients_are_finite_at_the_edges_and_for_one_class():
    contract.assert_finite_at_the_edges(lambda classes: make([7] * classes), length=1.0)


def test_float32_agrees_with_float64():
    head, (embedding, target) = make(), contract.draw()
    single = make().float()(embedding.float(), target)
    assert torch.allclose(single.double(), head(embedding, target), atol=1e-5)


def test_samples_do_not_see_each_other_and_are_left_alone():
    contract.assert_samples_stand_alone(make(), *contract.draw())


def test_untrained_scores_carry_the_classes_margins():
    head, (embedding, target) = make(), contract.draw()
    assert torch.equal(head.untrained_scores(head.cosine(embedding), target), head(embedding, target))


def test_counts_are_copied_and_survive_a_state_dict():
    given = torch.tensor(COUNTS)
    head = make(given)
    given.zero_()
    assert head.counts.tolist() == list(COUNTS)
    other = make([1] * 5)
    other.load_state_dict(head.state_dict())
    assert other.counts.tolist() == list(COUNTS)


def test_a_class_without_images_is_refused_in_one_line():
    with pytest.raises(
        ValueError, match=r"counts: must be >= 1, but classes \[1, 4\] have no training images"
    ) as found:
        make([3, 0, 5, 1, 0])
    assert len(str(found.value).splitlines()) == 1


def test_counts_of_other_classes_are_refused():
    with pytest.raises(ValueError, match=r"counts: must be 5, one per class, got shape \(4,\)"):
        LDAMHead(8, 5, [1, 2, 3, 4], m=0.5, s=30.0)


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"m": 1.0}, r"m=1.0: must be a number in \[0, 1\)"),
        ({"m": -0.1}, r"m=-0.1: must be a number in \[0, 1\)"),
        ({"s": 0}, "s=0: must be a number > 0"),
    ],
)
def test_a_bad_knob_is_named_with_its_value(knobs, line):
    with pytest.raises(ValueError, match=line):
        make(**knobs)
