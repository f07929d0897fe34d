"""conf/dataset: every file makes the set its comment promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

NAMES = ("glyphs", "digits", "blobs", "xor", "rings", "modes")
FOLDER = Path(__file__).parents[2] / "conf" / "dataset"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_gives_a_source_and_its_distortions(name: str) -> None:
    body = OmegaConf.load(FOLDER / f"{name}.yaml")
    # Files that choose a backbone too stand at the root.
    config = body if "dataset" in body else OmegaConf.create({"dataset": body})
    source = instantiate(config.dataset.source)
    assert type(source).__name__.lower() == name
    assert len(source.fingerprint()) == 64
    augment = instantiate(config.dataset.augment)
    if augment is not None:
        images = torch.rand(2, 1, 32, 32)
        assert augment(images, torch.Generator().manual_seed(0)).shape == images.shape


def test_difficulty_zero_leaves_glyphs_alone() -> None:
    config = OmegaConf.create({"dataset": OmegaConf.load(FOLDER / "glyphs.yaml")})
    config.dataset.difficulty = 0
    images = torch.rand(2, 1, 32, 32)
    assert instantiate(config.dataset.augment)(images, torch.Generator()) is images
