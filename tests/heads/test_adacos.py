"""AdaCos: the scale after each batch by the formula."""

from __future__ import annotations

import math
import statistics
from functools import partial

import pytest
import torch

from lossbench.heads import AdaCosHead
from lossbench.losses import cross_entropy_loss
from tests.heads import contract

entropy_loss = partial(cross_entropy_loss, tau=1.0)


def make(classes=5, dim=8):
    torch.manual_seed(0)
    return AdaCosHead(dim, classes).double()


def draw(n=9, classes=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    return embedding, torch.randint(classes, (n,), generator=generator)


def oracle(scale, cosines, target):
    """The next scale, from rows of cosines, in plain Python."""
    rivals = [
        sum(math.exp(scale * c) for j, c in enumerate(row) if j != y)
        for row, y in zip(cosines, target, strict=True)
    ]
    angles = [math.acos(row[y]) for row, y in zip(cosines, target, strict=True)]
    middle = statistics.median_low(angles)
    return math.log(max(statistics.fmean(rivals), 2)) / math.cos(min(math.pi / 4, middle))


def test_the_scale_starts_at_root_two_log_of_the_wrong_classes():
    assert AdaCosHead(6, 5).adapted.item() == pytest.approx(math.sqrt(2) * math.log(4))
    assert AdaCosHead(6, 10_572).adapted.item() == pytest.approx(13.1039, abs=1e-4)


@pytest.mark.parametrize("n", [9, 8, 1])
def test_the_scale_after_two_batches_equals_the_oracle_and_survives_a_state_dict(n):
    head = make()
    for seed in (2, 3):
        embedding, target = draw(n=n, seed=seed)
        cosine = head.cosine(embedding)
        expected = oracle(head.adapted.item(), cosine.tolist(), target.tolist())
        scores = head(embedding, target)
        assert head.adapted.item() == pytest.approx(expected, rel=1e-12)
        assert torch.allclose(scores, expected * cosine, rtol=1e-9)
    copy = make()
    copy.load_state_dict(head.state_dict())
    assert torch.equal(copy(embedding), head(embedding))


def test_features_on_their_prototypes_divide_by_the_median_cosine_and_not_by_that_of_45_degrees():
    head = make()
    for angle in (20.0, 70.0):
        cosine = torch.zeros(3, 5, dtype=torch.float64)
        cosine[:, 0] = math.cos(math.radians(angle))
        before = head.adapted.item()
        head.observe(cosine, torch.zeros(3, dtype=torch.long), torch.ones(3, 1))
        expected = oracle(before, cosine.tolist(), [0, 0, 0])
        assert expected == pytest.approx(math.log(4) / math.cos(math.radians(min(angle, 45))))
        assert head.adapted.item() == pytest.approx(expected)


def test_targets_do_not_count_as_rivals_however_near():
    head = make().float()
    head.adapted.fill_(80.0)
    cosine = torch.zeros(2, 5)
    cosine[:, 1] = 1.0
    head.observe(cosine, torch.tensor([1, 1]), torch.ones(2, 1))
    assert head.adapted.item() == pytest.approx(math.log(4))


def test_huge_scales_do_not_overflow():
    head = make().float()
    head.adapted.fill_(1e4)
    head.observe(torch.ones(2, 5), torch.tensor([1, 1]), torch.ones(2, 1))
    assert head.adapted.item() == pytest.approx(1e4 + math.log(4))


@pytest.mark.parametrize("classes", [1, 2])
def test_up_to_two_classes_start_as_three_and_the_scale_never_falls_below_log_two(classes):
    head = make(classes)
    assert head.adapted.item() == pytest.approx(math.sqrt(2) * math.log(2))
    for seed in range(20):
        embedding, target = draw(classes=classes, seed=seed)
        values = entropy_loss(head(embedding, target), target)
        assert torch.isfinite(values).all()
        assert head.adapted.item() >= math.log(2)


def test_two_opposite_classes_keep_a_positive_scale():
    head = make(2)
    cosine = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    for _ in range(5):
        head.observe(cosine, torch.tensor([0, 1]), torch.ones(2, 1))
    assert head.adapted.item() == pytest.approx(math.log(2))


def test_the_scale_moves_in_training_alone_and_survives_a_state_dict():
    contract.assert_state_moves_in_training_alone(make(), *contract.draw())


def test_gradients_pass_gradcheck_through_the_whole_head():
    contract.assert_gradients_are_those_of_the_values(make(), *contract.draw())


def test_no_gradient_flows_through_the_scale():
    head, (embedding, target) = make(), draw()
    embedding.requires_grad_()
    head(embedding, target).sum().backward()
    gradient, embedding.grad = embedding.grad, None
    (head.adapted.item() * head.cosine(embedding)).sum().backward()
    assert torch.allclose(gradient, embedding.grad)
    assert not head.adapted.requires_grad


def test_values_and_gradients_are_finite_at_the_edges_and_for_one_class():
    contract.assert_finite_at_the_edges(make, length=1.0)


def test_float32_agrees_with_float64():
    embedding, target = draw()
    single = make().float()(embedding.float(), target)
    assert torch.allclose(single.double(), make()(embedding, target), atol=1e-5)


def test_the_order_of_the_batch_does_not_matter_and_it_is_left_alone():
    embedding, target = draw()
    before, order = embedding.clone(), torch.randperm(9)
    losses = entropy_loss(make()(embedding, target), target)
    assert torch.allclose(entropy_loss(make()(embedding[order], target[order]), target[order]), losses[order])
    assert torch.equal(embedding, before)
