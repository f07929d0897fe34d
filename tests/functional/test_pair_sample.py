import pytest
import torch

from lossbench.functional import weighted_sums
from lossbench.functional.bootstrap import identity_weights, pair_replicates
from lossbench.functional.listed import listed_scores
from lossbench.functional.pair_sample import _impostor_pairs, with_impostor_sample
from lossbench.functional.pair_tail import pair_tail
from tests.functional.test_bootstrap import faces


def test_every_impostor_pair_is_drawn_as_often_and_no_other():
    label = torch.tensor([3, 3, 3, 8, 8, 1])
    pairs = _impostor_pairs(label, 22_000, seed=0).sort(dim=1).values
    drawn, count = pairs.unique(dim=0, return_counts=True)
    assert [(a, b) for a, b in drawn.tolist() if label[a] == label[b]] == []
    assert len(drawn) == 11
    assert count.sum() == 22_000
    assert (count - 2000).abs().max() < 4 * 2000**0.5


def test_a_sample_stands_below_the_highest_scores_with_the_people_of_its_pairs():
    embedding, label = faces()
    label = label * 7 + 2
    tail = pair_tail(embedding, label, far=0.2)
    found = with_impostor_sample(tail, embedding, label, highest=100, drawn=5000)
    assert found.exact == 99  # those above the hundredth
    assert torch.equal(found.impostor[:99], tail.impostor[:99])
    assert torch.equal(found.impostor_identity[:99], tail.impostor_identity[:99])
    pairs = _impostor_pairs(label, 5000, seed=0)
    scores, order = listed_scores(embedding, pairs).sort(descending=True)
    lower = scores <= tail.impostor[99]
    assert torch.equal(found.impostor[99:], scores[lower])
    assert torch.equal(found.identities[found.impostor_identity[99:]], label[pairs[order[lower]]])
    assert torch.equal(found.genuine, tail.genuine)
    assert (found.impostors, found.complete, tail.complete) == (tail.impostors, True, False)


def test_scores_that_tie_with_the_last_of_the_highest_are_left_to_the_sample():
    embedding, label = faces()
    tail = pair_tail(embedding.sign(), label, far=0.5)
    found = with_impostor_sample(tail, embedding.sign(), label, highest=100, drawn=5000)
    assert found.exact == int((tail.impostor > tail.impostor[99]).sum()) < 99
    assert float(found.impostor[found.exact]) == float(tail.impostor[99])


@pytest.mark.parametrize("highest", [0, 1, 30, 10**6])
@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_replicates_count_what_the_sample_stands_for(monkeypatch, highest, chunk):
    monkeypatch.setattr(weighted_sums, "_CHUNK", chunk)
    monkeypatch.setattr(weighted_sums, "_SUMMED", chunk)
    embedding, label = faces(noise=2.0)
    whole = pair_tail(embedding, label, far=1.0)
    tail = with_impostor_sample(whole, embedding, label, highest=highest, drawn=400)
    weights = identity_weights(len(tail.identities), replicates=9, seed=3)
    found = pair_replicates(tail, weights, (0.3, 0.05))
    for r, row in enumerate(weights.double()):
        own, others = row[tail.genuine_identity], row[tail.impostor_identity].prod(1)
        every = row[whole.impostor_identity].prod(1).sum()
        drawn = others[tail.exact :].sum()
        if drawn == 0:  # the sample cannot stand for the lowest pair, unless it weighs nothing
            undefined = others.sum() < every
            assert bool(found.auc[r].isnan()) == bool(undefined)
            continue
        others[tail.exact :] *= (every - others[: tail.exact].sum()) / drawn
        above = (tail.impostor >= tail.genuine.unsqueeze(1)).double() @ others
        tied = (tail.impostor == tail.genuine.unsqueeze(1)).double() @ others
        area = 1 - own @ (above - tied / 2) / own.sum() / every
        assert float(found.auc[r]) == pytest.approx(float(area), abs=1e-12)
        for far, tar in zip((0.3, 0.05), found.tar[:, r].tolist(), strict=True):
            allowed = tail.genuine[above / every <= far].min()
            assert tar == pytest.approx(float(own @ (tail.genuine >= allowed).double() / own.sum()))


def test_a_large_sample_moves_as_all_pairs_do():
    embedding, label = faces(n=300, identities=60, noise=1.5)
    whole = pair_tail(embedding, label, far=1.0)
    weights = identity_weights(len(whole.identities), replicates=300)
    exact = pair_replicates(whole, weights, (0.1, 1.0))
    sample = with_impostor_sample(whole, embedding, label, highest=500, drawn=100_000)
    sampled = pair_replicates(sample, weights, (0.1, 1.0))
    assert torch.equal(sampled.tar[1], torch.ones(300, dtype=torch.float64))
    for one, other in ((exact.tar[0], sampled.tar[0]), (exact.eer, sampled.eer), (exact.auc, sampled.auc)):
        assert float(torch.stack([one, other]).corrcoef()[0, 1]) > 0.97
        assert float(other.std() / one.std()) == pytest.approx(1, abs=0.1)


def test_the_little_that_a_good_system_loses_to_a_few_look_alikes_is_not_left_to_chance():
    label = torch.arange(200).repeat_interleave(3)
    generator = torch.Generator().manual_seed(7)
    centre = torch.randn(200, 64, generator=generator)
    centre[1] = centre[0]
    embedding = centre[label] + 0.4 * torch.randn(600, 64, generator=generator)
    whole = pair_tail(embedding, label, far=1.0)
    weights = identity_weights(200, replicates=300)
    exact = pair_replicates(whole, weights, ()).auc
    assert float(exact.min()) > 0.999
    sample = with_impostor_sample(whole, embedding, label, highest=1000, drawn=2000)
    assert torch.allclose(pair_replicates(sample, weights, ()).auc, exact, rtol=0, atol=1e-9)


def test_people_without_impostors_and_no_pairs_are_refused():
    embedding, label = faces(identities=1)
    tail = pair_tail(embedding, label, far=1.0)
    with pytest.raises(ValueError, match="one identity"):
        with_impostor_sample(tail, embedding, label, highest=0, drawn=10)
    with pytest.raises(ValueError, match="drawn=0"):
        with_impostor_sample(tail, embedding, label, highest=0, drawn=0)
