"""Models of finished runs: as the teacher of another run, or as the maker of embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossbench import build
from lossbench.config import ConfigError
from lossbench.heads import EmbeddingHead
from lossbench.lightning.checkpoints import load_weights, read_checkpoint
from lossbench.lightning.datamodule import DeviceData
from lossbench.lightning.module import Teacher, Training
from lossbench.records import read_record


def make_teacher(config: Mapping[str, Any], data: DeviceData) -> Teacher:
    """Rows -> plain scores of the run in ``config["teacher"]["folder"]``, trained on the same data.

    Divided by the temperature it was trained with: their softmax is what the teacher states.
    """
    folder = Path(config["teacher"]["folder"])
    record = read_record(folder)
    tau = float(record.config["loss"].get("tau", 1.0))
    same_classes = _classes(record.split["roles"]["train"]) == _classes(
        data.dataset.splits["train"].describe()
    )
    if record.split["sha256"] != data.dataset.sha256 or not same_classes:
        raise ConfigError(f"teacher={folder}: was trained on other data; its classes mean something else")
    module = load_run(folder, data).eval().requires_grad_(False)
    if isinstance(module.head, EmbeddingHead):
        raise ConfigError(f"teacher={folder}: has no class scores to learn from")

    @torch.no_grad()
    def scores(rows: Tensor) -> Tensor:
        embedding = module.backbone(rows)
        with torch.autocast(rows.device.type, enabled=False):
            return module.head(embedding.float()) / tau

    return scores


def _classes(role: Mapping[str, Any]) -> tuple[Any, Any]:
    return role.get("names"), role.get("names_sha256")


def load_run(folder: Path, data: DeviceData) -> Training:
    """The trained model of a run folder, on the device of ``data``."""
    config = read_record(folder).config
    module = build.make_training(config, shape=data.shape, counts=data.dataset.counts())
    load_weights(module, _checkpoint(folder, config))
    return module.to(data.device)


def load_backbone(folder: Path, device: torch.device) -> tuple[Any, tuple[int, ...], str]:
    """The trained backbone of a run folder, in evaluation mode on a device; shape of its rows; precision."""
    record = read_record(folder)
    if "shape" not in record.split:
        raise ConfigError(f"{folder}: holds no trained model; give the folder of a run")
    shape = tuple(record.split["shape"])
    backbone = build.make_backbone(record.config["backbone"], shape)
    state = read_checkpoint(_checkpoint(folder, record.config))["state_dict"]
    mine = {
        key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")
    }
    backbone.load_state_dict(mine)
    precision = build.pick_precision(record.config["precision"], device, backbone)
    return backbone.eval().to(device), shape, precision


def _checkpoint(folder: Path, config: Mapping[str, Any]) -> Path:
    path = folder / "checkpoints" / f"{config['trainer']['weights']}.ckpt"
    if not path.exists():
        raise ConfigError(f"{path}: not there; train that run again with keep_checkpoints=true")
    return path
