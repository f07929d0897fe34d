"""Sub-center ArcFace: the best sub-centre by the formula, who dominates, and who is left out."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial

import pytest
import torch

from lossbench.heads import CosineHead, SubCenterHead
from lossbench.heads.scheduled import Paced
from lossbench.losses import cross_entropy_loss
from lossbench.margins import additive_angle
from tests.heads import contract

entropy_loss = partial(cross_entropy_loss, tau=1.0)


def make(k=3, dim=8, classes=5, *, s=8.0, drop_angle=1.309, drop_after=None, m=0.5):
    torch.manual_seed(0)
    margin = partial(additive_angle, m=m)
    return SubCenterHead(
        dim, classes, margin, s=s, k=k, drop_angle=drop_angle, drop_after=drop_after
    ).double()


def draw(n=9, dim=8, classes=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    return embedding, torch.randint(classes, (n,), generator=generator)


def oracle(row, y, *, m=0.5, s=8.0):
    """Scores from the cosines of one embedding to all sub-centres, three a class."""
    best = [max(row[3 * j : 3 * j + 3]) for j in range(5)]
    angle = math.acos(best[y])
    best[y] = math.cos(angle + m) if angle + m <= math.pi else best[y] - m * math.sin(m)
    return [s * c for c in best]


def test_scores_equal_the_oracle_one_sample_at_a_time():
    head, (embedding, target) = make(), draw()
    rows = list(zip(contract.cosines(head, embedding), target.tolist(), strict=True))
    for scores, m in ((head(embedding, target), 0.5), (head(embedding), 0.0)):
        expected = torch.tensor([oracle(row, y, m=m) for row, y in rows], dtype=torch.float64)
        assert torch.allclose(scores, expected, rtol=0, atol=1e-9)


def test_one_sub_centre_is_the_plain_cosine_head_in_weights_scores_and_gradients():
    head, (embedding, target) = make(k=1), draw()
    torch.manual_seed(0)
    plain = CosineHead(8, 5, partial(additive_angle, m=0.5), s=8.0).double()
    assert torch.equal(head.weight, plain.weight)
    gradients = []
    for one in (head, plain):
        entropy_loss(one(embedding, target), target).sum().backward()
        gradients.append(one.weight.grad)
    assert torch.allclose(head(embedding, target), plain(embedding, target), atol=1e-12)
    assert torch.allclose(*gradients, atol=1e-12)
    assert torch.allclose(head.untrained_scores(plain.cosine(embedding), target), plain(embedding, target))


def test_gradients_pass_gradcheck_through_the_whole_head():
    contract.assert_gradients_are_those_of_the_values(make(), *contract.draw())


@pytest.mark.parametrize("row", [1.0, -1.0, 0.0])
def test_values_and_gradients_are_finite_on_a_sub_centre_opposite_to_it_and_at_zero(row):
    head = make(drop_after=0.0).float()
    head.at(0, 1)
    embedding = (row * head.weight[7:8].detach()).requires_grad_()
    scores = head(embedding, torch.tensor([2]))
    scores.sum().backward()
    for found in (scores, embedding.grad, head.weight.grad):
        assert found.dtype == torch.float32
        assert torch.isfinite(found).all()


def test_one_class_is_possible():
    head, (embedding, target) = make(classes=1), draw(classes=1)
    values = entropy_loss(head(embedding, target), target)
    assert values.tolist() == [0.0] * 9


def test_float32_agrees_with_float64():
    head, (embedding, target) = make(), draw()
    assert torch.allclose(
        make().float()(embedding.float(), target).double(), head(embedding, target), rtol=1e-4, atol=1e-4
    )


def test_samples_do_not_see_each_other_and_are_left_alone():
    head, (embedding, target) = make(drop_after=0.0), draw()
    head.at(0, 1)
    before, order = embedding.clone(), torch.randperm(9)
    losses = entropy_loss(head(embedding, target), target)
    assert torch.allclose(entropy_loss(head(embedding[order], target[order]), target[order]), losses[order])
    assert torch.equal(embedding, before)


def test_wins_after_two_updates_equal_the_oracle_and_survive_a_state_dict():
    head, batches = make(), [draw(seed=2), draw(n=5, seed=3)]
    wins = [[0.0] * 3 for _ in range(5)]
    for embedding, target in batches:
        head(embedding, target)
        for y, count in Counter(target.tolist()).items():
            wins[y] = [0.99**count * win for win in wins[y]]
        for row, y in zip(contract.cosines(head, embedding), target.tolist(), strict=True):
            near = row[3 * y : 3 * y + 3]
            wins[y][near.index(max(near))] += 1
    assert torch.allclose(head.wins, torch.tensor(wins, dtype=torch.float64), rtol=0, atol=1e-12)
    assert head.dominant().tolist() == [row.index(max(row)) for row in wins]
    copy = make()
    copy.load_state_dict(head.state_dict())
    assert torch.equal(copy.wins, head.wins)


def test_wins_are_counted_in_training_alone_and_survive_a_state_dict():
    contract.assert_state_moves_in_training_alone(make(), *contract.draw())


def turned(degrees):
    """In the plane: a unit vector so far from the first axis."""
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def in_the_plane(**knobs):
    """One class of two sub-centres at 0 and 180 degrees, the first dominant; another at 90 and 270."""
    head = make(k=2, dim=2, classes=2, **knobs)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([turned(a) for a in (0, 180, 90, 270)], dtype=torch.float64))
        head.wins.copy_(torch.tensor([[50.0, 9.0], [0.0, 0.0]]))
    return head


def test_outliers_are_further_from_the_dominant_sub_centre_than_the_angle():
    head = in_the_plane(drop_angle=math.radians(75))
    embedding = torch.tensor(
        [turned(a) for a in (0, 74, 76, -74, -76, 170)] + [[0.0, 0.0]], dtype=torch.float64
    )
    found = head.outliers(3 * embedding, torch.zeros(7, dtype=torch.long))
    assert found.tolist() == [False, False, True, False, True, True, True]


def test_outliers_keep_their_scores_and_give_no_gradient_once_the_share_is_over():
    embedding = torch.tensor([turned(10), turned(170)], dtype=torch.float64)
    target = torch.tensor([0, 0])
    found = {}
    for step in (5, 6):
        head, leaf = in_the_plane(drop_after=0.6), embedding.clone().requires_grad_()
        head.at(step, 10)
        scores = head(leaf, target)
        entropy_loss(scores, target).sum().backward()
        found[step] = (scores, leaf.grad, head.weight.grad)
    assert torch.equal(found[5][0], found[6][0])
    assert torch.equal(found[5][1][0], found[6][1][0])
    assert found[5][1][1].abs().sum() > 0
    assert found[6][1][1].abs().sum() == 0
    alone = in_the_plane()
    entropy_loss(alone(embedding[:1], target[:1]), target[:1]).sum().backward()
    assert torch.allclose(found[6][2], alone.weight.grad)


def test_the_loop_sees_it_as_paced_and_outliers_stay_by_default_and_in_evaluation():
    embedding, target = torch.tensor([turned(170)], dtype=torch.float64), torch.tensor([0])
    never, evaluated = in_the_plane(), in_the_plane(drop_after=0.0).eval()
    for head in (never, evaluated):
        assert isinstance(head, Paced)
        head.at(10, 10)
        assert head(embedding, target).requires_grad
        entropy_loss(head(embedding, target), target).sum().backward()
        assert head.weight.grad.abs().sum() > 0


def test_untrained_cosines_are_the_best_of_k_random_ones():
    head, generator = make(m=0.0, s=1.0), torch.Generator().manual_seed(0)
    random = torch.randn(20_000, 5, generator=generator, dtype=torch.float64) * 0.1
    scores = head.untrained_scores(random, torch.zeros(20_000, dtype=torch.long))
    assert scores.mean().item() == pytest.approx(
        0.1 * 0.8463, abs=2e-3
    )  # mean of the largest of three normals
    assert scores.T.corrcoef().fill_diagonal_(0).abs().max() < 0.03


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"k": 0}, "k=0: must be a whole number >= 1"),
        ({"k": 1.5}, "k=1.5: must be a whole number >= 1"),
        ({"drop_angle": 75}, r"drop_angle=75: must be a number in \(0, 3.14159\); an angle in radians"),
        ({"drop_after": 1.5}, r"drop_after=1.5: must be a number in \[0, 1\]"),
        ({"s": 0}, "s=0: must be a number > 0"),
        ({"classes": 0}, "classes=0: must be a whole number >= 1"),
    ],
)
def test_a_bad_knob_is_named_with_its_value(knobs, line):
    with pytest.raises(ValueError, match=line):
        make(**knobs)
