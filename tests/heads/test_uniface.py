"""UniFace: one threshold, by the paper's formula."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from lossbench.heads import CosineHead, UniFaceHead
from lossbench.losses import cross_entropy_loss, one_vs_all_loss
from lossbench.margins import additive_cosine
from tests.heads import contract


def make(classes=5, *, m=0.4, s=8.0):
    torch.manual_seed(0)
    head = UniFaceHead(8, classes, partial(additive_cosine, m=m), s=s).double()
    torch.nn.init.constant_(head.bias, math.log(10 * classes))  # to float64's digits
    return head


def oracle(head, x, y, *, m, s, l):  # noqa: E741 the paper's name
    """The paper's loss of one sample."""
    b = head.bias.item()
    cosines = [float(x @ w / np.sqrt((x @ x) * (w @ w))) for w in head.weight.detach().numpy()]
    own = math.log1p(math.exp(-(s * (cosines[y] - m) - b)))
    return own + l * sum(math.log1p(math.exp(s * c - b)) for j, c in enumerate(cosines) if j != y)


@pytest.mark.parametrize("l", [1.0, 0.25])
def test_with_the_one_vs_all_loss_it_equals_the_papers_formula_one_sample_at_a_time(l):  # noqa: E741
    head, (embedding, target) = make(), contract.draw()
    losses = one_vs_all_loss(head(embedding, target), target, positive=1.0, negative=l).tolist()
    for x, y, loss in zip(embedding.numpy(), target.tolist(), losses, strict=True):
        assert loss == pytest.approx(oracle(head, x, y, m=0.4, s=8.0, l=l), rel=1e-9)


def test_scores_are_those_of_am_softmax_less_the_bias():
    head, (embedding, target) = make(), contract.draw()
    plain = CosineHead(8, 5, partial(additive_cosine, m=0.4), s=8.0).double()
    plain.weight.data.copy_(head.weight.data)
    assert torch.allclose(head(embedding), plain(embedding) - head.bias)
    assert torch.allclose(head(embedding, target), plain(embedding, target) - head.bias)
    random = head.cosine(embedding)
    expected = plain.untrained_scores(random, target) - head.bias
    assert torch.equal(head.untrained_scores(random, target), expected)


def test_it_is_not_cross_entropy_without_a_margin_but_under_a_softmax_it_is_am_softmax():
    head, (embedding, target) = make(m=0.0), contract.draw()
    scores = head(embedding, target)
    softmax = cross_entropy_loss(scores, target, tau=1.0)
    assert not torch.allclose(one_vs_all_loss(scores, target, positive=1.0, negative=1.0), softmax, rtol=0.1)
    softmax.sum().backward()
    assert torch.allclose(softmax, cross_entropy_loss(8 * head.cosine(embedding), target, tau=1.0))
    assert head.bias.grad.abs() < 1e-12


@pytest.mark.parametrize("classes", [1, 10, 10_000])
def test_at_right_angles_the_wrong_classes_cost_about_a_tenth_at_first(classes):
    torch.manual_seed(0)
    head = UniFaceHead(8, classes, partial(additive_cosine, m=0.4), s=64.0)
    assert head.bias.ndim == 0
    assert head.bias.item() == pytest.approx(math.log(10 * classes))
    scores = head.untrained_scores(torch.zeros(1, classes), torch.tensor([0]))
    wrong = one_vs_all_loss(scores, torch.tensor([0]), positive=0.0, negative=1.0).item()
    assert wrong == pytest.approx(0.1 * (classes - 1) / classes, abs=5e-3)


def test_gradients_pass_gradcheck_through_the_whole_head_the_bias_too():
    head, (embedding, target) = make(s=4.0), contract.draw()

    def loss(x, weight, bias):
        scores = torch.func.functional_call(head, {"weight": weight, "bias": bias}, (x, target))
        return one_vs_all_loss(scores, target, positive=1.0, negative=0.5)

    leaves = [leaf.detach().clone().requires_grad_() for leaf in (embedding, head.weight, head.bias)]
    assert torch.autograd.gradcheck(loss, leaves)


def test_the_hardest_targets_keep_their_gradient():
    head = make(s=64.0)
    embedding = (-head.weight[2:3].detach()).requires_grad_()
    scores = head(embedding, torch.tensor([2]))
    (slope,) = torch.autograd.grad(
        one_vs_all_loss(scores, torch.tensor([2]), positive=1.0, negative=0.0).sum(), scores
    )
    assert slope[0, 2].item() == pytest.approx(-1.0)


def test_values_and_gradients_are_finite_at_the_edges_and_for_one_class():
    contract.assert_finite_at_the_edges(make, length=1.0)


def test_float32_agrees_with_float64():
    embedding, target = contract.draw()
    single = make().float()(embedding.float(), target)
    assert torch.allclose(single.double(), make()(embedding, target), atol=1e-5)


def test_samples_do_not_see_each_other_and_are_left_alone():
    contract.assert_samples_stand_alone(make(), *contract.draw())


def test_the_bias_survives_a_state_dict():
    head, other = make(), make()
    torch.nn.init.constant_(head.bias, 3.25)
    other.load_state_dict(head.state_dict())
    assert other.bias.item() == 3.25


def test_a_bad_knob_is_named_with_its_value():
    with pytest.raises(ValueError, match="s=0: must be a number > 0"):
        make(s=0)
    with pytest.raises(ValueError, match=r"m=1.5: must be a number in \[0, 1\)"):
        make(m=1.5)(*contract.draw())
