import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from lossbench.functional import cmc_curve, equal_error_rate, pair_roc, tar_at_far
from lossbench.intervals import clopper_pearson
from lossbench.protocols import Evaluation, classification, identification, verification
from tests.functional import slow
from tests.metrics.test_metrics import faces


def scored(n=400, c=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(c, (n,), generator=generator)
    scores = torch.randn(n, c, generator=generator)
    scores[torch.arange(n), target] += 1.0
    return scores, target


def test_classification_agrees_with_counting_by_hand():
    scores, target = scored()
    result = classification(scores, target, tau=0.5)
    order = (-scores).argsort(dim=1).numpy()
    assert result.metrics["accuracy"] == np.mean(order[:, 0] == target.numpy())
    assert result.metrics["accuracy_top5"] == np.mean(
        [t in row[:5] for t, row in zip(target, order, strict=True)]
    )
    probability = (scores.double() / 0.5).softmax(dim=1).numpy()
    assert result.metrics["nll"] == pytest.approx(log_loss(target.numpy(), probability), abs=1e-12)
    assert result.metrics["ece"] == pytest.approx(slow.calibration_error(probability, target.numpy(), 15))


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_calibration_error_is_that_of_torchmetrics(bins):
    scores, target = scored()
    expected = multiclass_calibration_error(scores.double().softmax(1), target, num_classes=10, n_bins=bins)
    assert classification(scores, target, bins=bins).metrics["ece"] == pytest.approx(
        float(expected), abs=1e-6
    )


def test_a_collapsed_classifier_gets_no_accuracy():
    result = classification(torch.zeros(30, 10), torch.arange(30) % 10)
    assert (result.metrics["accuracy"], result.metrics["accuracy_top5"]) == (0.0, 0.0)
    assert result.metrics["nll"] == pytest.approx(math.log(10))


def test_rare_classes_are_the_third_with_the_fewest_training_rows_and_their_ties():
    scores, target = scored()
    right = (scores.argmax(1) == target).double()
    counts = [40, 9, 10, 2, 10, 30, 10, 10, 20, 12]  # of ten classes four: 2, 9, 10 and all other 10
    result = classification(scores, target, counts=counts)
    rare = torch.isin(target, torch.tensor([1, 2, 3, 4, 6, 7]))
    assert result.metrics["accuracy_rare"] == pytest.approx(right[rare].mean().item(), abs=1e-15)
    assert result.details["rare_classes"] == 6


@pytest.mark.parametrize("counts", [None, [5] * 10, [39, *[10] * 9]])
def test_classes_of_about_one_size_have_no_rare_ones(counts):
    assert "accuracy_rare" not in classification(*scored(), counts=counts).metrics


@pytest.mark.parametrize(("classes", "defined"), [(2, False), (5, False), (6, True)])
def test_top_five_of_five_classes_is_undefined_with_a_reason(classes, defined):
    result = classification(*scored(c=classes))
    assert (result.metrics["accuracy_top5"] is not None) == defined
    assert ("accuracy_top5" in result.details["undefined"]) == (not defined)


def test_huge_scores_neither_overflow_nor_lose_the_likelihood():
    scores = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    assert classification(scores, torch.tensor([1, 1])).metrics["nll"] == pytest.approx(5000)


def test_calibration_bins_are_drawn_from_all_samples():
    curves = classification(*scored()).curves
    assert curves["calibration_count"].sum() == 400
    assert set(curves) == {"calibration_confidence", "calibration_accuracy", "calibration_count"}


@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        (torch.ones(3), torch.zeros(3, dtype=torch.int64), r"scores has shape \(3,\)"),
        (torch.ones(3, 2), torch.zeros(2, dtype=torch.int64), "3 rows of scores but targets"),
        (torch.ones(3, 2), torch.zeros(3), "expected integer classes"),
        (torch.ones(3, 2), torch.tensor([0, 2, -1]), r"2 targets lie outside 0\.\.1"),
        (torch.ones(0, 2), torch.zeros(0, dtype=torch.int64), "no rows"),
        (torch.full((3, 2), math.nan), torch.zeros(3, dtype=torch.int64), "3 of 3 rows of scores hold NaN"),
    ],
)
def test_wrong_scores_and_targets_are_refused_in_one_line(scores, target, message):
    with pytest.raises(ValueError, match=message):
        classification(scores, target)


def test_verification_reports_rates_with_what_they_rest_on():
    embedding, label = faces()
    result = verification(embedding, label, fars=(0.1, 5e-3, 1e-6))
    curve = pair_roc(embedding, label)
    point = tar_at_far(curve, 0.1)
    rates = ["tar_far_1e_1", "tar_far_5e_3", "tar_far_1e_6"]
    assert list(result.metrics) == ["auc", "eer", *rates, *(f"macro/{name}" for name in rates)]
    assert result.metrics["tar_far_1e_1"] == point.tar
    assert result.metrics["eer"] == equal_error_rate(curve)
    accepted = round(point.achieved_far * curve.impostors)
    assert result.details["tar_far_1e_1"] == {
        "threshold": point.threshold,
        "achieved_far": point.achieved_far,
        "impostors": curve.impostors,
        "expected_false_accepts": 0.1 * curve.impostors,
        "false_accepts": accepted,
        "far_interval": list(clopper_pearson(accepted, curve.impostors)),
    }
    assert result.details["genuine_pairs"] + result.details["impostor_pairs"] == 60 * 59 // 2
    assert result.metrics["tar_far_1e_6"] is None
    assert "1,000,000 impostor pairs" in result.details["undefined"]["tar_far_1e_6"]


def test_a_rate_that_few_false_accepts_decide_comes_with_a_caution():
    embedding, label = faces()
    expected = "tar_far_5e_3: rests on 7.9 false accepts, {} seen: the FAR itself may be from"
    result = verification(embedding, label, fars=(0.1, 5e-3, 1e-6))
    (line,) = result.details["cautions"]
    assert line.startswith(expected.format(result.details["tar_far_5e_3"]["false_accepts"]))
    # Nobody resembles anybody else: the rule of three, on both sides of 95 %.
    apart = verification(torch.eye(30)[torch.arange(60) % 30], torch.arange(60) % 30, fars=(1e-3,))
    assert apart.details["cautions"] == [
        "tar_far_1e_3: rests on 1.7 false accepts, 0 seen: "
        "the FAR itself may be up to 0.002 (95 %, wider where pairs share images)"
    ]


def test_verification_curves_are_thinned():
    curves = verification(*faces(n=300)).curves
    assert set(curves) == {"roc_far", "roc_tar", "roc_threshold"}
    assert {len(values) for values in curves.values()} <= set(range(100, 401))
    assert (np.diff(curves["roc_far"]) >= 0).all()


def test_verification_of_one_identity_is_undefined_throughout():
    result = verification(torch.randn(4, 3), torch.zeros(4, dtype=torch.int64))
    assert set(result.metrics.values()) == {None}
    assert set(result.details["undefined"]) == set(result.metrics)


def test_identification_reports_rates_with_what_they_rest_on():
    embedding, label = faces()
    strangers = torch.randn(8, 12)
    result = identification(embedding, label, distractors=strangers, ranks=(1, 5, 500), draws=3, seed=2)
    curve = cmc_curve(embedding, label, distractors=strangers, draws=3, seed=2)
    assert result.metrics == {"cmc_1": float(curve.rates[0]), "cmc_5": float(curve.rates[4]), "cmc_500": 1.0}
    assert result.details == {
        "gallery": curve.gallery,
        "probes": curve.probes,
        "distractors": 8,
        "draws": 3,
        "seed": 2,
        "undefined": {},
    }
    assert len(result.curves["cmc_rank"]) == len(result.curves["cmc_rate"]) == 500


def test_identification_without_probes_is_undefined_throughout():
    result = identification(torch.randn(4, 3), torch.arange(4))
    assert set(result.metrics.values()) == {None}
    assert set(result.details["undefined"].values()) == {"no probe: no identity has two images"}


def test_results_are_valid_json_even_where_a_threshold_is_infinite():
    embedding, label = torch.ones(12, 3), torch.arange(12) % 4
    for result in (
        verification(embedding, label),
        identification(embedding, label),
        classification(*scored()),
    ):
        json.dumps([result.metrics, result.details], allow_nan=False)
    assert verification(embedding, label).details["tar_far_1e_1"]["threshold"] is None


def test_an_undefined_metric_needs_a_reason():
    with pytest.raises(ValueError, match="do not agree"):
        Evaluation({"auc": None}, {"undefined": {}}, {})
