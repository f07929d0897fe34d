import pytest
import torch

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


def test_a_sample_has_the_scores_and_people_of_its_pairs_and_all_genuine_scores():
    embedding, label = faces()
    label = label * 7 + 2
    tail = pair_tail(embedding, label, far=0.01)
    found = with_impostor_sample(tail, embedding, label, impostors=5000)
    pairs = _impostor_pairs(label, 5000, seed=0)
    scores, order = listed_scores(embedding, pairs).sort(descending=True)
    assert torch.equal(found.impostor, scores)
    assert torch.equal(found.identities[found.impostor_identity], label[pairs[order]])
    assert torch.equal(found.genuine, tail.genuine)
    assert (found.impostors, found.sampled) == (5000, True)


def test_replicates_of_a_sample_weigh_the_pairs_drawn():
    embedding, label = faces(noise=2.0)
    tail = with_impostor_sample(pair_tail(embedding, label, far=1.0), embedding, label, impostors=400)
    weights = identity_weights(len(tail.identities), replicates=9, seed=3)
    found = pair_replicates(tail, weights, (0.3, 0.05))
    for r, row in enumerate(weights.double()):
        own, others = row[tail.genuine_identity], row[tail.impostor_identity].prod(1)
        above = (tail.impostor >= tail.genuine.unsqueeze(1)).double() @ others
        tied = (tail.impostor == tail.genuine.unsqueeze(1)).double() @ others
        assert float(found.auc[r]) == pytest.approx(
            float(1 - own @ (above - tied / 2) / own.sum() / others.sum())
        )
        for far, tar in zip((0.3, 0.05), found.tar[:, r].tolist(), strict=True):
            allowed = tail.genuine[above / others.sum() <= far].min()
            assert tar == pytest.approx(float(own @ (tail.genuine >= allowed).double() / own.sum()))


def test_a_large_sample_moves_as_all_pairs_do():
    embedding, label = faces(n=300, identities=60, noise=1.5)
    whole = pair_tail(embedding, label, far=1.0)
    weights = identity_weights(len(whole.identities), replicates=300)
    exact = pair_replicates(whole, weights, (0.1,))
    sampled = pair_replicates(
        with_impostor_sample(whole, embedding, label, impostors=100_000), weights, (0.1,)
    )
    for one, other in ((exact.tar[0], sampled.tar[0]), (exact.eer, sampled.eer), (exact.auc, sampled.auc)):
        assert float(torch.stack([one, other]).corrcoef()[0, 1]) > 0.97
        assert float(other.std() / one.std()) == pytest.approx(1, abs=0.1)


def test_people_without_impostors_and_no_pairs_are_refused():
    embedding, label = faces(identities=1)
    tail = pair_tail(embedding, label, far=1.0)
    with pytest.raises(ValueError, match="one identity"):
        with_impostor_sample(tail, embedding, label, impostors=10)
    with pytest.raises(ValueError, match="impostors=0"):
        with_impostor_sample(tail, embedding, label, impostors=0)
