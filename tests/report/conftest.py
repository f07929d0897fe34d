"""Fake runs: plausible records and curves, without training anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossbench.records import Record, write_curves, write_record

HEADS: dict[str, dict[str, float]] = {
    "linear": {},
    "cosine": {"s": 30.0},
    "amsoftmax": {"m": 0.35, "s": 30.0},
}


def make_record(
    head: str = "amsoftmax",
    seed: int = 0,
    *,
    metrics: dict[str, float | None] | None = None,
    knobs: dict[str, float] | None = None,
    lr: float = 0.1,
    **changes: Any,
) -> Record:
    knobs = HEADS[head] if knobs is None else knobs
    metrics = {"test/accuracy": 0.9 + 0.01 * seed, "test/eer": 0.05} if metrics is None else metrics
    details = {"dataset": "glyphs", "backbone": "convnet", "head": head, "loss": "ce", "knobs": knobs}
    undefined = {name: "too few impostors" for name, value in metrics.items() if value is None}
    fields: dict[str, Any] = {
        "id": f"{head}-{sorted(knobs.items())}-{lr}-{seed}",
        "config": {
            "seed": seed,
            "head": {"_target_": f"lossbench.heads.{head}", **knobs},
            "loss": {"_target_": "lossbench.losses.cross_entropy_loss"},
            "optimizer": {"_target_": "torch.optim.SGD", "lr": lr},
            **knobs,
        },
        "metrics": metrics,
        "details": details | ({"undefined": undefined} if undefined else {}),
        "cost": {"seconds": 90.0 + seed, "peak_memory_mb": 700.0},
        "environment": {"precision": "bf16", "threads": 2, "cpu": "Xeon", "commit": "abc1234", "recipe": 1},
    }
    return Record(**(fields | changes))


def make_curves(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    impostor = np.sort(generator.normal(0, 1, 2000))
    genuine = np.sort(generator.normal(2.5, 1, 500))
    threshold = impostor[::-1]
    return {
        "roc_far": np.arange(1, 2001) / 2000,
        "roc_tar": 1 - np.searchsorted(genuine, threshold) / 500,
        "roc_threshold": threshold,
        "cmc_rank": np.arange(1, 51),
        "cmc_rate": 1 - 0.3 / np.arange(1, 51),
    }


@pytest.fixture
def record() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def curves() -> Callable[..., dict[str, np.ndarray]]:
    return make_curves


@pytest.fixture
def run_folders(tmp_path: Path) -> Path:
    """Three finished runs, AM-Softmax with three seeds, each in its own folder."""
    for seed in range(3):
        folder = tmp_path / "runs" / f"amsoftmax-{seed}"
        write_record(folder, make_record(seed=seed))
        write_curves(folder, **make_curves(seed))
    return tmp_path / "runs"
