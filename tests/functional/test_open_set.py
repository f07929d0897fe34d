import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.functional import dir_at_far, open_set_curve
from tests.functional import slow


def faces(n=60, d=7, identities=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(identities, (n,), generator=generator)
    centre = torch.randn(identities, d, generator=generator)
    return centre[label] + 0.7 * torch.randn(n, d, generator=generator), label


def brute(gallery, gallery_label, probe, probe_label):
    """(mated rows, mate scores, ranks, non-mated rows, impostor scores), one entry at a time."""
    entries, rows = [slow.unit(r) for r in gallery.tolist()], [slow.unit(r) for r in probe.tolist()]
    names = [("stranger", k) if owner < 0 else owner for k, owner in enumerate(gallery_label.tolist())]
    mated, mate, rank, other, impostor = [], [], [], [], []
    for p, owner in enumerate(probe_label.tolist()):
        best = {}
        for name, entry in zip(names, entries, strict=True):
            best[name] = max(best.get(name, -math.inf), slow.cosine(rows[p], entry))
        if owner >= 0 and owner in best:
            mated.append(p)
            mate.append(best[owner])
            rank.append(1 + sum(score >= best[owner] for name, score in best.items() if name != owner))
        else:
            other.append(p)
            impostor.append(max(best.values(), default=-math.inf))
    return mated, mate, rank, other, impostor


def agree(curve, expected):
    found = (curve.mated, curve.mate, curve.rank, curve.non_mated, curve.impostor)
    return all(f.tolist() == list(e) for f, e in zip(found, expected, strict=True))


def rate(expected, far, rank):
    """Largest DIR over all thresholds that let through at most far of the non-mated probes."""
    _, mate, ranks, _, impostor = expected
    best = 0.0
    for t in {*mate, *impostor}:
        if np.mean([score >= t for score in impostor]) <= far:
            best = max(best, np.mean([s >= t and r <= rank for s, r in zip(mate, ranks, strict=True)]))
    return best


def test_scores_ranks_and_rates_are_those_of_loops_over_probes_and_entries():
    embedding, label = faces()
    sets = embedding[:20], label[:20] % 7, embedding[20:], label[20:]
    curve, expected = open_set_curve(*sets), brute(*sets)
    assert agree(curve, expected)
    for far in (1, 0.5, 0.2, 0.1):
        for rank in (1, 2, 5):
            assert dir_at_far(curve, far, rank=rank).dir == pytest.approx(
                rate(expected, far, rank), abs=1e-15
            )
        assert dir_at_far(curve, far, rank=None) == dir_at_far(curve, far, rank=7)


ROWS = st.lists(
    st.tuples(st.integers(-1, 3), st.lists(st.integers(-1, 1), min_size=2, max_size=2)), max_size=11
)


@given(ROWS, ROWS, st.integers(1, 12))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_ties_distractors_empty_sets_and_any_block_agree_with_loops(gallery, probe, block):
    sets = []
    for rows in (gallery, probe):
        sets += [torch.tensor([r[1] for r in rows], dtype=torch.float32).reshape(len(rows), 2)]
        sets += [torch.tensor([r[0] for r in rows], dtype=torch.int64)]
    curve, expected = open_set_curve(*sets, block=block), brute(*sets)
    assert agree(curve, expected)
    assert (dir_at_far(curve, 1.0).reason is None) == (len(curve.mated) > 0 and len(curve.non_mated) > 0)


def test_the_block_changes_no_bit_even_when_an_identity_has_more_images_than_a_block():
    embedding, label = faces(n=90, identities=4)
    sets = embedding[:60], label[:60] % 3, embedding[60:], label[60:]
    whole = open_set_curve(*sets)
    for block in (1, 2, 7, 19, 64):
        curve = open_set_curve(*sets, block=block)
        assert torch.equal(curve.mate, whole.mate)
        assert torch.equal(curve.rank, whole.rank)
        assert torch.equal(curve.impostor, whole.impostor)


def test_several_images_of_another_identity_count_once_in_the_rank():
    gallery = torch.tensor([[0.6, 0.8], [1.0, 0.0], [1.0, 0.0], [0.8, 0.6]])
    curve = open_set_curve(gallery, torch.tensor([0, 1, 1, 1]), torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert curve.rank.tolist() == [2]
    assert (curve.gallery, curve.identities) == (4, 2)


def test_a_copy_of_the_mate_under_another_name_ties_and_takes_rank_one():
    gallery, label = torch.eye(2)[[0, 0, 1]], torch.tensor([0, 1, 2])
    curve = open_set_curve(gallery, label, torch.eye(2)[[0, 1, 1]], torch.tensor([0, 2, 7]))
    assert curve.rank.tolist() == [2, 1]
    # The stranger looks exactly like identity 2: no threshold may refuse it and keep that mate.
    assert dir_at_far(curve, 1.0).dir == 0.5
    assert dir_at_far(curve, 1.0, rank=2).dir == 1.0


def hand():
    """Ten non-mated probes at cosines 0.1 .. 1.0 of the only entry, five mated at 0.15 .. 0.95."""
    cosine = torch.cat([torch.arange(1, 11) / 10, torch.tensor([0.15, 0.35, 0.55, 0.75, 0.95])])
    probe = torch.stack([cosine, (1 - cosine**2).clamp(min=0).sqrt()], dim=1)
    label = torch.tensor([1] * 10 + [0] * 5)
    return open_set_curve(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), probe, label)


@pytest.mark.parametrize(
    ("far", "expected", "achieved"), [(0.1, 0.2, 0.1), (0.29, 0.2, 0.1), (0.3, 0.4, 0.3), (1.0, 1.0, 0.9)]
)
def test_rates_counted_by_hand(far, expected, achieved):
    point = dir_at_far(hand(), far)
    assert (point.dir, point.achieved_far, point.non_mated) == (expected, achieved, 10)


@pytest.mark.parametrize(
    ("far", "expected", "alarms"), [(0.3, 0.2, 3), (0.26, 0.2, 3), (0.04, 0.0, 0), (1, 1, 10)]
)
def test_the_blufr_rule_accepts_at_the_kth_highest_non_mated_probe(far, expected, alarms):
    point = dir_at_far(hand(), far, blufr=True)
    assert (point.dir, point.achieved_far * 10) == (pytest.approx(expected), pytest.approx(alarms))


def test_a_rate_below_the_resolution_is_nan_with_a_reason_unless_blufr_rounds_it_to_none():
    point = dir_at_far(hand(), 0.09)
    assert math.isnan(point.dir)
    assert point.reason == "FAR 0.09 needs at least 12 non-mated probes: there are 10"
    assert dir_at_far(hand(), 0.04, blufr=True)[:2] == (0.0, 0.0)


@pytest.mark.parametrize(
    ("enrolled", "probes", "reason"),
    [
        ([], [0], "the gallery is empty"),
        ([0], [1], "no mated probe"),
        ([-1], [-1], "no mated probe"),
        ([0], [], "no mated probe"),
        ([0], [0], "no non-mated probe"),
    ],
)
def test_without_probes_of_a_kind_or_a_gallery_the_rate_is_nan_with_a_reason(enrolled, probes, reason):
    sets = [
        part
        for labels in (enrolled, probes)
        for part in (torch.ones(len(labels), 3), torch.tensor(labels, dtype=torch.int64))
    ]
    point = dir_at_far(open_set_curve(*sets), 1.0)
    assert math.isnan(point.dir)
    assert reason in point.reason


def test_the_order_of_rows_changes_no_count():
    embedding, label = faces(n=80)
    sets = embedding[:30], label[:30] % 9, embedding[30:], label[30:]
    order, back = torch.randperm(30), torch.randperm(50)
    moved = sets[0][order], sets[1][order], sets[2][back], sets[3][back]
    for far in (0.1, 0.5):
        assert dir_at_far(open_set_curve(*moved), far) == dir_at_far(open_set_curve(*sets), far)


def test_wrong_shapes_and_numbers_are_refused_in_one_line():
    embedding, label = faces(n=9)
    with pytest.raises(ValueError, match="probes have 3 columns: gallery entries 7"):
        open_set_curve(embedding, label, torch.ones(2, 3), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="1 of 2 embedding rows hold NaN"):
        open_set_curve(embedding, label, torch.tensor([[1.0] * 7, [math.nan] * 7]), torch.tensor([0, 1]))
    curve = open_set_curve(embedding, label, embedding, label)
    for name, value in (("far", 0), ("rank", 0), ("rank", 1.5)):
        with pytest.raises(ValueError, match=f"{name}={value}"):
            dir_at_far(curve, **{"far": 0.5, name: value})
    with pytest.raises(ValueError, match="block=0"):
        open_set_curve(embedding, label, embedding, label, block=0)
