"""No tensor of the CPU meets one of the device: a training step on torch's device without data."""

from __future__ import annotations

import pytest
import torch

from lossbench.build import make_objective
from lossbench.config import conf_dir
from lossbench.diagnostics import cosine_statistics
from lossbench.fusion import fuse
from lossbench.heads import EmbeddingHead
from lossbench.heads.scheduled import Paced
from tests.test_config import resolved

LOSSES = sorted(path.stem for path in (conf_dir() / "loss").glob("*.yaml"))
# The first two have other arguments or a library below; torch counts on no device without data.
LOSSES = [loss for loss in LOSSES if loss not in ("pml", "distillation", "center", "subcenter_arcface")]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_training_step_stays_on_its_device(loss):
    config = resolved(f"loss={loss}")[0]
    head, compute, regularizer = make_objective(config, dim=8, counts=[3, 2, 4])
    head = head.to("meta")
    embedding = torch.empty(6, 8, device="meta", requires_grad=True)
    target = torch.empty(6, dtype=torch.long, device="meta")
    for part in head.modules():
        if isinstance(part, Paced):
            part.at(1, 2)
    values = (fuse(head, compute) or (lambda x, y: compute(head(x, y), y)))(embedding, target)
    if regularizer is not None:
        values = values + regularizer.to("meta")(embedding, target)
    values.mean().backward()
    assert values.device.type == embedding.grad.device.type == "meta"
    if not isinstance(head, EmbeddingHead):
        statistics = cosine_statistics(head.cosine(embedding), head(embedding, target), target)
        random = torch.empty(6, 3, device="meta")
        assert compute(head.untrained_scores(random, target, 2.0), target).device.type == "meta"
        assert all(value.device.type == "meta" for value in statistics.values())
