"""Where a run's history and results go: metrics.csv always, Weights & Biases as a mirror of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger

from lossbench.lightning.history import HistoryLogger
from lossbench.lightning.wandb_logger import finish, log_curves, log_summary, start_wandb


class Tracking:
    """The loggers of one run, closed on leaving the ``with`` block whatever happened inside.

    resume_step: last step a resumed run has behind it, or None for a fresh one.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        names: Mapping[str, Any],
        identity: str,
        resume_step: int | None,
    ) -> None:
        self._history = HistoryLogger(folder, resume_step)
        self._mirror = None
        project = (config.get("logger") or {}).get("project")
        if project:
            words = [
                names["head"],
                names["loss"],
                *(f"{key}={value}" for key, value in names["knobs"].items()),
            ]
            self._mirror = start_wandb(
                folder,
                project=project,
                group=config["group"],
                name=" ".join([*words, f"seed={config['seed']}"]),
                run_id=_wandb_id(folder, identity),
                config={**config, "names": dict(names)},
                tags=[names["dataset"], names["head"], names["loss"]],
                resume=resume_step is not None,
            )

    @property
    def loggers(self) -> list[Logger]:
        return [self._history, *([self._mirror] if self._mirror else [])]

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """Rows of metrics.csv, as numbers."""
        return self._history.rows

    def log_result(
        self,
        metrics: Mapping[str, float | None],
        curves: Mapping[str, np.ndarray],
        figures: Mapping[str, Path],
    ) -> None:
        """Mirror the final metrics, curves and figures."""
        if self._mirror is not None:
            log_summary(self._mirror.experiment, metrics)
            log_curves(self._mirror.experiment, curves, figures)

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._history.finalize("failed" if kind else "success")
        if self._mirror is not None:
            finish(self._mirror, exit_code=int(kind is not None))


def _wandb_id(folder: Path, identity: str) -> str:
    """A W&B id kept for as long as the run folder's attempt lasts: a resumed run goes on under it."""
    path = folder / ".wandb_id"
    if not path.exists():
        path.write_text(f"{identity[:8]}-{secrets.token_hex(3)}")
    return path.read_text().strip()
