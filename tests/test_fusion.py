"""The pass that does head and loss at once, against the two of them in turn."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from lossbench.build import make_objective
from lossbench.fusion import fuse
from lossbench.heads import CosineHead, LinearHead
from lossbench.losses import cross_entropy_loss, focal_loss
from lossbench.margins import additive_cosine
from lossbench.schedules import linear_ramp
from tests.test_config import resolved

FUSED = ["normface", "amsoftmax", "amsoftmax_no_fn", "arcface", "asoftmax", "combined", "sphereface_r"]
FUSED += ["sphereface_r_v1", "normface head.learn_s=true", "ce head=arcface_straight_through"]
FUSED += ["temperature head=amsoftmax"]
APART = ["ce", "lsoftmax", "focal head=amsoftmax", "hinge head=normface", "uniface", "sphereface2"]
APART += ["adaface", "magface", "curricularface", "adacos", "ldam", "subcenter_arcface", "sup_con"]


def objective(words):
    loss, *others = words.split()
    torch.manual_seed(0)
    return make_objective(resolved(f"loss={loss}", *others)[0], dim=16, counts=[3, 4, 5, 6, 7])[:2]


def draw():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, 16, generator=generator), torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 2])


@pytest.mark.parametrize("words", FUSED)
def test_the_fused_pass_has_the_values_and_gradients_of_head_and_loss(words):
    head, loss = objective(words)
    head = head.double()
    found = []
    for compute in (fuse(head, loss), lambda x, y: loss(by_hand(head, x, y), y)):
        embedding, target = draw()
        embedding = embedding.double().requires_grad_()
        head.zero_grad()
        values = compute(embedding, target)
        values.mean().backward()
        found.append([values, embedding.grad, *(parameter.grad for parameter in head.parameters())])
    for fast, plain in zip(*found, strict=True):
        assert torch.allclose(fast, plain, rtol=1e-9, atol=1e-12)


def by_hand(head, embedding, target):
    """The scores without the fast way."""
    norm = embedding.norm(dim=1, keepdim=True)
    return head.scale(norm) * head.margined(head.cosine(embedding), target, norm)


@pytest.mark.parametrize("words", APART)
def test_everything_else_goes_head_first_then_loss(words):
    assert fuse(*objective(words)) is None


def lifted(cosine, target):
    """A margin that also changes the others."""
    return additive_cosine(cosine, target, m=0.1) + 0.01


def by_class(cosine, target):
    """A margin that depends on which class it is."""
    return cosine.scatter_add(1, target[:, None], -0.01 * target[:, None].to(cosine.dtype))


class Learned(nn.Module):
    """A margin that is trained."""

    def __init__(self):
        super().__init__()
        self.m = nn.Parameter(torch.tensor(0.1))

    def forward(self, cosine, target):
        return cosine.scatter_add(1, target[:, None], -self.m.expand(len(target), 1))


def lifted_by(cosine, target, *, m):
    return cosine + m


RISING = partial(lifted_by, m=partial(linear_ramp, end=0.3, ramp=0.5))


def by_table(cosine, target):
    """A margin that knows three classes only."""
    return cosine - torch.tensor([0.1, 0.2, 0.3])[target][:, None]


@pytest.mark.parametrize("margin", [lifted, by_class, Learned(), RISING])
def test_a_margin_that_does_more_is_not_cut_short(margin):
    head = CosineHead(16, 5, margin=margin, s=30.0)
    embedding, target = draw()
    assert fuse(head, partial(cross_entropy_loss, tau=1.0)) is None
    assert torch.allclose(head(embedding, target), by_hand(head, embedding, target))


def test_a_subclass_keeps_what_it_changes():
    class Shifted(CosineHead):
        def margined(self, cosine, target, norm):
            return cosine - 0.5

    head = Shifted(16, 5, s=30.0)
    embedding, target = draw()
    assert fuse(head, partial(cross_entropy_loss, tau=1.0)) is None
    assert torch.allclose(head(embedding, target), 30 * (head.cosine(embedding) - 0.5))


def test_what_is_not_ours_is_left_alone():
    head = CosineHead(16, 5, s=30.0)
    assert fuse(head, partial(focal_loss, gamma=0.0)) is None
    assert fuse(head, lambda scores, target: scores.sum(1)) is None
    assert fuse(LinearHead(16, 5), partial(cross_entropy_loss, tau=1.0)) is None
    assert fuse(nn.Linear(16, 5), partial(cross_entropy_loss, tau=1.0)) is None


def test_a_margin_made_for_so_many_classes_is_taken_as_it_is():
    assert not CosineHead(16, 3, margin=by_table, s=30.0).fast
