"""conf/dataset files of the known sets, and the facts about them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lossbench.datasets import Cifar10, Cifar100, FashionMnist, Lfw, Mnist, Omniglot
from lossbench.datasets.known import KnownSet
from tests.datasets.known_files import data

__all__ = ["data"]

FOLDER = Path(__file__).parents[2] / "conf" / "dataset"
SETS = (Cifar10, Cifar100, FashionMnist, Lfw, Mnist, Omniglot)
SHAPES = {Cifar10: (3, 32, 32), Cifar100: (3, 32, 32), Lfw: (1, 32, 32)}

each_set = pytest.mark.parametrize("kind", SETS, ids=lambda kind: kind.facts.name)


@each_set
def test_a_file_gives_its_set_a_division_and_distortions(kind: type[KnownSet], data: Path) -> None:
    config = OmegaConf.create({"dataset": OmegaConf.load(FOLDER / f"{kind.facts.name}.yaml")})
    source = instantiate(config.dataset.source, _convert_="all")
    assert type(source) is kind
    assert source.path is None
    assert callable(source.division)
    images = torch.rand(2, *SHAPES.get(kind, (1, 28, 28)))
    augment = instantiate(config.dataset.augment)
    assert augment(images, torch.Generator().manual_seed(0)).shape == images.shape


@each_set
def test_its_first_lines_tell_the_licence(kind: type[KnownSet]) -> None:
    lines = (FOLDER / f"{kind.facts.name}.yaml").read_text().splitlines()
    licence = next(line for line in lines if line.startswith("# Licence: "))
    assert kind.facts.licence.split(",")[0].split(";")[0] in licence


@each_set
def test_downloads_are_pinned_and_over_https(kind: type[KnownSet]) -> None:
    for name, remote in kind.facts.remotes.items():
        assert remote.url.startswith("https://")
        assert remote.url.endswith(f"/{name}")
        assert remote.size > 0
        for digest in (remote.sha256, *remote.also):
            assert re.fullmatch("[0-9a-f]{64}", digest)
