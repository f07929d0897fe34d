"""Worked numbers of the chapter, each test named by the claim it checks."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.autograd.functional import hessian, jacobian

from lossbench.heads import LinearHead
from lossbench.losses import (
    crammer_singer_loss,
    cross_entropy_loss,
    focal_loss,
    hinge_all_loss,
    hinge_loss,
    hinge_mean_loss,
    label_smoothing_loss,
    mse_loss,
    squared_hinge_loss,
    squared_normalized_loss,
)

CATS = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]], dtype=torch.float64)
TARGET = torch.tensor([0, 1, 2])

entropy_loss = partial(cross_entropy_loss, tau=1.0)
squared_loss = partial(squared_normalized_loss, eps=1e-12)


def row(*scores):
    return torch.tensor([scores], dtype=torch.float64)


def gradient(loss, scores, target=0):
    leaf = scores.clone().requires_grad_()
    loss(leaf, torch.full((len(leaf),), target)).sum().backward()
    return leaf.grad


def probabilities(loss, scores):
    """The shares of all classes that a negative log-likelihood implies, for one row of scores."""
    classes = scores.shape[1]
    return (-loss(scores.expand(classes, classes), torch.arange(classes))).exp()


def test_c_3_6_3_example():
    """C-3.6.3-example: scores 3.2, 5.1, -1.7 with label cat cost 2.0404 nats."""
    probabilities = CATS[0].softmax(0)
    assert CATS[0].exp().tolist() == pytest.approx([24.5325, 164.0219, 0.1827], abs=1e-4)
    assert probabilities.tolist() == pytest.approx([0.12998, 0.86905, 0.00097], abs=1e-5)
    loss = cross_entropy_loss(CATS[:1], TARGET[:1], tau=1.0).item()
    assert loss == pytest.approx(2.0404, abs=1e-4)
    assert loss / math.log(10) == pytest.approx(0.886, abs=1e-3)


def test_c_3_6_4_ex():
    """C-3.6.4-ex: hinge 2.9, 0 and 12.9, mean 5.2667; cross-entropy on the same scores, mean 2.7587."""
    hinge = hinge_loss(CATS, TARGET, delta=1.0)
    assert hinge.tolist() == pytest.approx([2.9, 0.0, 12.9])
    assert hinge.mean().item() == pytest.approx(5.2667, abs=1e-4)
    entropy = cross_entropy_loss(CATS, TARGET, tau=1.0)
    assert entropy.tolist() == pytest.approx([2.0404, 0.0791, 6.1565], abs=1e-4)
    assert entropy.mean().item() == pytest.approx(2.7587, abs=1e-4)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (squared_hinge_loss, [8.41, 0.0, 83.25]),
        (crammer_singer_loss, [2.9, 0.0, 6.6]),
        (hinge_all_loss, [3.9, 1.0, 13.9]),
        (hinge_mean_loss, [1.45, 0.0, 6.45]),
    ],
)
def test_c_3_6_4_ex_of_the_hinges_relatives(loss, expected):
    """C-3.6.4-ex, C-3.6.4-all, X-05: the same scores under the other hinges; the mean is over C - 1."""
    assert loss(CATS, TARGET, delta=1.0).tolist() == pytest.approx(expected)


def test_c_3_6_4_ex_averaged_over_all_classes():
    """C-3.6.4-ex: over C with the true class as 0 the hinge is 0.967, 0 and 4.3."""
    averaged = (hinge_loss(CATS, TARGET, delta=1.0) / 3).tolist()
    assert averaged == pytest.approx([0.967, 0.0, 4.3], abs=1e-3)


def test_c_3_6_4_hinge():
    """C-3.6.4-hinge: slope +1 per violated class, minus their number at the target, 0 when satisfied."""
    scores = CATS.clone().requires_grad_()
    hinge_loss(scores, TARGET, delta=1.0).sum().backward()
    assert scores.grad.tolist() == [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, -2.0]]


def test_c_3_6_3_softmax():
    """C-3.6.3-softmax: the gradient of cross-entropy on the scores is p - y."""
    scores = CATS.clone().requires_grad_()
    cross_entropy_loss(scores, TARGET, tau=1.0).sum().backward()
    expected = CATS.softmax(1) - torch.eye(3, dtype=torch.float64)
    assert torch.allclose(scores.grad, expected, atol=1e-10)


def test_c_3_2_1_scale_loss():
    """C-3.2.1-scale-loss: scaling [2, -1, 0.5] keeps the winner but not the loss."""
    scores = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)
    target = torch.tensor([0])
    costs = [cross_entropy_loss(c * scores, target, tau=1.0).item() for c in (1.0, 0.5, 2.0)]
    assert costs == pytest.approx([0.2413, 0.5280, 0.0509], abs=1e-4)
    assert [hinge_loss(c * scores, target, delta=1.0).item() for c in (1.0, 0.5)] == [0.0, 0.25]


def test_c_3_6_5_double():
    """C-3.6.5-double: raising the target from 10 to 20 lowers cross-entropy and leaves the hinge at 0."""
    scores = torch.tensor([[10.0, -2, 3], [10, 9, 9], [10, -100, -100]], dtype=torch.float64)
    doubled = scores.clone()
    doubled[:, 0] = 20
    target = torch.zeros(3, dtype=torch.long)
    before, after = (cross_entropy_loss(z, target, tau=1.0).tolist() for z in (scores, doubled))
    assert before[:2] == pytest.approx([9.176e-4, 0.5514], rel=1e-3)
    assert after[:2] == pytest.approx([4.17e-8, 3.34e-5], rel=1e-2)
    assert (before[2], after[2]) == (0.0, 0.0)  # 3.4e-48 in truth, beyond float64's log-sum-exp
    before, after = (focal_loss(z, target, gamma=0.0)[2].item() for z in (scores, doubled))
    assert (before, after) == pytest.approx((3.38e-48, 1.53e-52), rel=1e-2, abs=0)
    for z in (scores, doubled):
        assert hinge_loss(z, target, delta=1.0).tolist() == [0.0, 0.0, 0.0]


def test_c_3_6_5_init():
    """C-3.6.5-init: equal scores cost log C and C - 1."""
    zeros = torch.zeros(1, 10, dtype=torch.float64)
    target = torch.tensor([3])
    assert cross_entropy_loss(zeros, target, tau=1.0).item() == pytest.approx(2.3026, abs=1e-4)
    assert hinge_loss(zeros, target, delta=1.0).item() == 9.0


def test_c_3_6_5_scale_and_x_02():
    """X-02: scaling scores changes the hinge where a margin is violated."""
    target = torch.tensor([0])
    assert hinge_loss(2 * CATS[:1], target, delta=1.0).item() == pytest.approx(4.8)
    tied = torch.tensor([[10.0, 9.5, 9.5]], dtype=torch.float64)
    assert hinge_loss(tied, target, delta=1.0).item() == 1.0
    assert hinge_loss(2 * tied, target, delta=1.0).item() == 0.0


def test_c_3_1_shapes():
    """C-3.1-shapes: ten classes on 32x32x3 pixels are 30,730 parameters."""
    head = LinearHead(32 * 32 * 3, 10)
    assert head(torch.zeros(1, 3072)).shape == (1, 10)
    assert sum(parameter.numel() for parameter in head.parameters()) == 30730


def test_c_3_1_2_toy():
    """C-3.1.2-toy: the 2x2 image scores -96.8, 437.9 and 60.75 (the slide's 61.95 forgets the bias)."""
    head = LinearHead(4, 3).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.2, -0.5, 0.1, 2.0], [1.5, 1.3, 2.1, 0.0], [0, 0.25, 0.2, -0.3]]))
        head.bias.copy_(torch.tensor([1.1, 3.2, -1.2]))
    scores = head(torch.tensor([[56.0, 231, 24, 2]], dtype=torch.float64))
    assert scores[0].tolist() == pytest.approx([-96.8, 437.9, 60.75], abs=1e-4)


def test_c_3_6_3_rel_and_x_32():
    """X-32: a large score is a large probability only beside smaller ones; equal scores of 100 share."""
    assert probabilities(entropy_loss, row(100, 100, 100, 100)).tolist() == pytest.approx([0.25] * 4)


def test_c_3_6_3_minmax():
    """C-3.6.3-minmax: cross-entropy has infimum 0, not attained, and no upper bound."""
    certain = focal_loss(row(700, 0), torch.tensor([0]), gamma=0.0).item()
    assert 0 < certain < 1e-300
    assert entropy_loss(row(-1e4, 0), torch.tensor([0])).item() == 1e4


def test_c_3_6_3_names():
    """C-3.6.3-names: KL(q || p) is cross-entropy less the entropy of q, with the same gradient."""
    for smoothing in (0.0, 0.3):
        q = torch.full((3, 3), smoothing / 3, dtype=torch.float64)
        q += (1 - smoothing) * torch.eye(3, dtype=torch.float64)
        entropy = -torch.special.xlogy(q, q).sum(1)
        leaf, other = CATS.clone().requires_grad_(), CATS.clone().requires_grad_()
        divergence = torch.nn.functional.kl_div(leaf.log_softmax(1), q, reduction="none").sum(1)
        cross = label_smoothing_loss(other, TARGET, smoothing=smoothing)
        assert torch.allclose(divergence, cross - entropy, rtol=0, atol=1e-12)
        divergence.sum().backward()
        cross.sum().backward()
        assert torch.allclose(leaf.grad, other.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", [entropy_loss, mse_loss])
def test_c_3_6_3_1_mle_and_x_26(loss):
    """C-3.6.3.1-mle, X-26: free scores fitted to labels end at their frequencies, by squared error too."""
    labels = torch.tensor([0] * 7 + [1] * 2 + [2])
    scores = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=100, tolerance_grad=1e-12, tolerance_change=0)

    def closure():
        optimizer.zero_grad()
        value = loss(scores.expand(10, 3), labels).mean()
        value.backward()
        return value

    optimizer.step(closure)
    assert scores.softmax(0).tolist() == pytest.approx([0.7, 0.2, 0.1], abs=1e-6)


def test_c_3_6_3_tau():
    """C-3.6.3-tau: tau -> 0 is one-hot with ties sharing, tau -> inf uniform; the entropy rises with tau."""

    def shares(scores, tau):
        return probabilities(partial(cross_entropy_loss, tau=tau), scores)

    cat = CATS[:1]
    assert shares(cat, 1e-3).tolist() == [0.0, 1.0, 0.0]
    assert shares(row(2, 2, 1), 1e-3).tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert shares(cat, 1e6).tolist() == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert torch.allclose(shares(cat, 1.0), cat[0].softmax(0))
    taus = torch.logspace(-1.5, 3, 60).tolist()
    entropies = [torch.special.entr(shares(cat, tau)).sum().item() for tau in taus]
    assert entropies == sorted(set(entropies))
    assert entropies[-1] == pytest.approx(math.log(3), abs=1e-4)


def test_c_3_6_3_tau_grad_and_x_12():
    """X-12: with small tau the slope of a right sample vanishes, that of a wrong one grows like 1/tau."""
    for tau in (2.0, 1.0, 0.1):
        got = gradient(partial(cross_entropy_loss, tau=tau), CATS[:1])
        y = row(1, 0, 0)
        assert torch.allclose(got, ((CATS[:1] / tau).softmax(1) - y) / tau)
    sharp = partial(cross_entropy_loss, tau=0.01)
    assert gradient(sharp, row(1, 0)).abs().max().item() < 1e-40
    assert gradient(sharp, row(0, 1)).abs().max().item() == pytest.approx(100)


def test_c_3_6_3_1_mse_weak_and_x_25():
    """C-3.6.3.1-mse-weak: at p_y = 0.01 cross-entropy costs 4.6052, squared error 0.9801 to 1.9602."""
    target = torch.tensor([0])
    assert entropy_loss(row(0.01, 0.99).log(), target).item() == pytest.approx(4.6052, abs=1e-4)
    assert mse_loss(row(0.01, 0.99).log(), target).item() == pytest.approx(1.9602)
    spread = row(0.01, *[0.99 / 9999] * 9999).log()
    assert mse_loss(spread, target).item() == pytest.approx(0.9801 + 0.99**2 / 9999)
    assert mse_loss(row(0, 1e4), target).item() == 2.0


def test_c_3_6_3_1_mse_grad():
    """C-3.6.3.1-mse-grad: largest slopes at scores (0, t, 0), label 0: squared error stalls."""
    y = [1, 0, 0]
    largest = {loss: [] for loss in (entropy_loss, mse_loss)}
    for t in (0, 2, 5, 10):
        scores = row(0, t, 0)
        p = scores[0].softmax(0).tolist()
        formula = [2 * sum((p[k] - y[k]) * p[k] * ((j == k) - p[j]) for k in range(3)) for j in range(3)]
        assert gradient(mse_loss, scores)[0].tolist() == pytest.approx(formula, abs=1e-12)
        for loss, found in largest.items():
            found.append(gradient(loss, scores).abs().max().item())
    assert largest[entropy_loss] == pytest.approx([0.667, 0.893, 0.993, 1.000], abs=5e-4)
    assert largest[mse_loss] == pytest.approx([0.444, 0.396, 0.039, 0.00027], abs=5e-4)
    assert largest[mse_loss][-1] == pytest.approx(0.00027, abs=5e-6)


def test_c_3_6_3_1_mse_coupling_and_x_23():
    """X-23: through softmax both losses couple all scores; only in p is squared error uncoupled."""
    p = CATS[0].softmax(0)
    second = {
        loss: hessian(lambda z, loss=loss: loss(z[None], TARGET[:1]).squeeze(), CATS[0])
        for loss in (entropy_loss, mse_loss)
    }
    assert torch.allclose(second[entropy_loss], p.diag() - p.outer(p))
    y = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    off_diagonal = ~torch.eye(3, dtype=torch.bool)
    assert (second[entropy_loss][off_diagonal].abs() > 1e-4).all()
    assert (second[mse_loss][off_diagonal].abs() > 1e-4).all()
    in_p = hessian(lambda q: (q - y).square().sum(), p)
    assert (in_p[off_diagonal] == 0).all()


def test_c_3_6_3_1_sq():
    """C-3.6.3.1-sq: shares of squares go with the squared ratio, blind to signs and to scale."""
    p = probabilities(squared_loss, CATS[:1])
    assert p.sum().item() == pytest.approx(1)
    assert (p[0] / p[1]).item() == pytest.approx((3.2 / 5.1) ** 2)
    assert torch.equal(probabilities(squared_loss, -CATS[:1]), p)
    assert torch.allclose(probabilities(squared_loss, 7 * CATS[:1]), p)


def test_x_11():
    """X-11: a small target score has slope -2000, not 0; scaling scores by c scales slopes by 1/c."""
    assert gradient(squared_loss, row(0.001, 1))[0, 0].item() == pytest.approx(-2000, rel=1e-5)
    assert torch.allclose(gradient(squared_loss, 0.01 * CATS[:1]), 100 * gradient(squared_loss, CATS[:1]))
    # The half that is right: a small score that is not the target's, and the probabilities themselves.
    assert gradient(squared_loss, row(0.001, 1), target=1)[0, 0].item() == pytest.approx(0.002, rel=1e-5)
    slopes = jacobian(partial(probabilities, squared_loss), row(0.001, 1))
    assert slopes[:, 0, 0].abs().max().item() == pytest.approx(0.002, rel=1e-5)


def test_x_24():
    """X-24: at small scores it is the squares that contrast sharply, and softmax that does not."""
    for scale, expected in ((0.1, [0.475, 0.525]), (0.01, [0.4975, 0.5025])):
        scores = row(scale, 2 * scale)
        assert probabilities(entropy_loss, scores).tolist() == pytest.approx(expected, abs=5e-5)
        assert probabilities(squared_loss, scores).tolist() == pytest.approx([0.2, 0.8])


def test_c_3_6_4_unique_and_x_06():
    """X-06: a zero hinge stays zero under scaling by 2 only if the bias is scaled too, and not under 0.5."""
    head = LinearHead(1, 2).double()
    x, target = torch.ones(1, 1, dtype=torch.float64), torch.tensor([0])

    def cost(weight, bias):
        with torch.no_grad():
            head.weight.copy_(weight * torch.tensor([[0.0], [1.0]]))
            head.bias.copy_(bias * torch.tensor([2.5, 0.0]))
        return hinge_loss(head(x), target, delta=1.0).item()

    assert [cost(1, 1), cost(2, 2), cost(3, 3)] == [0.0, 0.0, 0.0]
    assert [cost(2, 1), cost(0.5, 0.5)] == [0.5, 0.25]
    # The example of the chapter, without a bias.
    assert [cost(weight, 0) for weight in (-1, -2)] == [0.0, 0.0]


def test_c_3_6_5_sens():
    """C-3.6.5-sens: past its margins the hinge is flat; cross-entropy falls on, with slope -(1 - p_y)."""
    own = torch.linspace(-10, 20, 301, dtype=torch.float64)
    scores = torch.stack([own, torch.full_like(own, 3), torch.full_like(own, -2)], 1)
    target = torch.zeros(301, dtype=torch.long)
    assert (entropy_loss(scores, target).diff() < 0).all()
    slope = gradient(entropy_loss, scores)[:, 0]
    assert torch.allclose(slope, -(1 - scores.softmax(1)[:, 0]))
    assert (slope < 0).all()
    hinge, flat = partial(hinge_loss, delta=1.0), own > 4
    assert (hinge(scores, target)[flat] == 0).all()
    assert (gradient(hinge, scores)[flat] == 0).all()
    assert (hinge(scores, target)[own < 3.99] > 0).all()
