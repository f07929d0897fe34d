"""Facts about the machine and the code that made a result: recorded, never part of a run's identity."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from lossbench import __version__
from lossbench.identity import RECIPE

_PACKAGES = (
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "wandb",
    "numpy",
    "matplotlib",
    "pytorch-metric-learning",
)


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """Precision, threads, processor, versions, commit and command line."""
    return {
        "precision": precision,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name.replace("-", "_"): _version(name) for name in _PACKAGES},
        "lossbench": __version__,
        "recipe": RECIPE,
        "commit": _commit(),
        "command": f"python -m {_module()} {shlex.join(sys.argv[1:])}".rstrip(),
    }


def _module() -> str:
    """lossbench, or lossbench.evaluate where that was started."""
    started, package = Path(sys.argv[0]), Path(__file__).parent
    if not started.is_relative_to(package):
        return "lossbench"
    parts = started.relative_to(package.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__main__")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _commit() -> str | None:
    """Commit of a checkout ("+" where files differ from it); None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", root, *words], capture_output=True, text=True, timeout=5, check=True
            ).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.strip() + ("+" if changed.strip() else "")


def reset_peak_memory() -> None:
    """Start measuring the peak anew, so that each run of a sweep has its own (Linux)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in megabytes: of the GPU on CUDA, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    except (OSError, StopIteration):
        import resource  # Unix only, and Linux has told already

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
