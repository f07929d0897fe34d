"""A trained model's metrics against those worked out from its embeddings with numpy and scikit-learn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from lossbench import build
from lossbench.backbones import Identity
from lossbench.config import ConfigError
from lossbench.datasets import Dataset, Split
from lossbench.evaluate_splits import embed, evaluate
from lossbench.heads import LinearHead
from lossbench.lightning.checkpoints import load_weights
from lossbench.lightning.datamodule import DeviceData
from lossbench.lightning.module import Training
from lossbench.losses import cross_entropy_loss
from lossbench.trained import make_teacher
from tests.test_config import resolved
from tests.test_run import start

CPU = torch.device("cpu")
PROTOCOL = {"fars": [0.1, 1e-6], "ranks": [1, 2], "draws": 3, "seed": 0}


def trained(root, *overrides):
    """The record of a tiny run, its module with the weights it ended with, and its data."""
    outcome = start(root, *overrides)
    config, _ = resolved(
        *(
            word
            for word in ("dataset=digits", "backbone=mlp", "trainer=smoke", *overrides)
            if "root" not in word
        )
    )
    data = build.make_data(config, CPU)
    module = build.make_training(config, shape=data.shape, counts=data.dataset.counts())
    load_weights(module, outcome.folder / "checkpoints" / "last.ckpt")
    return outcome.record, module.eval(), data


def pair_scores(embedding, label):
    """Cosine and whether it is genuine, for every pair of rows."""
    unit = embedding.double().numpy()
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    one, other = np.triu_indices(len(unit), 1)
    return (unit[one] * unit[other]).sum(1), (label[one] == label[other]).numpy()


@pytest.mark.parametrize("overrides", [("loss=ce",), ("loss=temperature", "tau=0.5"), ("loss=amsoftmax",)])
@pytest.mark.parametrize("role", ["val", "test"])
def test_a_runs_metrics_are_those_of_its_embeddings(tmp_path, overrides, role):
    record, module, data = trained(tmp_path, *overrides)
    rows, label = data.rows(role)
    with torch.no_grad():
        # the pixels as the backbone is to see them, worked out here
        images = torch.from_numpy(data.dataset.splits[role].data).permute(0, 3, 1, 2).float() / 255 * 2 - 1
        embedding = module.backbone(images)
        scores = module.head(embedding).double().numpy()  # plain scores, without a margin
    torch.testing.assert_close(
        embed(module.backbone, rows, precision="fp32"), embedding, rtol=1e-4, atol=1e-5
    )

    metrics = record.metrics
    tau = 0.5 if "tau=0.5" in overrides else 1.0
    logits = scores / tau
    own = logits[np.arange(len(logits)), label.numpy()]
    nll = np.mean([math.log(sum(math.exp(z - y) for z in row)) for row, y in zip(logits, own, strict=True)])
    assert metrics[f"{role}/accuracy"] == pytest.approx(
        (scores.argmax(1) == label.numpy()).mean(), abs=1 / 359
    )
    assert metrics[f"{role}/nll"] == pytest.approx(nll, rel=1e-4)
    cosine, genuine = pair_scores(embedding, label)
    assert metrics[f"{role}/auc"] == pytest.approx(roc_auc_score(genuine, cosine), abs=1e-5)
    threshold = np.sort(cosine[~genuine])[::-1][int(0.1 * (~genuine).sum())]
    assert metrics[f"{role}/tar_far_1e_1"] == pytest.approx((cosine[genuine] > threshold).mean(), abs=1e-3)
    assert record.details[f"{role}/verification"] == {
        "genuine_pairs": int(genuine.sum()),
        "impostor_pairs": int((~genuine).sum()),
    }


def test_probabilities_are_stated_at_the_temperature_of_the_loss(tmp_path):
    record, module, data = trained(tmp_path, "loss=temperature", "tau=0.1", "lr=1")
    options = {"protocol": record.config["protocol"], "precision": "fp32"}
    at_tau, at_one = (evaluate(module, data, "test", tau=tau, **options).metrics for tau in (0.1, 1.0))
    assert record.metrics["test/nll"] == at_tau["test/nll"] != at_one["test/nll"]
    assert record.details["test/classification"]["tau"] == 0.1
    # a temperature moves probabilities and never the ranking
    assert at_tau["test/accuracy"] == at_one["test/accuracy"]


class Tagged(nn.Module):
    """A backbone whose answers differ while training."""

    dim = 2

    def forward(self, rows):
        return rows * (2 if self.training else 1)


def vectors(points, labels, names=("a", "b", "c")):
    return Split(np.asarray(points, dtype=np.float32), np.asarray(labels, dtype=np.int64), names)


def angle(*degrees):
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def tiny(open_set=False, **more):
    """Two points per class, 0, 90 and 180 degrees, in each split; identities of their own in an open set."""
    points, labels = angle(0, 5, 90, 95, 180, 185), [0, 0, 1, 1, 2, 2]
    closed = vectors(points, labels)
    splits = {"train": closed, "val": closed, "test": closed} | more
    return DeviceData(Dataset(name="tiny", splits=splits, open_set=open_set, sha256="0"), device=CPU)


def measured(data, role="test", backbone=None):
    head = LinearHead(2, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor(angle(2, 92, 182), dtype=torch.float32))
    module = Training(
        backbone or Identity((2,)), head, cross_entropy_loss, optimizer=None, schedule=None, clip=1
    )
    return evaluate(module, data, role, protocol=PROTOCOL, tau=1.0, precision="fp32")


def test_points_beside_their_own_class_are_all_recognised():
    result = measured(tiny())
    assert result.metrics["test/accuracy"] == 1
    assert result.metrics["test/auc"] == 1
    assert result.metrics["test/eer"] == 0
    assert result.metrics["test/cmc_1"] == 1
    assert result.metrics["test/tar_far_1e_1"] == 1
    assert result.metrics["test/tar_far_1e_6"] is None
    assert "12" in result.details["undefined"]["test/tar_far_1e_6"]


def test_a_closed_set_is_classified_and_verified_on_the_same_rows():
    details = measured(tiny()).details
    assert details["test/classification"]["samples"] == 6
    assert details["test/verification"] == {"genuine_pairs": 3, "impostor_pairs": 12}
    assert details["test/identification"]["gallery"] == 3


def unseen(offset, prefix):
    names = tuple(f"{prefix}{i}" for i in range(2))
    return vectors(angle(*(offset + a for a in (0, 40, 20, 60))), [0, 0, 1, 1], names)


def test_an_open_set_is_classified_on_its_classes_and_verified_on_identities_nobody_trained_on():
    data = tiny(open_set=True, val_open=unseen(0, "v"), test_open=unseen(7, "t"))
    result = measured(data)
    assert result.metrics["test/accuracy"] == 1
    assert result.details["test/classification"]["samples"] == 6
    assert result.details["test/verification"] == {"genuine_pairs": 2, "impostor_pairs": 4}
    # genuine pairs are 40 degrees apart; impostors 20, 60, 20 and 20: each genuine pair beats one of four
    assert result.metrics["test/auc"] == pytest.approx(0.25)


def test_distractors_stand_in_the_test_gallery_alone():
    others = vectors(angle(0, 40, 20, 60), [0, 1, 2, 3], ("d0", "d1", "d2", "d3"))
    data = tiny(open_set=True, val_open=unseen(0, "v"), test_open=unseen(0, "t"), distractors=others)
    with_, without = measured(data, "test"), measured(data, "val")
    assert with_.details["test/identification"]["distractors"] == 4
    assert without.details["val/identification"]["distractors"] == 0
    # each probe has a distractor at its very place, closer than its own identity
    assert with_.metrics["test/cmc_1"] == 0
    assert with_.details["test/verification"] == without.details["val/verification"] | {}


def test_a_set_without_validation_rows_yields_no_validation_metrics():
    splits = {"train": tiny().dataset.splits["train"], "test": tiny().dataset.splits["test"]}
    data = DeviceData(Dataset(name="tiny", splits=splits, open_set=False, sha256="0"), device=CPU)
    assert measured(data, "val").metrics == {}
    assert measured(data, "test").metrics["test/accuracy"] == 1


def test_names_carry_the_split_and_facts_stand_under_the_name_of_their_metric():
    result = measured(tiny(), "val")
    assert all(name.startswith("val/") for name in result.metrics)
    assert set(result.details["val/tar_far_1e_1"]) >= {"threshold", "achieved_far", "impostors"}
    assert result.details["val/tar_far_1e_1"]["impostors"] == 12
    assert set(result.details["undefined"]) == {
        name for name, value in result.metrics.items() if value is None
    }


def test_embedding_is_done_in_evaluation_mode_in_order_and_without_gradients():
    rows = torch.arange(20, dtype=torch.float32).reshape(10, 2)
    embedding = embed(Tagged().train(), rows, precision="fp32", batch_size=3)
    assert torch.equal(embedding, rows)
    assert not embedding.requires_grad


def test_embeddings_are_float32_whatever_the_backbone_computed_in():
    rows = torch.randn(4, 3)
    linear = nn.Linear(3, 2)
    rough = embed(linear, rows, precision="bf16")
    assert rough.dtype == torch.float32
    exact = linear(rows).detach()
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=2e-2, atol=2e-2)


def test_cautions_reach_the_training_rows_of_a_run_and_no_others(tmp_path):
    overrides = ("dataset.label_noise=0.3", "dataset.long_tail=5")
    record, _, noisy = trained(tmp_path, *overrides)
    clean = build.make_data(resolved("dataset=digits")[0], CPU)
    assert record.split["roles"]["train"]["rows"] == sum(noisy.dataset.counts()) < sum(clean.dataset.counts())
    assert record.details["knobs"] == {"label_noise": 0.3, "long_tail": 5}
    for role in ("val", "test"):
        assert all(map(torch.equal, noisy.rows(role), clean.rows(role)))


def test_a_caution_that_does_not_fit_the_data_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError) as found:
        start(tmp_path, "dataset.leak=0.5")
    told = "leak=0.5: digits has no test identities apart from those it trains on"
    assert str(found.value) == f"dataset: {told}"


def test_a_teacher_of_other_classes_is_refused_though_the_data_are_the_same(tmp_path):
    config = {"teacher": {"folder": str(start(tmp_path).folder)}}
    data = build.make_data(resolved("dataset=digits")[0], CPU)
    assert make_teacher(config, data)(data.rows("test")[0][:2].float()).shape == (2, 10)
    renamed = {
        role: replace(split, names=(*split.names[:-1], "new")) for role, split in data.dataset.splits.items()
    }
    with pytest.raises(ConfigError, match="was trained on other data; its classes mean something else"):
        make_teacher(config, DeviceData(replace(data.dataset, splits=renamed), device=CPU))
