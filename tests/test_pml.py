"""Losses of pytorch-metric-learning in the head's place."""

from __future__ import annotations

import pytest
import torch

pml_losses = pytest.importorskip("pytorch_metric_learning.losses")

from lossbench.pml import MetricLearningLoss  # noqa: E402


def draw():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 5, generator=generator), torch.arange(12) % 3


@pytest.mark.parametrize(
    "name", ["TripletMarginLoss", "ContrastiveLoss", "MultiSimilarityLoss", "NTXentLoss"]
)
def test_the_mean_and_its_gradient_are_the_librarys(name):
    embedding, target = draw()
    ours, theirs = embedding.clone().requires_grad_(), embedding.clone().requires_grad_()
    values = MetricLearningLoss(name, dim=5, classes=3)(ours, target)
    expected = vars(pml_losses)[name]()(theirs, target)
    values.mean().backward()
    expected.backward()
    assert values.shape == (12,)
    assert values.mean().item() == pytest.approx(expected.item())
    assert torch.allclose(ours.grad, theirs.grad)


def test_proxies_are_weights_of_the_loss_with_the_sizes_of_the_data():
    loss = MetricLearningLoss("ProxyAnchorLoss", dim=5, classes=3, margin=0.2)
    assert [tuple(parameter.shape) for parameter in loss.parameters()] == [(3, 5)]
    assert loss.inner.margin == 0.2
    loss(*draw()).mean().backward()
    assert loss.inner.proxies.grad.abs().sum() > 0


def test_an_option_it_would_drop_and_a_loss_it_lacks_are_refused():
    with pytest.raises(ValueError, match=r"loss\.foo: SubCenterArcFaceLoss takes no foo"):
        MetricLearningLoss("SubCenterArcFaceLoss", dim=5, classes=3, foo=1)
    with pytest.raises(ValueError, match=r"loss\.name=Nope: pytorch-metric-learning has "):
        MetricLearningLoss("Nope", dim=5, classes=3)
