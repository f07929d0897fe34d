"""Pairs in folds drawn from any set, and the small versions of the benchmarks' columns."""

from __future__ import annotations

import pytest
import torch

from lossbench.protocols import draw_pairs, lfw, miniature

LABEL = torch.tensor([0] * 4 + [1] * 2 + [2] * 7 + [3] * 3 + [4] + [5] * 2 + [6])[torch.randperm(20)]


def test_genuine_pairs_are_two_images_of_one_identity_and_impostor_pairs_of_two():
    drawn = draw_pairs(LABEL, folds=2, each=50)
    one, other = LABEL[drawn.pairs].unbind(1)
    assert torch.equal(one == other, drawn.same)
    assert (drawn.pairs[:, 0] != drawn.pairs[:, 1]).all()
    assert drawn.same.view(2, 2, 50).float().mean(2).tolist() == [[1, 0], [1, 0]]


def test_no_identity_is_in_two_folds():
    drawn = draw_pairs(LABEL, folds=2, each=100)
    people = [set(LABEL[drawn.pairs[drawn.fold == fold]].flatten().tolist()) for fold in (0, 1)]
    assert not people[0] & people[1]
    assert people[0] | people[1] == set(range(7))


@pytest.mark.parametrize(("several", "single"), [(11, 9), (15, 5), (19, 9), (10, 10), (20, 0)])
def test_impostor_pairs_are_of_two_people_however_few_there_are(several, single):
    label = torch.cat([torch.arange(several).repeat_interleave(2), several + torch.arange(single)])
    drawn = draw_pairs(label, folds=10, each=40)
    one, other = label[drawn.pairs].unbind(1)
    assert torch.equal(one == other, drawn.same)
    people = [set(label[drawn.pairs[drawn.fold == fold]].flatten().tolist()) for fold in range(10)]
    assert sum(map(len, people)) == len(set.union(*people))


def test_every_pair_of_images_of_an_identity_is_drawn():
    drawn = draw_pairs(torch.arange(12) // 3, folds=2, each=200)
    found = {frozenset(pair) for pair in drawn.pairs[drawn.same].tolist()}
    wanted = {frozenset((3 * k + i, 3 * k + j)) for k in range(4) for i, j in [(0, 1), (0, 2), (1, 2)]}
    assert found == wanted


def test_the_same_seed_draws_the_same_pairs():
    drawn, again, other = (draw_pairs(LABEL, folds=2, each=9, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(drawn.pairs, again.pairs)
    assert not torch.equal(drawn.pairs, other.pairs)


def test_too_few_identities_are_refused_in_one_line():
    with pytest.raises(ValueError, match="with two images of 7"):
        draw_pairs(LABEL, folds=6)


def test_the_columns_in_small_are_those_of_their_protocols():
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(60).repeat_interleave(5)
    centres = torch.randn(60, 16, generator=generator)
    embedding = centres[label] + torch.randn(300, 16, generator=generator)
    strangers = torch.randn(40, 16, generator=generator)
    parts = dict(miniature(embedding, label, strangers, trials=3))
    assert list(parts) == ["view2", "trials", "ladder"]
    listed = lfw(embedding, *draw_pairs(label), fars=())
    assert parts["view2"].metrics["view2/pair_accuracy"] == listed.metrics["pair_accuracy"]
    assert "trials/dir_far_1e_2_mean" in parts["trials"].metrics
    assert parts["ladder"].metrics["ladder/cmc_1"] < parts["ladder"].metrics["ladder/cmc_1_distractors_10"]
    assert [name for name, _ in miniature(embedding, label, None, trials=2)] == ["view2", "trials"]


def test_replicates_of_trials_and_ladder_stand_under_their_metrics():
    label = torch.arange(60).repeat_interleave(4)
    generator = torch.Generator().manual_seed(1)
    embedding = torch.randn(60, 8, generator=generator)[label] + torch.randn(240, 8, generator=generator)
    ones = torch.ones(2, 60, dtype=torch.int16)
    strangers = torch.randn(500, 8, generator=generator)
    for name, part in miniature(embedding, label, strangers, trials=2, weights=ones):
        assert part.replicates.keys() <= part.metrics.keys()
        assert (len(part.replicates) > 0) == (name != "view2")
        for metric, values in part.replicates.items():
            assert values == pytest.approx([part.metrics[metric]] * 2)


def test_too_few_identities_leave_the_columns_undefined_and_say_why():
    label = torch.arange(4).repeat_interleave(3)
    embedding = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    view2 = dict(miniature(embedding, label, None))["view2"]
    assert view2.metrics == {"view2/pair_accuracy": None}
    assert "4 with two images of 4" in view2.details["undefined"]["view2/pair_accuracy"]
