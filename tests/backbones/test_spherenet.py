"""SphereNet beside counts by hand, a plain forward pass, and the initial weights of its prototxt."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from lossbench.backbones import SphereNet


def spherenet(shape=(3, 112, 96), **options):
    torch.manual_seed(0)
    return SphereNet(shape, **{"layers": 20, "dim": 512, "dropout": 0.0, **options})


@pytest.fixture(scope="module")
def faces():
    return spherenet()


def convolutions(net):
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]


def test_the_net_of_the_chapter_has_twenty_convolutions_and_one_linear_layer(faces):
    convs = convolutions(faces)
    assert len(convs) == 20
    assert sum(conv.stride == (2, 2) for conv in convs) == 4
    assert [conv.out_channels for conv in convs] == [64] * 3 + [128] * 5 + [256] * 9 + [512] * 3
    assert sum(isinstance(layer, nn.Linear) for layer in faces.modules()) == 1
    assert sum(isinstance(layer, nn.PReLU) for layer in faces.modules()) == 20
    assert not any(isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d) for layer in faces.modules())


def test_its_parameters_are_those_counted_by_hand(faces):
    opening = 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + (64 + 128 + 256 + 512)
    residual = 9 * 2 * (1 * 64**2 + 2 * 128**2 + 4 * 256**2 + 1 * 512**2)
    slopes = 3 * 64 + 5 * 128 + 9 * 256 + 3 * 512
    linear = 512 * 7 * 6 * 512 + 512
    assert sum(weight.numel() for weight in faces.parameters()) == opening + residual + slopes + linear
    assert opening + residual + slopes + linear == 22_666_944


@pytest.mark.parametrize("layers", [4, 10, 20, 36, 64])
def test_every_depth_has_the_convolutions_it_is_called_by(layers):
    with torch.device("meta"):
        net = SphereNet((1, 16, 16), layers=layers, dim=8, dropout=0.0)
    assert len(convolutions(net)) == layers


@pytest.mark.parametrize("shape", [(3, 112, 96), (3, 112, 112), (1, 28, 28), (2, 33, 17), (1, 9, 9)])
def test_images_of_many_sizes_become_embeddings(shape):
    net = spherenet(shape, layers=4, dim=7).eval()
    assert net.dim == 7
    assert net(torch.randn(2, *shape)).shape == (2, 7)


def test_the_forward_pass_is_the_published_one():
    net = spherenet((2, 20, 12), layers=10, dim=5).eval()
    images = torch.randn(3, 2, 20, 12)
    weights = iter(net.parameters())

    def activated(x, stride, biased):
        weight, bias = next(weights), next(weights) if biased else None
        x = F.conv2d(x, weight, bias, stride, padding=1)
        return torch.where(x > 0, x, next(weights)[:, None, None] * x)

    x = images
    for blocks in (0, 1, 2, 0):
        x = activated(x, 2, True)
        for _ in range(blocks):
            x = x + activated(activated(x, 1, False), 1, False)
    expected = x.flatten(1) @ next(weights).T + next(weights)
    assert not list(weights)
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-6)


def test_initial_weights_are_those_of_the_prototxt(faces):
    linear = next(layer for layer in faces.modules() if isinstance(layer, nn.Linear))
    for layer in [*convolutions(faces), linear]:
        weight = layer.weight.detach()
        fan_in = weight[0].numel()
        assert abs(weight.mean()) < 5 * weight.std() / weight.numel() ** 0.5
        if layer is linear or layer.stride == (2, 2):
            bound = (3 / fan_in) ** 0.5
            assert 0.98 * bound < weight.abs().max() <= bound
            assert weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.03)
            assert layer.bias.eq(0).all()
        else:
            assert weight.std().item() == pytest.approx(0.01, rel=0.02)
            assert weight.abs().max() > 0.03
            assert layer.bias is None
    slopes = [layer.weight for layer in faces.modules() if isinstance(layer, nn.PReLU)]
    assert all(slope.eq(0.25).all() for slope in slopes)


def test_dropout_sets_its_share_of_the_embedding_to_zero_while_training_alone():
    net = spherenet((1, 9, 9), layers=4, dim=2000, dropout=0.75)
    images = torch.randn(8, 1, 9, 9)
    assert (net.train()(images) == 0).float().mean().item() == pytest.approx(0.75, abs=0.02)
    assert not (net.eval()(images) == 0).any()


@pytest.mark.parametrize(
    ("shape", "options", "line"),
    [
        ((6,), {}, r"backbone SphereNet needs images .* rows of shape \(6,\); use backbone=mlp"),
        ((1, 8, 30), {}, "8 x 30 pixels are too few; give 9 or more each way"),
        ((1, 9, 9), {"layers": 18}, "layers=18: must be one of 4, 10, 20, 36, 64"),
        ((1, 9, 9), {"dim": 0}, "dim=0: must be a whole number >= 1"),
        ((1, 9, 9), {"dropout": 1.0}, r"dropout=1.0: must be a number in \[0, 1\)"),
    ],
)
def test_options_out_of_range_are_refused(shape, options, line):
    with pytest.raises(ValueError, match=line):
        spherenet(shape, **options)
