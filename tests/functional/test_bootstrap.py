import math

import numpy as np
import pytest
import torch

from lossbench.functional import (
    area_under_curve,
    bootstrap,
    cmc_curve,
    dir_at_far,
    equal_error_rate,
    open_set_curve,
    pair_roc,
    pair_verification,
    tar_at_far,
    weighted_rate,
    weighted_sums,
)
from lossbench.functional.bootstrap import (
    identity_weights,
    pair_replicates,
    percentile_interval,
    share_replicates,
)
from lossbench.functional.pair_tail import pair_tail
from lossbench.functional.probe_bootstrap import dir_replicates
from tests.functional import slow


def faces(n=70, d=4, identities=12, noise=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(identities, (n,), generator=generator)
    centre = torch.randn(identities, d, generator=generator)
    return centre[label] + noise * torch.randn(n, d, generator=generator), label


def weighted(genuine, impostor, far):
    """Largest share of genuine weight over all thresholds; lists of (score, weight)."""
    total, others = sum(w for _, w in genuine), sum(w for _, w in impostor)
    if total == 0 or others == 0:
        return math.nan
    best = 0.0
    for t in {score for score, _ in genuine}:
        if sum(w for score, w in impostor if score >= t) / others <= far:
            best = max(best, sum(w for score, w in genuine if score >= t) / total)
    return best


def tar_replicates(tail, weights, fars):
    return pair_replicates(tail, weights, fars, eer=False, auc=False).tar


def scored_pairs(embedding, label):
    """Owner of each row, and all pairs of rows with their score."""
    rows, names = [slow.unit(row) for row in embedding.tolist()], sorted(set(label.tolist()))
    owner = [names.index(name) for name in label.tolist()]
    return owner, [(i, j, float(slow.cosine(rows[i], rows[j]))) for i in range(len(rows)) for j in range(i)]


def resampled(embedding, label, weights):
    """For each replicate the pairs of images of the people drawn: a copy of a person has pairs of its own,
    and makes none with another copy. Genuine as (score, copy), impostor as scores."""
    owner, pairs = scored_pairs(embedding, label)
    for m in weights.tolist():
        genuine, impostor = [], []
        for i, j, score in pairs:
            if owner[i] == owner[j]:
                genuine += [(score, (owner[i], copy)) for copy in range(m[owner[i]])]
            else:
                impostor += [score] * (m[owner[i]] * m[owner[j]])
        yield genuine, impostor


def slow_tar(embedding, label, weights, far):
    """One replicate after the other, one pair after the other."""
    owner, pairs = scored_pairs(embedding, label)
    values = []
    for m in weights.tolist():
        genuine = [(s, m[owner[i]]) for i, j, s in pairs if owner[i] == owner[j]]
        impostor = [(s, m[owner[i]] * m[owner[j]]) for i, j, s in pairs if owner[i] != owner[j]]
        values.append(weighted(genuine, impostor, far))
    return values


def same(found, expected):
    return np.allclose(found.numpy(), np.array(expected), rtol=0, atol=1e-14, equal_nan=True)


@pytest.mark.parametrize("chunk", [1, 7, 128])
def test_replicates_of_tar_are_those_of_loops_over_weighted_pairs(monkeypatch, chunk):
    monkeypatch.setattr(weighted_sums, "_CHUNK", chunk)
    embedding, label = faces()
    tail = pair_tail(embedding, label, far=1.0)
    weights = identity_weights(len(tail.identities), replicates=12, seed=3)
    fars = (0.3, 0.05, 0.004)
    found = tar_replicates(tail, weights, fars)
    for row, far in zip(found, fars, strict=True):
        assert same(row, slow_tar(embedding, label, weights, far))


@pytest.mark.parametrize("heaviest", [11, 12, 181])
def test_heavy_weights_are_added_exactly(heaviest):
    embedding, label = faces()
    tail = pair_tail(embedding, label, far=1.0)
    weights = heaviest - identity_weights(len(tail.identities), replicates=12, seed=3)
    weights[:, 0] = heaviest
    found = tar_replicates(tail, weights, (0.05,))
    assert same(found[0], slow_tar(embedding, label, weights, 0.05))


@pytest.mark.parametrize("chunk", [1, 5, 128])
@pytest.mark.parametrize("tied", [False, True])
def test_replicates_are_the_rates_of_the_people_drawn_all_over_again(monkeypatch, chunk, tied):
    monkeypatch.setattr(weighted_sums, "_CHUNK", chunk)
    monkeypatch.setattr(weighted_sums, "_ENTRIES", chunk)
    monkeypatch.setattr(weighted_rate, "_IDENTITIES", chunk)
    embedding, label = faces(n=24, identities=6, d=3)
    embedding = embedding.round() if tied else embedding
    tail = pair_tail(embedding, label, far=1.0)
    weights = identity_weights(len(tail.identities), replicates=8, seed=3)
    found = pair_replicates(tail, weights, (0.2, 0.02))
    for r, (genuine, impostor) in enumerate(resampled(embedding, label, weights)):
        scores, impostor = np.array([score for score, _ in genuine]), np.array(impostor)
        assert float(found.eer[r]) == pytest.approx(slow.equal_error_rate(scores, impostor), abs=1e-14)
        assert float(found.auc[r]) == pytest.approx(slow.area(scores, impostor), abs=1e-14)
        for k, far in enumerate((0.2, 0.02)):
            assert float(found.tar[k, r]) == pytest.approx(slow.tar_at_far(scores, impostor, far)[0])
            allowed = [t for t in {*scores.tolist(), 2.0} if (impostor >= t).mean() <= far]
            copies = sorted({copy for _, copy in genuine})
            own = [[score >= min(allowed) for score, owner in genuine if owner == copy] for copy in copies]
            macro = sum(sum(part) / len(part) for part in own) / len(own)
            assert float(found.macro[k, r]) == pytest.approx(macro, abs=1e-14)


def test_the_order_of_rows_and_the_names_of_people_are_of_no_account():
    embedding, label = faces(n=120, identities=20)
    weights = identity_weights(len(label.unique()), replicates=300)
    order = torch.randperm(120, generator=torch.Generator().manual_seed(8))
    one = pair_replicates(pair_tail(embedding, label, far=1.0), weights, (0.1, 0.01))
    other = pair_replicates(pair_tail(embedding[order], 3 * label[order] + 5, far=1.0), weights, (0.1, 0.01))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_threads_and_blocks_of_replicates_are_of_no_account(monkeypatch):
    embedding, label = faces(n=150, identities=20)
    weights = identity_weights(20, replicates=100)
    one = pair_replicates(pair_tail(embedding, label, far=1.0), weights, (0.1, 0.01))
    monkeypatch.setattr(bootstrap, "_REPLICATES", 9)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        other = pair_replicates(pair_tail(embedding, label, far=1.0, block=16), weights, (0.1, 0.01))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_equal_error_rate_beyond_a_short_tail_is_unknown_and_within_it_exact():
    embedding, label = faces(n=200, identities=25, noise=0.6)
    weights = identity_weights(25, replicates=200)
    whole = pair_replicates(pair_tail(embedding, label, far=1.0), weights, (0.1,)).eer
    for far in (0.4, 0.25, 0.2):
        short = pair_replicates(pair_tail(embedding, label, far=far), weights, (0.1,)).eer
        known = ~short.isnan()
        assert torch.equal(short[known], whole[known])
    assert 0 < int(known.sum()) < 200


def test_ties_are_accepted_together_or_not_at_all():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randint(-1, 2, (30, 2), generator=generator).float()
    label = torch.arange(30) % 7
    weights = identity_weights(7, replicates=25)
    found = tar_replicates(pair_tail(embedding, label, far=1.0), weights, (0.2,))
    assert same(found[0], slow_tar(embedding, label, weights, 0.2))


def test_a_short_tail_gives_the_same_replicates_or_says_that_it_was_too_short():
    embedding, label = faces(n=200, identities=25)
    weights = identity_weights(25, replicates=200)
    whole = tar_replicates(pair_tail(embedding, label, far=1.0), weights, (0.01,))[0]
    spared = tar_replicates(pair_tail(embedding, label, far=0.01, spare=5), weights, (0.01,))[0]
    assert torch.equal(spared, whole)
    short = tar_replicates(pair_tail(embedding, label, far=0.01), weights, (0.01,))[0]
    known = ~short.isnan()
    assert 0 < int(known.sum()) < 200
    assert torch.equal(short[known], whole[known])
    interval = percentile_interval(short)
    assert math.isnan(interval.low)
    assert interval.undefined == 200 - int(known.sum())
    assert interval.reason.startswith(f"{interval.undefined} of 200 replicates are undefined")


def test_weights_of_one_give_the_rates_themselves():
    embedding, label = faces()
    tail = pair_tail(embedding, label, far=0.1, spare=2)
    curve = pair_roc(embedding, label)
    ones = torch.ones(1, len(tail.identities), dtype=torch.int64)
    points = pair_verification(embedding, label, fars=(0.1, 0.01)).points
    found = pair_replicates(tail, ones, (0.1, 0.01))
    for point, tar, macro in zip(points, found.tar, found.macro, strict=True):
        assert tar.tolist() == [tar_at_far(curve, point.far).tar]
        assert macro.tolist() == [pytest.approx(point.tar_macro, abs=1e-15)]
    whole = pair_tail(embedding, label, far=1.0)
    assert pair_replicates(whole, ones, ()).eer.tolist() == [equal_error_rate(curve)]
    assert pair_replicates(whole, ones, ()).auc.tolist() == [area_under_curve(curve)]
    assert found.auc.isnan().all()


def test_a_replicate_of_one_identity_has_no_impostor_pair_and_no_rate():
    embedding, label = faces(identities=3)
    tail = pair_tail(embedding, label, far=1.0)
    found = tar_replicates(tail, torch.tensor([[3, 0, 0], [1, 1, 1]]), (0.1,))
    assert found.isnan().tolist() == [[True, False]]


def test_replicates_of_dir_are_those_of_loops_over_weighted_probes():
    embedding, label = faces(n=150, identities=30)
    gallery, probe = torch.arange(12), torch.arange(12, 150)
    curve = open_set_curve(embedding[gallery], label[gallery], embedding[probe], label[probe])
    weights = identity_weights(30, replicates=40, seed=1)
    owner = label[probe]
    for rank in (1, 2, None):
        found = dir_replicates(curve, owner, weights, (0.3, 0.05), rank=rank)
        for far, row in zip((0.3, 0.05), found, strict=True):
            expected = []
            for m in weights.tolist():
                mated = [m[o] for o in owner[curve.mated].tolist()]
                others = [m[o] for o in owner[curve.non_mated].tolist()]
                good = [rank is None or r <= rank for r in curve.rank.tolist()]
                # A mate beyond the rank has the weight of its identity but can never be accepted.
                scores = [s if g else -2.0 for s, g in zip(curve.mate.tolist(), good, strict=True)]
                genuine = list(zip(scores, mated, strict=True))
                impostor = list(zip(curve.impostor.tolist(), others, strict=True))
                best = 0.0
                for t in {s for s in scores if s > -2}:
                    if sum(w for s, w in impostor if s >= t) / sum(others) <= far:
                        best = max(best, sum(w for s, w in genuine if s >= t) / sum(mated))
                expected.append(best)
            assert same(row, expected)
    ones = torch.ones(1, 30, dtype=torch.int64)
    assert dir_replicates(curve, owner, ones, (0.3,))[0].tolist() == [dir_at_far(curve, 0.3).dir]


def test_sets_without_probes_of_a_kind_have_no_rate_and_without_any_found_mate_the_rate_is_zero():
    ones, label = torch.ones(1, 3, dtype=torch.int64), torch.tensor([0, 1, 2])
    lone = pair_tail(torch.eye(3), label, far=1.0)
    assert tar_replicates(lone, ones, (0.5,)).isnan().all()
    same_person = pair_tail(torch.eye(3), label * 0, far=1.0)
    assert tar_replicates(same_person, ones[:, :1], (0.5,)).isnan().all()
    # Each mate ties with the other identity, so nobody is found at rank 1.
    curve = open_set_curve(torch.ones(2, 2), label[:2], torch.ones(3, 2), label)
    assert dir_replicates(curve, label, ones, (1.0,)).tolist() == [[0.0]]
    assert dir_replicates(curve, label, ones, (1.0,), rank=2).tolist() == [[1.0]]
    unknown = open_set_curve(torch.ones(2, 2), label[:2], torch.ones(2, 2), label[:2])
    assert dir_replicates(unknown, label[:2], ones, (1.0,)).isnan().all()


def test_shares_are_weighted_by_identity():
    found, trials = torch.tensor([[1, 2], [1, 0], [1, 1]]), torch.tensor([2, 1, 1])
    weights = torch.tensor([[1, 1, 1], [3, 0, 0], [0, 2, 1], [0, 0, 0]])
    shares = share_replicates(found, trials, weights)
    assert same(shares, [[0.75, 0.5, 1.0, math.nan], [0.75, 1.0, 1 / 3, math.nan]])


def test_the_spread_of_shares_is_that_of_binomial_sampling_when_identities_have_one_trial():
    success = (torch.arange(400) < 100).unsqueeze(1)
    values = share_replicates(success, torch.ones(400), identity_weights(400, replicates=4000))[0]
    assert float(values.std()) == pytest.approx(math.sqrt(0.25 * 0.75 / 400), rel=0.05)
    low, high = percentile_interval(values)[:2]
    assert (low, high) == (pytest.approx(0.25 - 0.0424, abs=5e-3), pytest.approx(0.25 + 0.0424, abs=5e-3))


def test_repeating_every_trial_of_an_identity_does_not_narrow_the_interval():
    embedding, label = faces(n=120, identities=20)
    curve = cmc_curve(embedding, label, draws=1)
    weights = identity_weights(len(curve.identities))
    once = share_replicates(curve.found, curve.trials, weights)
    often = share_replicates(9 * curve.found, 9 * curve.trials, weights)
    assert torch.allclose(once, often)


def test_paired_differences_are_narrower_than_those_of_independent_draws():
    embedding, label = faces(n=400, identities=60, d=6)
    worse = embedding + 0.3 * torch.randn(embedding.shape, generator=torch.Generator().manual_seed(5))
    one, other = (pair_tail(rows, label, far=0.05, spare=6) for rows in (embedding, worse))
    weights = identity_weights(60, replicates=300)
    a, b = (tar_replicates(tail, weights, (0.05,))[0] for tail in (one, other))
    unpaired = tar_replicates(other, identity_weights(60, replicates=300, seed=9), (0.05,))[0]
    assert float((a - b).std()) < 0.7 * float((a - unpaired).std())
    assert percentile_interval(a - a)[:2] == (0.0, 0.0)


def test_draws_are_seeded_multinomial_and_leave_the_global_state_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    weights = identity_weights(50, replicates=300, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(weights, identity_weights(50, replicates=300, seed=4))
    assert not torch.equal(weights, identity_weights(50, replicates=300, seed=5))
    assert (weights.sum(dim=1) == 50).all()
    assert float((weights == 0).double().mean()) == pytest.approx(0.98**50, abs=0.01)


def test_wrong_numbers_are_refused_in_one_line():
    with pytest.raises(ValueError, match="replicates=0"):
        identity_weights(3, replicates=0)
    with pytest.raises(ValueError, match=r"level=1\.0"):
        percentile_interval(torch.ones(3), level=1.0)
    embedding, label = faces(identities=2)
    tail = pair_tail(embedding, label, far=1.0)
    with pytest.raises(ValueError, match="weights go up to 182"):
        tar_replicates(tail, torch.tensor([[182, 0]]), (0.1,))
    with pytest.raises(ValueError, match="far=0"):
        tar_replicates(tail, torch.tensor([[1, 1]]), (0,))
