"""Contrastive losses against their formulas, one anchor at a time."""

from __future__ import annotations

import math

import pytest
import torch

from lossbench.embedding_losses import info_nce_loss, sup_con_loss

LOSSES = [info_nce_loss, sup_con_loss]


def draw(labels=(0, 0, 0, 1, 1, 2, 1, 3, 3), d=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(labels), d, generator=generator, dtype=torch.float64), torch.tensor(labels)


def cosine(a, b):
    dot, lengths = sum(x * y for x, y in zip(a, b, strict=True)), [math.hypot(*v) for v in (a, b)]
    return dot / (lengths[0] * lengths[1])


def oracle(loss, rows, labels, tau):
    costs = []
    for i, (anchor, label) in enumerate(zip(rows, labels, strict=True)):
        e = [math.exp(cosine(anchor, row) / tau) for row in rows]
        positives = [p for p, other in enumerate(labels) if other == label and p != i]
        strangers = sum(e[a] for a, other in enumerate(labels) if other != label)
        everyone = sum(e[a] for a in range(len(rows)) if a != i)
        below = {p: everyone if loss is sup_con_loss else e[p] + strangers for p in positives}
        terms = [-math.log(e[p] / below[p]) for p in positives]
        costs.append(sum(terms) / len(terms) if terms else 0.0)
    return costs


@pytest.mark.parametrize("tau", [0.1, 1.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_values_equal_the_oracle(loss, tau):
    embedding, target = draw()
    expected = oracle(loss, embedding.tolist(), target.tolist(), tau)
    assert loss(embedding, target, tau=tau).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_pass_gradcheck(loss):
    embedding, target = draw()
    assert torch.autograd.gradcheck(lambda x: loss(x, target, tau=0.5), embedding.requires_grad_())


def test_with_one_positive_each_supcon_is_infonce():
    embedding, target = draw((0, 1, 0, 2, 1, 2))
    first, second = (loss(embedding, target, tau=0.07) for loss in LOSSES)
    assert torch.allclose(first, second, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_sample_without_company_costs_nothing_and_gets_a_finite_gradient(loss):
    for labels in ((0,), (0, 1, 2), (0, 0)):
        embedding, target = draw(labels)
        embedding.requires_grad_()
        values = loss(embedding, target, tau=0.1)
        values.sum().backward()
        assert torch.isfinite(values).all()
        assert torch.isfinite(embedding.grad).all()
    assert loss(*draw((0, 1, 2)), tau=0.1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("loss", LOSSES)
def test_collapsed_opposite_and_zero_embeddings_are_finite(loss, dtype):
    embedding = torch.tensor([[1, 0], [1, 0], [-1, 0], [0, 0]], dtype=dtype, requires_grad=True)
    values = loss(embedding, torch.tensor([0, 1, 0, 1]), tau=0.01)
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(embedding.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_order_of_the_batch_does_not_matter_and_inputs_stay(loss):
    embedding, target = draw()
    before, order = embedding.clone(), torch.randperm(9, generator=torch.Generator().manual_seed(2))
    values = loss(embedding, target, tau=0.1)
    assert torch.allclose(loss(embedding[order], target[order], tau=0.1), values[order])
    assert torch.equal(embedding, before)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_bad_temperature_is_named_with_its_value(loss):
    with pytest.raises(ValueError, match="tau=0: must be a number > 0"):
        loss(*draw(), tau=0)
