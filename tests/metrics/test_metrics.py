import math

import pytest
import torch
from torchmetrics.classification import BinaryAUROC

from lossbench.functional import area_under_curve, cmc_curve, pair_roc
from lossbench.metrics import CMC, VerificationROC


def faces(n=60, d=12, identities=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(identities, (n,), generator=generator)
    centre = torch.randn(identities, d, generator=generator)
    return centre[label] + torch.randn(n, d, generator=generator), label


def fed(metric, embedding, label, batch):
    for rows, owners in zip(embedding.split(batch), label.split(batch), strict=True):
        metric.update(rows, owners)
    return metric


@pytest.mark.parametrize("batch", [1, 7, 59])
def test_many_batches_give_the_same_bits_as_one(batch):
    embedding, label = faces()
    for make in (lambda: VerificationROC(fars=(0.1, 0.01)), lambda: CMC(ranks=9)):
        one, many = (fed(make(), embedding, label, b).compute() for b in (60, batch))
        if isinstance(one, dict):
            assert {k: float(v) for k, v in many.items()} == {k: float(v) for k, v in one.items()}
        else:
            assert torch.equal(one, many)


def test_batches_of_only_positive_cosines_are_not_squashed_apart():
    """torchmetrics' own curve metric applies a sigmoid to those batches alone that leave [0, 1]."""
    scores, truth = torch.tensor([0.2, 0.9, -0.9, -0.1]), torch.tensor([0, 1, 0, 1])
    trapped = BinaryAUROC()
    for part in ([0, 1], [2, 3]):
        trapped.update(scores[part], truth[part])
    at_once = BinaryAUROC()
    at_once.update(scores, truth)
    assert trapped.compute() != at_once.compute()
    angle = torch.tensor([0.0, 0.3, 0.4, 2.9, 3.0, 2.8, 1.6, 1.4])
    embedding, label = torch.stack([angle.cos(), angle.sin()], 1), torch.tensor([0, 0, 1, 2, 2, 3, 3, 1])
    ours = fed(VerificationROC(fars=(0.5,)), embedding, label, 3).compute()
    assert float(ours["auc"]) == area_under_curve(pair_roc(embedding, label))


def test_verification_names_are_fixed_and_values_float64():
    metric = fed(VerificationROC(), *faces(), batch=20)
    result = metric.compute()
    assert list(result) == ["auc", "eer", *(f"tar_far_1e_{k}" for k in range(1, 7))]
    assert all(value.dtype == torch.float64 and value.ndim == 0 for value in result.values())
    assert math.isnan(result["tar_far_1e_6"])
    assert metric.curve().impostors == pair_roc(*faces()).impostors


def test_cmc_takes_label_minus_one_as_a_distractor():
    embedding, label = faces()
    strangers = torch.randn(5, 12)
    metric = CMC(ranks=12, draws=3, seed=4)
    metric.update(embedding, label)
    metric.update(strangers, torch.full((5,), -1))
    expected = cmc_curve(embedding, label, distractors=strangers, ranks=12, draws=3, seed=4)
    assert torch.equal(metric.compute(), expected.rates)
    assert metric.curve().gallery == expected.gallery


def test_reset_forgets_every_row():
    embedding, label = faces()
    metric = fed(VerificationROC(), embedding, label, 30)
    metric.reset()
    fed(metric, embedding[:20], label[:20], 20)
    assert metric.curve().genuine == pair_roc(embedding[:20], label[:20]).genuine


def test_rows_are_kept_in_the_type_they_came_in():
    metric = VerificationROC()
    metric.update(torch.randn(4, 3).bfloat16().requires_grad_(), torch.arange(4))
    assert metric.embedding[0].dtype == torch.bfloat16
    assert not metric.embedding[0].requires_grad


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("metric", [VerificationROC(), CMC()])
def test_compute_before_any_update_says_what_to_call(metric):
    with pytest.raises(RuntimeError, match="has seen no row: call update"):
        metric.compute()


def test_a_wrong_batch_is_refused_when_it_comes():
    for metric in (VerificationROC(), CMC()):
        with pytest.raises(ValueError, match="3 embeddings but labels"):
            metric.update(torch.ones(3, 2), torch.zeros(2, dtype=torch.int64))
        with pytest.raises(ValueError, match="expected"):
            metric.update(torch.ones(3), torch.zeros(3, dtype=torch.int64))


def test_numbers_out_of_range_are_refused_when_the_metric_is_made():
    with pytest.raises(ValueError, match="far=0"):
        VerificationROC(fars=(0,))
    with pytest.raises(ValueError, match="draws=0"):
        CMC(draws=0)
