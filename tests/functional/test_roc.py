import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lossbench.functional import area_under_curve, equal_error_rate, far_name, roc_curve, tar_at_far, thin
from tests.functional import slow

# Few distinct values, so that ties within and between the two kinds are the rule.
SCORES = st.lists(st.integers(-4, 4).map(lambda v: v / 4), min_size=1, max_size=12)
FEW = settings(deadline=None, max_examples=60, derandomize=True)


def normal(genuine, impostors, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(0.5, 0.3, genuine).astype(np.float32),
        rng.normal(0, 0.3, impostors).astype(np.float32),
    )


def curve_of(genuine, impostor):
    return roc_curve(torch.as_tensor(np.array(genuine)), torch.as_tensor(np.array(impostor)))


@given(SCORES, SCORES)
@FEW
def test_every_number_agrees_with_the_definition_under_ties(genuine, impostor):
    curve = curve_of(genuine, impostor)
    g, i = np.array(genuine), np.array(impostor)
    assert curve.thresholds.tolist() == sorted(set(genuine), reverse=True)
    for k, t in enumerate(curve.thresholds.tolist()):
        counts = (curve.genuine_accepted[k], curve.impostors_accepted[k], curve.impostors_above[k])
        assert [int(c) for c in counts] == [(g >= t).sum(), (i >= t).sum(), (i > t).sum()]
    assert area_under_curve(curve) == pytest.approx(slow.area(g, i), abs=1e-15)
    assert equal_error_rate(curve) == pytest.approx(slow.equal_error_rate(g, i), abs=1e-15)
    for far in (0.1, 0.25, 0.5, 1.0):
        point = tar_at_far(curve, far)
        if far * len(i) >= 1:
            assert point[:2] == slow.tar_at_far(g, i, far)
        else:
            assert math.isnan(point.tar)
            assert point.reason


def test_the_area_is_that_of_scikit_learn():
    genuine, impostor = normal(300, 2000)
    genuine, impostor = genuine.round(2), impostor.round(2)
    expected = metrics.roc_auc_score(np.r_[np.ones(300), np.zeros(2000)], np.r_[genuine, impostor])
    assert area_under_curve(curve_of(genuine, impostor)) == pytest.approx(expected, abs=1e-12)


def test_every_point_is_a_point_of_scikit_learns_undropped_curve():
    genuine, impostor = normal(200, 1000)
    truth, scores = np.r_[np.ones(200), np.zeros(1000)], np.r_[genuine, impostor]
    far, tar, thresholds = metrics.roc_curve(truth, scores, drop_intermediate=False)
    at = {float(t): (f, r) for f, r, t in zip(far, tar, thresholds, strict=True)}
    curve = curve_of(genuine, impostor)
    ours = zip(curve.thresholds.tolist(), curve.far.tolist(), curve.tar.tolist(), strict=True)
    assert all(at[t] == (f, r) for t, f, r in ours)


@pytest.mark.parametrize("far", [1e-3, 2e-3, 1e-2, 0.1, 0.5])
def test_tar_at_far_is_the_best_scikit_learn_point_within_the_target(far):
    genuine, impostor = normal(200, 1000)
    truth, scores = np.r_[np.ones(200), np.zeros(1000)], np.r_[genuine, impostor]
    fars, tars, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    point = tar_at_far(curve_of(genuine, impostor), far)
    assert point.tar == tars[fars <= far].max()
    assert point.achieved_far <= far
    assert point.achieved_far == (impostor >= point.threshold).mean()
    assert point.tar == (genuine >= point.threshold).mean()


def test_the_smallest_resolvable_far_is_one_impostor_in_all():
    curve = curve_of([0.9, 0.2], np.linspace(0, 0.5, 1000))
    assert tar_at_far(curve, 1e-3).tar == 0.5
    below = tar_at_far(curve, 0.99e-3)
    assert math.isnan(below.tar)
    assert math.isnan(below.achieved_far)
    assert below.reason == "FAR 0.00099 needs at least 1,011 impostor pairs: there are 1,000"


@pytest.mark.parametrize(("far", "impostors"), [(1e-1, 10), (1e-3, 1000), (1e-6, 1_000_000), (1 / 3, 3)])
def test_rounding_does_not_refuse_a_far_of_exactly_one_impostor(far, impostors):
    curve = curve_of([0.5], np.zeros(impostors, np.float32))
    assert tar_at_far(curve, far).tar == 1.0


def test_an_impostor_above_every_genuine_score_gives_zero_at_infinity():
    assert tar_at_far(curve_of([0.5, 0.4], [0.9, 0.8, 0.1, 0.0]), 0.25)[:3] == (0.0, 0.0, math.inf)


def test_an_impostor_that_ties_with_a_genuine_score_is_a_false_accept():
    curve = curve_of([0.5], [0.5, 0.1, 0.1, 0.1])
    assert tar_at_far(curve, 0.25)[:2] == (1.0, 0.25)
    assert curve.impostors_above.tolist() == [0]


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        ([0.9, 0.8], [0.1, 0.2], 0.0),  # separated
        ([0.1, 0.2], [0.8, 0.9], 1.0),  # the wrong way round
        ([0.5, 0.5], [0.5, 0.5, 0.5], 0.5),  # no information
        ([0.9, 0.7, 0.3], [0.6, 0.5, 0.4], 1 / 3),  # FAR falls from 1 to 0 while FRR stays 1/3
        ([0.8, 0.7, 0.3, 0.2], [0.9, 0.1, 0.0], 1 / 3),  # FRR rises past the flat FAR 1/3
        ([0.8, 0.4], [0.6, 0.2], 0.5),
    ],
)
def test_the_equal_error_rate_is_where_the_two_staircases_cross(genuine, impostor, expected):
    assert equal_error_rate(curve_of(genuine, impostor)) == pytest.approx(expected)


def test_all_equal_scores_are_worth_a_coin_toss():
    curve = curve_of(np.full(5, 0.3), np.full(20, 0.3))
    assert (area_under_curve(curve), equal_error_rate(curve)) == (0.5, 0.5)
    assert tar_at_far(curve, 0.1)[:3] == (0.0, 0.0, math.inf)
    assert tar_at_far(curve, 1.0)[:2] == (1.0, 1.0)


@pytest.mark.parametrize(("genuine", "impostor"), [([], [0.1, 0.2]), ([0.1], []), ([], [])])
def test_without_pairs_of_one_kind_nothing_is_defined_and_a_reason_is_given(genuine, impostor):
    curve = curve_of(np.array(genuine, np.float32), np.array(impostor, np.float32))
    assert math.isnan(area_under_curve(curve))
    assert math.isnan(equal_error_rate(curve))
    point = tar_at_far(curve, 0.5)
    assert math.isnan(point.tar)
    assert point.reason.startswith("no genuine pair" if not genuine else "no impostor pair")
    assert len(thin(curve, 10).far) == len(genuine)


def test_neighbouring_float32_scores_are_not_merged():
    t = np.float32(0.5)
    up = np.nextafter(t, np.float32(1))
    curve = curve_of(np.array([t, up]), np.array([t, up, up, np.nextafter(up, np.float32(1))]))
    assert curve.impostors_accepted.tolist() == [3, 4]
    assert curve.impostors_above.tolist() == [1, 3]


def test_a_column_of_a_matrix_is_a_vector_of_scores():
    scores = torch.tensor([[0.5, 0.1], [0.4, 0.45], [0.3, 0.2]])
    assert roc_curve(scores[:, 0], scores[:, 1]).impostors_accepted.tolist() == [0, 1, 1]


def test_half_precision_scores_are_counted_as_given():
    genuine, impostor = torch.tensor([0.5, 0.25]).half(), torch.tensor([0.5, 0.125]).bfloat16()
    assert roc_curve(genuine, impostor).impostors_accepted.tolist() == [1, 1]


@pytest.mark.parametrize("points", [3, 4, 10, 50])
def test_thinning_keeps_the_end_points_and_only_true_points(points):
    curve = curve_of(*normal(2000, 5000))
    line = thin(curve, points)
    assert len(line.far) <= points
    true = set(zip(curve.thresholds.tolist(), curve.tar.tolist(), curve.far.tolist(), strict=True))
    kept = list(zip(*(part.tolist() for part in line), strict=True))
    assert set(kept) <= true
    assert kept[0][0] == float(curve.thresholds[0])
    assert kept[-1][1:] == (1.0, float(curve.far[-1]))


def test_thinning_spaces_points_in_log_far_and_keeps_the_best_tar_without_a_false_accept():
    curve = curve_of(*normal(3000, 100_000))
    line = thin(curve, 60)
    assert line.tar[line.far == 0].max() == curve.tar[curve.far == 0].max()
    decades = [(int(((line.far >= 10.0**-k) & (line.far < 10.0 ** (1 - k))).sum())) for k in (1, 2, 3)]
    assert min(decades) >= 8


def test_thinning_a_separated_curve_keeps_its_ends():
    line = thin(curve_of(np.linspace(0.5, 0.9, 50), [0.1, 0.2]), 5)
    assert line.tar.tolist() == [0.02, 1.0]


@pytest.mark.parametrize("far", [0.0, -0.1, 1.1, math.nan])
def test_a_far_outside_0_to_1_is_refused(far):
    with pytest.raises(ValueError, match="far="):
        tar_at_far(curve_of([0.5], [0.1]), far)


def test_scores_that_are_not_vectors_or_hold_nan_are_refused():
    with pytest.raises(ValueError, match=r"impostor has shape \(2, 2\)"):
        roc_curve(torch.ones(2), torch.ones(2, 2))
    with pytest.raises(ValueError, match="1 of 2 genuine scores are NaN"):
        roc_curve(torch.tensor([0.1, math.nan]), torch.ones(2))


@pytest.mark.parametrize(
    ("far", "name"),
    [(1e-1, "1e_1"), (1e-6, "1e_6"), (5e-4, "5e_4"), (2.5e-4, "2_5e_4"), (0.001, "1e_3"), (1, "1e_0")],
)
def test_far_names_are_words_valid_in_every_tracker(far, name):
    assert far_name(far) == name
