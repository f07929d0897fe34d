"""A trained run as the teacher of another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from lossbench import build
from lossbench.config import ConfigError
from lossbench.heads import EmbeddingHead
from lossbench.lightning.checkpoints import load_weights
from lossbench.lightning.datamodule import DeviceData
from lossbench.lightning.module import Teacher, Training
from lossbench.records import read_record


def make_teacher(config: Mapping[str, Any], data: DeviceData) -> Teacher:
    """Rows -> plain scores of the run in ``config["teacher"]["folder"]``, trained on the same data."""
    folder = Path(config["teacher"]["folder"])
    if read_record(folder).split["sha256"] != data.dataset.sha256:
        raise ConfigError(f"teacher={folder}: was trained on other data; its classes mean something else")
    module = load_run(folder, data).eval().requires_grad_(False)
    if isinstance(module.head, EmbeddingHead):
        raise ConfigError(f"teacher={folder}: has no class scores to learn from")

    @torch.no_grad()
    def scores(rows: Tensor) -> Tensor:
        return module.head(module.backbone(rows).float())

    return scores


def load_run(folder: Path, data: DeviceData) -> Training:
    """The trained model of a run folder, on the device of ``data``."""
    config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    chosen = config["trainer"]["weights"]
    checkpoint = folder / "checkpoints" / f"{chosen}.ckpt"
    if not checkpoint.exists():
        raise ConfigError(f"{checkpoint}: not there; train that run again with keep_checkpoints=true")
    module = build.make_training(config, shape=data.shape, counts=data.dataset.counts())
    load_weights(module, checkpoint)
    return module.to(data.device)
