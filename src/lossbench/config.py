"""Where the configuration lives, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PARTS = ("dataset", "backbone", "head", "loss", "regularizer", "protocol", "optimizer", "schedule", "trainer")
"""Groups that make a run what it is. Everything else says where and how to run it."""

CAUTIONS = ("label_noise", "long_tail", "leak")
"""Knobs of any data set, set below ``dataset``."""

SETTINGS = (
    *("seed", "run_root", "group", "force", "device", "precision", "log_every", "checkpoint_every"),
    *("keep_checkpoints", "figures", "progress", "logger", "teacher", "reuse", "dry", "row"),
)
"""Top-level options that are no knobs."""


class ConfigError(ValueError):
    """A configuration that cannot run: one line per fault, each with its cure."""


def conf_dir() -> Path:
    """The folder of yaml files: inside an installed package, or beside src/ in a checkout."""
    package = Path(__file__).resolve().parent
    packaged = package / "conf"
    return packaged if (packaged / "config.yaml").is_file() else package.parents[1] / "conf"


def knobs(config: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that tell runs apart: top-level ones (m, s, tau, lr, ...) and cautions; nulls are left out."""
    top = {key: value for key, value in config.items() if key not in SETTINGS and not isinstance(value, dict)}
    cautions = {key: (config.get("dataset") or {}).get(key) for key in CAUTIONS}
    return {key: value for key, value in (top | cautions).items() if value is not None}


def read_yaml(path: Path) -> dict[str, Any]:
    """The entries of a file of conf/, interpolations as they are written."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.load(path), resolve=False) or {}  # type: ignore[return-value]


def flatten(node: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node
