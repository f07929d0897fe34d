"""Shapes, dropout and memory formats of backbones; Identity against its pixels, one at a time."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from lossbench.backbones import MLP, ConvNet, Identity
from lossbench.build import make_backbone
from lossbench.config import ConfigError

CONVNET = partial(ConvNet, widths=[4, 6], strides=[1, 2], dim=5, dropout=0.0)
MULTILAYER = partial(MLP, hidden=[7], dim=5, dropout=0.0)
MAKERS = {"convnet": CONVNET, "mlp": MULTILAYER, "identity": Identity}


def images(n=3, shape=(2, 9, 8)):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 5), (2, 1, 1)])
def test_images_become_embeddings_of_the_size_the_backbone_announces(name, shape):
    backbone = MAKERS[name](shape).eval()
    embedding = backbone(images(4, shape))
    assert backbone.dim == {"convnet": 5, "mlp": 5, "identity": shape[0] * shape[1] * shape[2]}[name]
    assert embedding.shape == (4, backbone.dim)
    assert embedding.dtype == torch.float32


@pytest.mark.parametrize("name", ["mlp", "identity"])
def test_vectors_become_embeddings_too(name):
    backbone = MAKERS[name]((6,))
    assert backbone(torch.randn(3, 6)).shape == (3, {"mlp": 5, "identity": 6}[name])


def test_identity_lists_the_pixels_channel_by_channel_row_by_row():
    rows = images(2, (3, 2, 4))
    flat = Identity((3, 2, 4))(rows)
    for n in range(2):
        expected = [rows[n, c, h, w].item() for c in range(3) for h in range(2) for w in range(4)]
        assert flat[n].tolist() == expected


@pytest.mark.parametrize("name", MAKERS)
def test_channels_last_images_give_the_same_embeddings(name):
    torch.manual_seed(0)
    backbone = MAKERS[name]((2, 9, 8)).eval()
    rows = images()
    last = rows.contiguous(memory_format=torch.channels_last)
    assert last.stride() != rows.stride()
    torch.testing.assert_close(backbone(last), backbone(rows), rtol=1e-5, atol=1e-6)


def test_a_channels_last_convnet_gives_the_same_embeddings():
    torch.manual_seed(0)
    backbone = CONVNET((2, 9, 8)).eval()
    before = backbone(images())
    backbone.to(memory_format=torch.channels_last)
    after = backbone(images().contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strides", [[1, 1], [2, 1], [2, 2]])
def test_the_convnets_strides_decide_how_many_features_are_embedded(strides):
    backbone = CONVNET((2, 8, 8), strides=strides)
    side = 8 // (strides[0] * strides[1])
    assert backbone.features.eval()(images(1, (2, 8, 8))).shape == (1, 6 * side * side)


def test_building_a_convnet_leaves_its_batch_statistics_untouched():
    backbone = CONVNET((2, 9, 8))
    assert backbone.training
    norms = [layer for layer in backbone.modules() if hasattr(layer, "running_mean")]
    assert len(norms) == 3
    for norm in norms:
        assert norm.training
        assert norm.running_mean.eq(0).all()
        assert norm.running_var.eq(1).all()
        assert norm.num_batches_tracked == 0


@pytest.mark.parametrize("maker", [CONVNET, MULTILAYER])
def test_dropout_sets_its_share_of_the_embedding_to_zero_while_training_alone(maker):
    torch.manual_seed(0)
    backbone = maker((2, 9, 8), dim=2000, dropout=0.3)
    rows = images(8)
    training = backbone.train()(rows)
    assert (training == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert not torch.equal(training, backbone(rows))
    backbone.eval()
    assert torch.equal(backbone(rows), backbone(rows))
    assert (backbone(rows) == 0).float().mean().item() < 0.01


def test_the_last_layer_of_the_mlp_is_linear_so_embeddings_have_both_signs():
    torch.manual_seed(0)
    embedding = MULTILAYER((6,))(torch.randn(50, 6))
    assert (embedding < 0).any()
    assert (embedding > 0).any()


def test_a_convnet_on_vectors_is_refused_in_one_line_with_the_cure():
    config = {
        "_target_": "lossbench.backbones.ConvNet",
        "_partial_": True,
        "widths": [4],
        "strides": [1],
        "dim": 5,
        "dropout": 0.0,
    }
    with pytest.raises(ConfigError) as found:
        make_backbone(config, (2,))
    assert str(found.value) == (
        "backbone ConvNet needs images (channels, height, width), got rows of shape (2,); "
        "use backbone=mlp or backbone=identity"
    )


@pytest.mark.parametrize(
    ("maker", "options", "line"),
    [
        (CONVNET, {"widths": [4]}, r"widths=\[4\]: give one width per stride"),
        (CONVNET, {"widths": [4, 0]}, "widths or dim=0: must be a whole number >= 1"),
        (CONVNET, {"dim": 2.5}, "widths or dim=2.5: must be a whole number >= 1"),
        (CONVNET, {"dropout": 1.0}, r"dropout=1.0: must be a number in \[0, 1\)"),
        (MULTILAYER, {"hidden": [-1]}, "hidden or dim=-1: must be a whole number >= 1"),
        (MULTILAYER, {"dropout": -0.1}, r"dropout=-0.1: must be a number in \[0, 1\)"),
    ],
)
def test_options_out_of_range_are_refused(maker, options, line):
    with pytest.raises(ValueError, match=line):
        maker((2, 9, 8), **options)
