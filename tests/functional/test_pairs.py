import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lossbench.functional import area_under_curve, equal_error_rate, pair_roc, roc_curve, tar_at_far
from tests.functional import slow


def faces(n=60, d=17, identities=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(identities, (n,), generator=generator)
    centre = torch.randn(identities, d, generator=generator)
    return centre[label] + torch.randn(n, d, generator=generator), label


def same(one, other):
    fields = ("thresholds", "genuine_accepted", "impostors_accepted", "impostors_above")
    equal = all(torch.equal(getattr(one, f), getattr(other, f)) for f in fields)
    return equal and (one.genuine, one.impostors) == (other.genuine, other.impostors)


def brute(embedding, label):
    genuine, impostor = slow.pair_scores(embedding.numpy(), label.tolist())
    return roc_curve(torch.from_numpy(genuine), torch.from_numpy(impostor))


def test_all_pairs_are_counted_as_two_loops_count_them():
    embedding, label = faces()
    assert same(pair_roc(embedding, label), brute(embedding, label))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(-1, 1), min_size=2, max_size=2)), max_size=14),
    st.integers(1, 15),
)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_ties_zero_rows_and_any_block_agree_with_two_loops(rows, block):
    label = torch.tensor([r[0] for r in rows], dtype=torch.int64)
    embedding = torch.tensor([r[1] for r in rows], dtype=torch.float32).reshape(len(rows), 2)
    assert same(pair_roc(embedding, label, block=block), brute(embedding, label))


def test_the_block_size_changes_no_bit():
    embedding, label = faces(n=41, d=33)
    whole = pair_roc(embedding, label)
    assert all(same(pair_roc(embedding, label, block=block), whole) for block in range(1, 43))


def test_the_order_of_the_rows_changes_no_bit():
    embedding, label = faces(n=700, d=128, identities=50)
    whole = pair_roc(embedding, label)
    for seed in range(3):
        order = torch.randperm(700, generator=torch.Generator().manual_seed(seed))
        assert same(pair_roc(embedding[order], label[order], block=64 + seed), whole)


def test_the_names_of_the_identities_change_nothing():
    embedding, label = faces()
    assert same(pair_roc(embedding, 2**40 - 7 * label), pair_roc(embedding, label))


def test_the_number_of_threads_changes_no_bit():
    embedding, label = faces(n=500, d=64)
    one = pair_roc(embedding, label)
    torch.set_num_threads(2)
    try:
        assert same(pair_roc(embedding, label), one)
    finally:
        torch.set_num_threads(1)


def test_scores_are_cosines_to_the_precision_of_float32():
    embedding, label = faces(n=80, d=512)
    rows = torch.nn.functional.normalize(embedding.double())
    cosine = rows @ rows.T
    i, j = torch.triu_indices(80, 80, 1)
    expected = cosine[i, j][label[i] == label[j]].sort(descending=True).values
    assert (pair_roc(embedding, label).thresholds.double() - expected).abs().max() < 5e-8


def test_the_area_is_that_of_scikit_learn_on_plain_cosines():
    embedding, label = faces(n=120)
    rows = torch.nn.functional.normalize(embedding.double())
    i, j = torch.triu_indices(120, 120, 1)
    expected = roc_auc_score((label[i] == label[j]).numpy(), (rows @ rows.T)[i, j].numpy())
    assert area_under_curve(pair_roc(embedding, label)) == pytest.approx(expected, abs=1e-6)


def test_copies_of_one_image_tie_whatever_tile_they_fall_into():
    row = torch.randn(1, 100, generator=torch.Generator().manual_seed(1))
    embedding, label = row.repeat(37, 1), torch.arange(37) % 5
    curve = pair_roc(embedding, label, block=8)
    assert curve.thresholds.tolist() == [1.0]
    assert (area_under_curve(curve), equal_error_rate(curve)) == (0.5, 0.5)
    assert int(curve.impostors_above) == 0
    assert int(curve.impostors_accepted) == curve.impostors


def test_a_length_does_not_change_a_cosine_and_half_precision_is_taken_as_given():
    embedding, label = faces()
    assert same(pair_roc(embedding * 1024, label), pair_roc(embedding, label))
    assert same(pair_roc(embedding.bfloat16(), label), pair_roc(embedding.bfloat16().double(), label))


def test_low_precision_matmul_settings_do_not_reach_the_scores():
    embedding, label = faces()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert same(pair_roc(embedding.requires_grad_(), label), pair_roc(embedding.detach(), label))


def test_the_inputs_are_left_as_they_were():
    embedding, label = faces()
    before = embedding.double()
    given = before.clone()
    pair_roc(given, label)
    assert torch.equal(given, before)


@pytest.mark.parametrize(("label", "genuine", "impostors"), [([4] * 5, 10, 0), (range(5), 0, 10)])
def test_one_identity_or_no_mates_leave_rates_undefined(label, genuine, impostors):
    curve = pair_roc(torch.randn(5, 3), torch.tensor(list(label)))
    assert (curve.genuine, curve.impostors) == (genuine, impostors)
    assert math.isnan(tar_at_far(curve, 0.5).tar)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_have_no_pairs(n):
    curve = pair_roc(torch.ones(n, 3), torch.zeros(n, dtype=torch.int64))
    assert (curve.genuine, curve.impostors) == (0, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_counted_and_refused(bad):
    embedding, label = faces()
    embedding[[3, 7], [0, 2]] = bad
    with pytest.raises(ValueError, match="2 of 60 embedding rows hold NaN or infinity"):
        pair_roc(embedding, label)


@pytest.mark.parametrize(
    ("embedding", "label", "message"),
    [
        (torch.ones(4), torch.zeros(4, dtype=torch.int64), r"embedding has shape \(4,\)"),
        (torch.ones(4, 2), torch.zeros(3, dtype=torch.int64), "4 embeddings but labels of shape"),
        (torch.ones(4, 2), torch.zeros(4, 1, dtype=torch.int64), "4 embeddings but labels of shape"),
        (torch.ones(4, 2), torch.zeros(4), "identities are integers"),
        (torch.ones(3, 2), torch.tensor([0, -1, -1]), "2 labels are negative"),
    ],
)
def test_wrong_shapes_and_labels_are_refused_in_one_line(embedding, label, message):
    with pytest.raises(ValueError, match=message):
        pair_roc(embedding, label)


def test_a_block_below_one_is_refused():
    with pytest.raises(ValueError, match="block=0"):
        pair_roc(torch.ones(2, 2), torch.tensor([0, 1]), block=0)


def test_tar_at_far_on_pairs_is_that_of_two_loops():
    embedding, label = faces(n=40)
    genuine, impostor = slow.pair_scores(embedding.numpy(), label.tolist())
    curve = pair_roc(embedding, label)
    for far in np.array([0.01, 0.05, 0.3]):
        assert tar_at_far(curve, far)[:2] == slow.tar_at_far(genuine, impostor, far)
