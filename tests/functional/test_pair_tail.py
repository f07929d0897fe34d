import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.functional import pair_roc, tar_at_far
from lossbench.functional import pair_tail as module
from lossbench.functional.pair_tail import pair_tail
from lossbench.functional.thresholds import exact_threshold
from tests.functional import slow


def faces(n=60, d=5, identities=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(identities, (n,), generator=generator) * 7
    centre = torch.randn(7 * identities, d, generator=generator)
    return centre[label] + torch.randn(n, d, generator=generator), label


def brute(embedding, label):
    """Genuine (score, identity) and impostor (score, identity, identity), each sorted."""
    rows, names = [slow.unit(row) for row in embedding.tolist()], sorted(set(label.tolist()))
    owner = [names.index(name) for name in label.tolist()]
    genuine, impostor = [], []
    for i in range(len(rows)):
        for j in range(i):
            score = float(slow.cosine(rows[i], rows[j]))
            if owner[i] == owner[j]:
                genuine.append((score, owner[i]))
            else:
                impostor.append((score, *sorted((owner[i], owner[j]))))
    return sorted(genuine), sorted(impostor, reverse=True)


def listed(scores, names):
    names = names.unsqueeze(1) if names.ndim == 1 else names
    return [(s, *n) for s, n in zip(scores.tolist(), names.tolist(), strict=True)]


@pytest.mark.parametrize("block", [1, 7, 16, 60, 1024])
def test_scores_and_owners_are_those_of_two_loops_in_any_block(block):
    embedding, label = faces()
    genuine, impostor = brute(embedding, label)
    for far in (0.01, 0.1, 1.0):
        tail = pair_tail(embedding, label, far=far, block=block)
        assert sorted(listed(tail.genuine, tail.genuine_identity)) == genuine
        assert listed(tail.impostor, tail.impostor_identity) == impostor[: int(far * len(impostor)) + 1]
        assert tail.impostors == len(impostor)
    assert tail.images.tolist() == label.unique(return_counts=True)[1].tolist()


@pytest.mark.parametrize(("ample", "scans"), [(1.5, 1), (0.05, 2)])
def test_a_first_bound_judged_by_some_rows_saves_work_and_changes_nothing(monkeypatch, ample, scans):
    embedding, label = faces(n=300, identities=40)
    whole = pair_tail(embedding, label, far=0.2)
    bounds = []

    class Watched(module.Highest):
        def __init__(self, keep, device, *, least=-math.inf):
            bounds.append(least)
            super().__init__(keep, device, least=least)

    for name, value in {"_SAMPLE": 100, "_FEWEST": 10, "_AMPLE": ample, "Highest": Watched}.items():
        monkeypatch.setattr(module, name, value)
    found = pair_tail(embedding, label, far=0.2)
    assert torch.equal(found.impostor, whole.impostor)
    assert sorted(found.impostor_identity.tolist()) == sorted(whole.impostor_identity.tolist())
    # A bound that is too high is found out, and all pairs are seen once more without one.
    assert [math.isfinite(least) for least in bounds] == [True, False][:scans]
    assert (bounds[0] < float(whole.impostor[-1])) == (scans == 1)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(-1, 1), min_size=2, max_size=2)), max_size=12),
    st.integers(1, 13),
    st.floats(0.01, 1),
)
@settings(deadline=None, max_examples=80, derandomize=True)
def test_with_ties_the_scores_kept_are_the_highest_and_each_has_true_owners(rows, block, far):
    label = torch.tensor([r[0] for r in rows], dtype=torch.int64)
    embedding = torch.tensor([r[1] for r in rows], dtype=torch.float32).reshape(len(rows), 2)
    genuine, impostor = brute(embedding, label)
    tail = pair_tail(embedding, label, far=far, block=block)
    assert sorted(tail.genuine.tolist()) == [score for score, _ in genuine]
    assert tail.impostor.tolist() == [score for score, *_ in impostor][: len(tail.impostor)]
    left = list(impostor)
    for found in listed(tail.impostor, tail.impostor_identity):
        left.remove(found)
    assert (tail.undefined is None) == bool(genuine and impostor)


def test_the_tail_gives_the_rates_of_the_whole_curve():
    embedding, label = faces(n=300, identities=40)
    curve = pair_roc(embedding, label)
    tail = pair_tail(embedding, label, far=0.01)
    assert len(tail.impostor) < 0.0101 * tail.impostors + 2
    for far in (0.01, 0.003, 1e-4):
        point = tar_at_far(curve, far)
        assert exact_threshold(tail.genuine, tail.impostor, tail.impostors, far) == point.threshold


def test_spare_keeps_as_many_times_more():
    embedding, label = faces(n=300, identities=40)
    one, five = (pair_tail(embedding, label, far=0.01, spare=spare) for spare in (1, 5))
    assert len(five.impostor) == 5 * len(one.impostor)
    assert torch.equal(five.impostor[: len(one.impostor)], one.impostor)


def test_a_collapsed_model_keeps_no_more_than_asked():
    tail = pair_tail(torch.ones(200, 3), torch.arange(200) % 50, far=1e-3, block=16)
    assert len(tail.impostor) == int(tail.impostors * 1e-3) + 1


def test_wrong_labels_and_numbers_are_refused_in_one_line():
    embedding, label = faces()
    with pytest.raises(ValueError, match="60 labels are negative"):
        pair_tail(embedding, -1 - label, far=0.1)
    for name, value in (("far", 0), ("spare", 0.5), ("block", 0)):
        with pytest.raises(ValueError, match=f"{name}={value}"):
            pair_tail(embedding, label, **{"far": 0.1, name: value})


def test_threads_change_no_score_kept_and_no_owner():
    embedding, label = faces(n=300, identities=40)
    one = pair_tail(embedding, label, far=0.02)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        other = pair_tail(embedding, label, far=0.02, block=32)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one.impostor, other.impostor)
    # The last may tie with those left out.
    assert sorted(listed(one.impostor, one.impostor_identity)[:-1]) == sorted(
        listed(other.impostor, other.impostor_identity)[:-1]
    )
    assert sorted(listed(one.genuine, one.genuine_identity)) == sorted(
        listed(other.genuine, other.genuine_identity)
    )
