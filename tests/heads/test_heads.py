"""Heads against the textbook's formulas, one sample at a time."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from lossbench.heads import CosineHead, LinearHead
from lossbench.losses import cross_entropy_loss
from lossbench.margins import additive_cosine, multiplicative_angle


def am_softmax(m, s=30.0):
    torch.manual_seed(0)
    return CosineHead(8, 5, margin=partial(additive_cosine, m=m), s=s).double()


def draw(n=6, d=8):
    generator = torch.Generator().manual_seed(3)
    embedding = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return embedding, torch.randint(5, (n,), generator=generator)


def test_linear_scores_are_inner_products_plus_bias():
    head = LinearHead(8, 5).double()
    torch.nn.init.normal_(head.bias)
    embedding, target = draw()
    expected = embedding.numpy() @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    assert np.allclose(head(embedding).detach().numpy(), expected, atol=1e-12)
    assert torch.equal(head(embedding, target), head(embedding))


def test_without_bias_scores_scale_with_the_input():
    head = LinearHead(8, 5, bias=False).double()
    embedding, _ = draw()
    assert head.bias is None
    assert torch.allclose(head(0.5 * embedding), 0.5 * head(embedding))


def test_am_softmax_scores_follow_the_formula_one_sample_at_a_time():
    head, (embedding, target) = am_softmax(0.35), draw()
    weight = head.weight.detach().numpy()
    for x, y, scores in zip(embedding.numpy(), target.tolist(), head(embedding, target), strict=True):
        cosines = [float(x @ w / np.sqrt((x @ x) * (w @ w))) for w in weight]
        expected = [30 * (c - 0.35 if j == y else c) for j, c in enumerate(cosines)]
        assert scores.tolist() == pytest.approx(expected, rel=1e-12)


def test_plain_scores_carry_no_margin():
    head, (embedding, target) = am_softmax(0.35), draw()
    plain, margined = head(embedding), head(embedding, target)
    difference = (plain - margined).gather(1, target[:, None])
    assert torch.allclose(difference, torch.full_like(difference, 30 * 0.35))


def test_margin_zero_is_normface_is_cross_entropy_at_temperature_one_over_s():
    embedding, target = draw()
    head = am_softmax(0.0)
    normface = CosineHead(8, 5, s=30.0).double()
    normface.load_state_dict(head.state_dict())
    assert torch.allclose(head(embedding, target), normface(embedding, target))
    cosine = head.cosine(embedding)
    by_temperature = cross_entropy_loss(cosine, target, tau=1 / 30)
    assert torch.allclose(cross_entropy_loss(head(embedding, target), target, tau=1.0), by_temperature)


def test_the_loss_grows_with_the_margin():
    embedding, target = draw()
    costs = [cross_entropy_loss(am_softmax(m)(embedding, target), target, tau=1.0) for m in (0.0, 0.2, 0.4)]
    assert (costs[0] < costs[1]).all()
    assert (costs[1] < costs[2]).all()


def test_gradients_pass_gradcheck_through_the_whole_head():
    head, (embedding, target) = am_softmax(0.35, s=4.0), draw()

    def loss(x, weight):
        scores = torch.func.functional_call(head, {"weight": weight}, (x, target))
        return cross_entropy_loss(scores, target, tau=1.0)

    weight = head.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (embedding.requires_grad_(), weight))


def test_the_feature_gradient_is_orthogonal_to_the_feature():
    """C-AM-radial: an update turns a normalised feature, it does not rescale it."""
    head, (embedding, target) = am_softmax(0.35), draw()
    embedding.requires_grad_()
    cross_entropy_loss(head(embedding, target), target, tau=1.0).sum().backward()
    assert (embedding.grad * embedding).sum(1).abs().max() < 1e-12


def test_c_am_grad_feature_gradient_bound():
    """C-AM-grad: antipodal prototypes orthogonal to x reach 2 s (1 - p) = 59.998 at s=30, m=0.35."""
    head = CosineHead(2, 2, margin=partial(additive_cosine, m=0.35), s=30.0).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
    embedding = torch.tensor([[1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    cross_entropy_loss(head(embedding, torch.tensor([0])), torch.tensor([0]), tau=1.0).sum().backward()
    assert embedding.grad.norm().item() == pytest.approx(59.998, abs=1e-3)


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_values_and_gradients_are_finite_on_a_prototype_and_opposite_to_it(direction):
    head = am_softmax(0.35).float()
    embedding = (direction * head.weight[2:3].detach()).requires_grad_()
    loss = cross_entropy_loss(head(embedding, torch.tensor([2])), torch.tensor([2]), tau=1.0)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(embedding.grad).all()
    assert torch.isfinite(head.weight.grad).all()


def test_a_zero_embedding_has_cosine_zero_and_finite_gradients():
    head = am_softmax(0.35)
    embedding = torch.zeros(1, 8, dtype=torch.float64, requires_grad=True)
    scores = head(embedding)
    scores.sum().backward()
    assert scores.tolist() == [[0.0] * 5]
    assert torch.isfinite(embedding.grad).all()


def test_without_a_scale_scores_are_the_embeddings_norm_times_the_cosine():
    embedding, target = draw()
    head = CosineHead(8, 5, margin=partial(multiplicative_angle, m=4, lam=5.0), s=None).double()
    norm = embedding.norm(dim=1, keepdim=True)
    assert torch.allclose(head(embedding), norm * head.cosine(embedding))
    margined = multiplicative_angle(head.cosine(embedding), target, m=4, lam=5.0)
    assert torch.allclose(head(embedding, target), norm * margined)
    zero = torch.zeros(1, 8, dtype=torch.float64, requires_grad=True)
    head(zero, target[:1]).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_multiplying_the_angle_by_one_is_the_modified_softmax():
    """A(m=1): a linear head on unit weights without bias."""
    embedding, target = draw()
    head = CosineHead(8, 5, margin=partial(multiplicative_angle, m=1, lam=0.0), s=None).double()
    modified = LinearHead(8, 5, bias=False).double()
    with torch.no_grad():
        modified.weight.copy_(torch.nn.functional.normalize(head.weight))
    assert torch.allclose(head(embedding, target), modified(embedding), atol=1e-12)


@pytest.mark.parametrize("s", [0, -30, float("inf"), "abc"])
def test_a_bad_scale_is_named_with_its_value(s):
    with pytest.raises(ValueError, match=f"s={s}: must be a number > 0"):
        CosineHead(8, 5, s=s)


def test_heads_refuse_sizes_that_are_not_whole_numbers():
    with pytest.raises(ValueError, match="classes=0: must be a whole number >= 1"):
        LinearHead(8, 0)
    with pytest.raises(ValueError, match=r"dim=2.5: must be a whole number >= 1"):
        CosineHead(2.5, 3, s=30.0)


def test_c_3_1_3_biastrick_is_exactly_a_bias():
    torch.manual_seed(0)
    plain = LinearHead(8, 5).double()
    torch.manual_seed(0)
    trick = LinearHead(8, 5, bias=False, bias_trick=True).double()
    assert torch.equal(trick.weight[:, :8], plain.weight)
    embedding, _ = draw()
    assert torch.equal(trick.cosine(embedding), plain.cosine(embedding))
    for _ in range(3):  # and stays one while training
        for head in (plain, trick):
            head.zero_grad()
            cross_entropy_loss(head(embedding), draw()[1], tau=1.0).mean().backward()
            with torch.no_grad():
                for parameter in head.parameters():
                    parameter -= 0.5 * parameter.grad
        assert torch.allclose(trick.weight[:, 8], plain.bias, atol=1e-15)
        assert torch.allclose(trick(embedding), plain(embedding), atol=1e-14)


def test_the_bias_trick_beside_a_bias_is_refused():
    with pytest.raises(ValueError, match="bias_trick=True: the appended 1 is the bias; set bias=false"):
        LinearHead(8, 5, bias=True, bias_trick=True)


def test_a_learned_scale_gets_the_gradient_of_the_scale_and_stays_positive():
    head = CosineHead(8, 5, s=10.0, learn_s=True).double()
    embedding, target = draw()

    def loss(s):
        return cross_entropy_loss(s * head.cosine(embedding).detach(), target, tau=1.0).sum()

    cross_entropy_loss(head(embedding, target), target, tau=1.0).sum().backward()
    slope = (loss(10 + 1e-5) - loss(10 - 1e-5)) / 2e-5
    assert head.s.grad.item() == pytest.approx(slope.item(), rel=1e-6)
    with torch.no_grad():
        head.s.fill_(-3.0)
    assert float(head.scale(embedding.norm(dim=1, keepdim=True)).detach()) == pytest.approx(0.01)


def test_a_learned_scale_without_a_start_is_refused():
    with pytest.raises(ValueError, match="learn_s=True: needs a scale to start from"):
        CosineHead(8, 5, s=None, learn_s=True)
