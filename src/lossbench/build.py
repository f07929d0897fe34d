"""From a resolved configuration to objects."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pkgutil import resolve_name
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import nn

from lossbench import datasets
from lossbench.config import ConfigError
from lossbench.datasets.cautions import with_cautions
from lossbench.lightning.datamodule import DeviceData
from lossbench.lightning.module import Teacher, Training

PRECISIONS = ("auto", "fp32", "bf16")


def make(config: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """Call what ``_target_`` names, or with ``_partial_`` a plain partial of it; a fault becomes one line."""
    try:
        parts = {key: _made(value) for key, value in config.items()}
        made = instantiate({**parts, "_convert_": "all"}, *args, **kwargs)
    except InstantiationException as error:
        raise ConfigError(reason(error)) from error
    # Hydra's own partials check its policy for targets at every call: 0.1 ms for a loss or a schedule.
    return partial(made.func, *made.args, **made.keywords) if isinstance(made, partial) else made


def _made(value: Any) -> Any:
    """Inner partials first, in lists too, so that none of them stays Hydra's own."""
    if isinstance(value, Mapping) and value.get("_partial_"):
        return make(value)
    return [_made(item) for item in value] if isinstance(value, list) else value


def reason(error: BaseException) -> str:
    """The fault that an instantiation met, in one line."""
    cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
    return " ".join(str(cause).split()) or type(cause).__name__


def make_backbone(config: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    """A backbone for rows of this shape: (channels, height, width) or (d,). ``dim`` is its embedding size."""
    try:
        return make(config)(shape)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def make_training(
    config: Mapping[str, Any],
    *,
    shape: tuple[int, ...],
    counts: Sequence[int],
    teacher: Teacher | None = None,
) -> Training:
    """Backbone and head are each built from the seed alone, so every loss starts from the same weights.

    counts: training rows of each class.
    """
    seed = config["seed"]
    torch.manual_seed(2 * seed)
    backbone = make_backbone(config["backbone"], shape)
    torch.manual_seed(2 * seed + 1)
    head, loss, regularizer = make_objective(config, dim=backbone.dim, counts=counts)
    parts = [backbone, head, *(part for part in (loss, regularizer) if isinstance(part, nn.Module))]
    if not any(True for part in parts for _ in part.parameters()):
        raise ConfigError("nothing to train: choose a backbone, a head or a loss with weights")
    return Training(
        backbone,
        head,
        loss,
        optimizer=make(config["optimizer"]),
        schedule=make(config["schedule"]),
        clip=config["trainer"]["clip"],
        regularizer=regularizer,
        teacher=teacher,
    )


def make_objective(
    config: Mapping[str, Any], *, dim: int, counts: Sequence[int]
) -> tuple[nn.Module, Callable, nn.Module | None]:
    """Head, loss and regularizer for embeddings of size ``dim`` and so many training rows of each class."""
    sizes = {"dim": dim, "classes": len(counts)}
    known = {**sizes, "counts": counts} if _takes(config["head"], "counts") else sizes
    head = make(config["head"], **known)
    loss = make(config["loss"])
    if isinstance(loss, partial) and isinstance(loss.func, type):  # a loss with weights of its own
        loss = loss(**sizes)
    regularizer = make(config["regularizer"], **sizes) if config.get("regularizer") else None
    return head, loss, regularizer


def _takes(config: Mapping[str, Any], name: str) -> bool:
    try:
        return name in inspect.signature(resolve_name(config["_target_"])).parameters
    except Exception:  # making the part says what is wrong with it
        return False


def needs_teacher(config: Mapping[str, Any]) -> bool:
    """Whether the configured loss compares with a teacher's scores."""
    return _takes(config["loss"], "teacher")


def make_data(config: Mapping[str, Any], device: torch.device) -> DeviceData:
    """The data set on its device; the runs of one process share it."""
    return _device_data(json.dumps(config["dataset"], sort_keys=True), device)


@lru_cache(maxsize=1)
def _device_data(dataset: str, device: torch.device) -> DeviceData:
    config = json.loads(dataset)
    augment = make(config["augment"]) if config.get("augment") else None
    try:
        loaded = with_cautions(datasets.load(make(config["source"])), config)
    except (ValueError, OSError) as error:
        raise ConfigError(f"dataset: {error}") from error
    return DeviceData(
        loaded,
        device=device,
        augment=augment,
        augment_evaluation=bool(config.get("augment_evaluation")),
    )


def pick_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"device={name}: must be auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: torch sees no CUDA device; use device=auto or device=cpu")
    return torch.device(name)


def pick_precision(name: str, device: torch.device, backbone: nn.Module) -> str:
    """fp32 or bf16. ``auto`` takes bf16 for convolutions where the hardware multiplies it natively."""
    if name != "auto":
        return name
    convolutions = any(isinstance(layer, nn.Conv2d) for layer in backbone.modules())
    return "bf16" if convolutions and _native_bf16(device) else "fp32"


def _native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # mkldnn also reports bf16 on CPUs that emulate it slowly: ask for the instructions themselves.
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
