"""Worked numbers of the chapter that heads and their margins can show, each test named by its claim."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from lossbench.diagnostics import random_cosines
from lossbench.heads import CosineHead, LinearHead
from lossbench.losses import cross_entropy_loss, hinge_loss
from lossbench.margins import additive_cosine, multiplicative_angle

entropy_loss = partial(cross_entropy_loss, tau=1.0)


def linear(weight, bias=None):
    head = LinearHead(len(weight[0]), len(weight), bias=bias is not None).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor(weight))
        if bias is not None:
            head.bias.copy_(torch.tensor(bias))
    return head


def test_c_3_1_shapes():
    """C-3.1-shapes: 3,072 pixels and ten classes take 30,730 parameters, with the bias trick too."""
    for options in ({}, {"bias": False, "bias_trick": True}):
        head = LinearHead(3072, 10, **options)
        assert head(torch.zeros(1, 3072)).shape == (1, 10)
        assert sum(parameter.numel() for parameter in head.parameters()) == 30730


def test_c_3_1_1_bias():
    """C-3.1.1-bias: points (1,1) and (2,2) of two classes need a bias; W = (-1,-1), b = 3 scores +1, -1."""
    points = torch.tensor([[1.0, 1.0], [2.0, 2.0]], dtype=torch.float64)
    scores = linear([[-1.0, -1.0], [0.0, 0.0]], [3.0, 0.0])(points)
    assert scores[:, 0].tolist() == [1.0, -1.0]
    assert scores.argmax(1).tolist() == [0, 1]
    generator = torch.Generator().manual_seed(0)
    for weight in torch.randn(200, 2, 2, generator=generator, dtype=torch.float64).tolist():
        decided = linear(weight)(points).argmax(1)
        assert decided[0] == decided[1]


def test_c_3_1_slope():
    """C-3.1-slope: the bias shifts the boundary by |b| / |w| along a normal that it leaves alone."""
    head = linear([[3.0, 4.0], [0.0, 0.0]], [-10.0, 0.0])
    on_it = torch.tensor([[3.0, 4.0]], dtype=torch.float64) / 5 * 2
    along = on_it + torch.tensor([[4.0, -3.0]], dtype=torch.float64)
    assert head(torch.cat([on_it, along]))[:, 0].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_c_3_2_1_scale():
    """C-3.2.1-scale: without bias f(cx) = c f(x): 2, -1, 0.5 become 1, -0.5, 0.25; with one they do not."""
    x = torch.ones(1, 1, dtype=torch.float64)
    weight = [[2.0], [-1.0], [0.5]]
    assert linear(weight)(0.5 * x).tolist() == [[1.0, -0.5, 0.25]]
    with_bias = linear(weight, [1.0, 1.0, 1.0])
    assert not torch.allclose(with_bias(0.5 * x), 0.5 * with_bias(x))


@pytest.mark.parametrize("weight", [[2.0], [0.5]])
def test_c_3_2_1_scale_of_the_weights_matters_to_no_cosine_head(weight):
    """C-AM-3.1: scores s cos depend on no length, of the feature or of the weights."""
    head, embedding = CosineHead(4, 3, s=30.0).double(), torch.randn(5, 4, dtype=torch.float64)
    before = head(embedding)
    with torch.no_grad():
        head.weight.mul_(weight[0])
    assert torch.allclose(head(7.0 * embedding), before, atol=1e-12)


def test_c_am_3_2():
    """C-AM-3.2: z_y = s (cos - m), the others unchanged; m = 0 is NormFace; the loss grows with m."""
    torch.manual_seed(0)
    embedding, target = torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 2, 1, 2])
    losses = []
    for m in (0.0, 0.35, 0.5):
        torch.manual_seed(1)
        head = CosineHead(6, 3, margin=partial(additive_cosine, m=m), s=30.0).double()
        expected = 30.0 * head.cosine(embedding)
        expected[torch.arange(4), target] -= 30.0 * m
        assert torch.allclose(head(embedding, target), expected, atol=1e-12)
        losses.append(entropy_loss(head(embedding, target), target))
    assert (losses[0] < losses[1]).all()
    assert (losses[1] < losses[2]).all()


def test_c_am_listing():
    """C-AM-listing: a forward pass written in numpy, normalise, subtract, scale, log-sum-exp."""
    torch.manual_seed(0)
    head = CosineHead(6, 5, margin=partial(additive_cosine, m=0.35), s=30.0).double()
    x, y = np.random.default_rng(0).normal(size=(7, 6)), np.array([0, 1, 2, 3, 4, 0, 2])
    w = head.weight.detach().numpy()
    cosine = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T
    cosine[np.arange(7), y] -= 0.35
    z = 30.0 * cosine
    top = z.max(1, keepdims=True)
    expected = (np.log(np.exp(z - top).sum(1)) + top[:, 0] - z[np.arange(7), y]).mean()
    target = torch.from_numpy(y)
    found = entropy_loss(head(torch.from_numpy(x), target), target).mean()
    assert found.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("dim", "expected"), [(2, 0.5), (3, 0.667), (64, 0.984), (512, 0.998)])
def test_c_am_esin_and_x_03(dim, expected):
    """C-AM-esin, X-03: the mean of sin² at random is 1 - 1/d: 0.5 on the circle alone."""
    cosine = random_cosines(400, 500, dim, np.random.default_rng(0))
    assert (1 - cosine.square()).mean().item() == pytest.approx(expected, abs=2e-3)


def test_c_am_raw():
    """C-AM-raw: cos(m theta) rises again past pi / m; psi does not."""
    angle = torch.linspace(0, math.pi, 1001, dtype=torch.float64)
    column, zeros = angle.cos()[:, None], torch.zeros(1001, dtype=torch.long)
    for m in (2, 3, 4):
        raw, psi = (m * angle).cos(), multiplicative_angle(column, zeros, m=m, lam=0.0)[:, 0]
        first = angle[: 1001 // m + 1]
        assert raw[: len(first)].argmin().item() == pytest.approx(1000 / m, abs=1)
        assert raw.diff().max() > 0
        assert psi.diff().max() <= 1e-12


def theta_max(angle, m=0.35):
    """Largest angle to the own prototype that beats a rival at ``angle`` degrees."""
    return math.degrees(math.acos(math.cos(math.radians(angle)) + m))


def test_c_am_thetamax_pull():
    """C-AM-thetamax: pulls of 49.46 degrees at the limit, 28.2 at 60, 20.5 at 90, 20.16 at 100.1."""
    limit = math.degrees(math.acos(0.65))
    assert limit == pytest.approx(49.46, abs=0.005)
    assert limit - theta_max(limit + 1e-9) == pytest.approx(49.46, abs=0.01)
    pulls = {60: 28.2, 90: 20.5, 100.1: 20.16, 150: 28.9, 180: 49.46}
    assert [angle - theta_max(angle) for angle in pulls] == pytest.approx(list(pulls.values()), abs=0.05)
    linear_pulls = {60: 36.8, 90: 69.9}
    for angle, expected in linear_pulls.items():
        assert angle - math.degrees(0.35 / math.sin(math.radians(angle))) == pytest.approx(expected, abs=0.05)


def feature_gradient(head, norm, m):
    """Gradient norm on a feature of this length at the bisector of its own and a wrong prototype."""
    feature = torch.zeros(1, 10, dtype=torch.float64)
    feature[0, :2] = norm / math.sqrt(2)
    feature.requires_grad_()
    target = torch.tensor([0])
    entropy_loss(head(feature, target), target).sum().backward()
    return feature.grad.norm().item()


def test_x_04_gradient_norms_against_feature_norms():
    """X-04, C-AM-fig22: bounded without feature normalisation, 1 / norm with it; they meet at norm = s."""
    without = linear(np.eye(10).tolist())
    normface, amsoftmax = (
        CosineHead(10, 10, margin=margin, s=30.0).double()
        for margin in (None, partial(additive_cosine, m=0.35))
    )
    for head in (normface, amsoftmax):
        with torch.no_grad():
            head.weight.copy_(torch.eye(10))
    found = [feature_gradient(without, norm, 0.0) for norm in (0.1, 1, 10, 100)]
    assert found == pytest.approx([0.943, 0.881, 0.707, 0.707], abs=1e-3)
    found = [feature_gradient(normface, norm, 0.0) for norm in (0.1, 1, 30, 100)]
    assert found == pytest.approx([212.1, 21.2, 0.707, 0.212], rel=3e-3)
    assert feature_gradient(amsoftmax, 0.1, 0.35) == pytest.approx(424.3, rel=1e-3)


def test_c_am_radial_in_half_precision():
    """C-AM-radial: exp(s) overflows float16 above s = 11.09 unless the maximum is subtracted, as here."""
    assert math.log(torch.finfo(torch.float16).max) == pytest.approx(11.09, abs=0.005)
    scores = torch.tensor([[30.0, 0.0]], dtype=torch.float16)
    assert torch.isinf(scores.exp()).any()
    assert torch.isfinite(entropy_loss(scores, torch.tensor([1]))).all()


@pytest.mark.parametrize(("degrees", "expected"), [(45, 1.58), (90, 1.37)])
def test_x_16_the_blended_margin_is_about_one_and_a_half(degrees, expected):
    """X-16: cos(m theta) fitted to m = 4, lambda = 5 gives 1.58 on 0-45 and 1.37 on 0-90 degrees."""
    angle = torch.linspace(0, math.radians(degrees), 2001, dtype=torch.float64)
    blended = multiplicative_angle(angle.cos()[:, None], torch.zeros(2001, dtype=torch.long), m=4, lam=5.0)[
        :, 0
    ]
    candidates = torch.arange(1.0, 2.5, 0.001, dtype=torch.float64)
    misfit = ((candidates[:, None] * angle).cos() - blended).square().sum(1)
    assert candidates[misfit.argmin()].item() == pytest.approx(expected, abs=0.005)


def test_c_3_2_1_scale_hinge_at_half():
    """C-3.2.1-scale-loss: the hinge of 2, -1, 0.5 goes from 0 to 0.25 at c = 0.5."""
    scores, target = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64), torch.tensor([0])
    assert [hinge_loss(c * scores, target, delta=1.0).item() for c in (1.0, 0.5)] == [0.0, 0.25]
