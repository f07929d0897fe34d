"""Modules from elsewhere: what they are fed, what is found out about them, and how they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from omegaconf import OmegaConf
from torch import nn

from lossbench.backbones import Foreign
from lossbench.build import make_backbone
from lossbench.config import ConfigError

CONF = Path(__file__).parents[2] / "conf" / "backbone" / "module.yaml"
PLAIN = {"channels": None, "size": None, "dim": None}


def pooled(channels=3, width=5):
    """A factory as model libraries have them: (n, width, 1, 1) out."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    )


def unpooled():
    return nn.Conv2d(1, 4, 3)


def for_eight_pixels():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))


class Squeezing(nn.Module):
    def forward(self, images):
        return images.mean((2, 3)).squeeze()


class Seen(nn.Module):
    """Keeps what it was given."""

    def forward(self, images):
        self.images = images
        return images.flatten(1)


def a_dictionary():
    class Wrapping(nn.Module):
        def forward(self, images):
            return {"embedding": images.flatten(1)}

    return Wrapping()


def not_a_module():
    return [1, 2]


def needs_an_argument(depth):
    return nn.Identity()


def images(n=3, channels=1, side=12):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(0))


def test_grey_and_rgb_images_become_embeddings_of_the_size_announced():
    for channels in (1, 3):
        backbone = Foreign((channels, 12, 12), module=pooled, **{**PLAIN, "channels": 3}).eval()
        assert backbone.dim == 5
        assert backbone(images(channels=channels)).shape == (3, 5)


def test_the_embedding_is_what_the_module_returns_flattened():
    backbone = Foreign((1, 12, 12), module=pooled, **{**PLAIN, "channels": 3}).eval()
    rows = images()
    assert torch.equal(backbone(rows), backbone.module(rows.repeat(1, 3, 1, 1))[:, :, 0, 0])


def test_grey_is_repeated_and_images_are_resized_as_interpolate_does():
    backbone = Foreign((1, 12, 12), module=Seen, channels=3, size=20, dim=None)
    backbone(images())
    expected = F.interpolate(images(), (20, 20), mode="bilinear", antialias=True).repeat(1, 3, 1, 1)
    torch.testing.assert_close(backbone.module.images, expected)


def test_nulls_leave_images_and_vectors_as_they_are():
    for shape in ((1, 12, 12), (7,)):
        backbone = Foreign(shape, module=Seen, **PLAIN)
        rows = torch.rand(3, *shape)
        backbone(rows)
        assert backbone.module.images is rows


def test_a_linear_layer_gives_the_dim_asked_for():
    backbone = Foreign((1, 12, 12), module=pooled, channels=3, size=None, dim=7).eval()
    plain = backbone.module(images().repeat(1, 3, 1, 1)).flatten(1)
    assert backbone.dim == 7
    assert torch.equal(backbone(images()), backbone.embed(plain))
    assert isinstance(backbone.embed, nn.Linear)


def test_the_dry_run_changes_no_buffer_no_mode_and_no_random_state():
    torch.manual_seed(3)
    pooled()
    expected = torch.rand(1)
    torch.manual_seed(3)
    backbone = Foreign((1, 12, 12), module=pooled, **{**PLAIN, "channels": 3})
    assert torch.equal(torch.rand(1), expected)
    norm = backbone.module[1]
    assert norm.num_batches_tracked == 0
    assert norm.running_mean.eq(0).all()
    assert all(part.training for part in backbone.modules())


def test_a_part_that_its_factory_froze_stays_frozen():
    def frozen():
        return nn.Sequential(pooled().eval(), nn.Flatten())

    backbone = Foreign((1, 12, 12), module=frozen, **{**PLAIN, "channels": 3})
    assert not backbone.module[0].training
    assert backbone.training


def test_the_same_seed_gives_the_same_weights():
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        made.append(Foreign((1, 12, 12), module=pooled, channels=3, size=None, dim=4))
    for one, other in zip(*(backbone.parameters() for backbone in made), strict=True):
        assert torch.equal(one, other)


def test_a_module_that_squeezes_a_single_row_is_measured_on_two():
    assert Foreign((3, 4, 4), module=Squeezing, **PLAIN).dim == 3


def configured(target, **options):
    config = OmegaConf.to_container(OmegaConf.load(CONF), resolve=True)
    config["module"] |= {"_target_": f"{__name__}.{target}"}
    return {**config, **options, "module": {**config["module"], **options.get("module", {})}}


def test_the_yaml_makes_any_module_by_its_dotted_name_with_arguments_of_its_own():
    backbone = make_backbone(configured("pooled", module={"width": 9}), (1, 12, 12))
    assert backbone.dim == 9
    assert backbone(images()).shape == (3, 9)


def test_a_size_fits_images_of_any_size_to_a_module_made_for_one():
    config = configured("for_eight_pixels", size=8)
    assert make_backbone(config, (1, 16, 16)).eval()(images(side=16)).shape == (3, 6)


@pytest.mark.parametrize(
    ("config", "shape", "line"),
    [
        (
            configured("unpooled", channels=1),
            (1, 8, 8),
            "backbone.module: returns shape (2, 4, 6, 6) for 2 rows, not (2, d); "
            "choose its pooling, or wrap it in a function that gives one embedding a row",
        ),
        (
            configured("a_dictionary"),
            (1, 8, 8),
            "backbone.module: returns a dict for 2 rows, not (2, d); "
            "choose its pooling, or wrap it in a function that gives one embedding a row",
        ),
        (
            configured("for_eight_pixels"),
            (1, 16, 16),
            "backbone.module: fails on rows of shape (1, 16, 16) (mat1 and mat2 shapes cannot be multiplied "
            "(2x768 and 192x6)); backbone.channels and backbone.size say what it takes",
        ),
        (
            configured("not_a_module"),
            (1, 8, 8),
            "backbone.module: makes a list, not a torch.nn.Module",
        ),
        (
            configured("needs_an_argument"),
            (1, 8, 8),
            "backbone.module: cannot be made "
            "(needs_an_argument() missing 1 required positional argument: 'depth')",
        ),
        (
            configured("pooled"),
            (2, 8, 8),
            "channels=3: images have 2, only grey ones are repeated; set it to 2",
        ),
        (
            configured("pooled"),
            (7,),
            "channels=3, size=None: rows of shape (7,) are no images; set both to null",
        ),
        (configured("pooled", size=0), (1, 8, 8), "size=0: must be a whole number >= 1"),
        (configured("pooled", dim=1.5), (1, 8, 8), "dim=1.5: must be a whole number >= 1"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused_in_one_line(config, shape, line):
    with pytest.raises(ConfigError) as found:
        make_backbone(config, shape)
    assert str(found.value) == line


def test_a_name_that_does_not_exist_is_refused_in_one_line():
    config = configured("pooled", module={"_target_": "no_such_library.create_model"})
    with pytest.raises(ConfigError, match=r"no_such_library") as found:
        make_backbone(config, (1, 8, 8))
    assert "\n" not in str(found.value)
