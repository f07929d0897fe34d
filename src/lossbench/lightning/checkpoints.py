"""Checkpoints: the last one to go on from, the best on validation; nothing in them can run code."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from lossbench.config import ConfigError
from lossbench.lightning.history import HistoryLogger
from lossbench.lightning.module import Training


class KeepLast(pl.Callback):
    """Write last.ckpt at the end of an epoch, at most every ``seconds``; a kill never leaves half a file.

    Epochs are the only points to go on from, and what follows one depends on (seed, epoch) alone.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.path = folder / "last.ckpt"
        self.seconds = seconds
        self.before = 0.0
        """Seconds of training behind the checkpoint that this one goes on from."""
        self._saved = self._started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.before + time.monotonic() - self._started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.before = state["seconds"]

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Begin the epoch after the one that a checkpoint ends.

        Lightning takes an epoch that ended without a validation for unfinished: it would repeat a batch.
        """
        self._started = time.monotonic()
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_end:
            loop.epoch_progress.increment_completed()
            loop.reset_restart_stage()
            loop.epoch_loop.restarting = False

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not math.isfinite(module.grad_norm):
            return  # keep the last good one
        done = trainer.global_step >= trainer.max_steps
        if done or time.monotonic() - self._saved >= self.seconds:
            for logger in trainer.loggers:
                if isinstance(logger, HistoryLogger):
                    logger.flush()  # a resumed run goes on from these rows
            partial = self.path.with_suffix(".tmp")
            trainer.save_checkpoint(partial)
            partial.replace(self.path)
            self._saved = time.monotonic()


def keep_best(folder: Path) -> ModelCheckpoint:
    """Keep best.ckpt, by the area under the validation ROC."""
    return ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="val/auc",
        mode="max",
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )


def checkpoint_step(folder: Path) -> tuple[Path, int] | None:
    """The checkpoint a run can go on from and its step, or None. Refuses a damaged file."""
    path = folder / "checkpoints" / "last.ckpt"
    if not path.exists():
        return None
    return path, int(read_checkpoint(path)["global_step"])


def read_checkpoint(path: Path) -> dict:
    """A checkpoint's content, tensors and plain values only: nothing in it can run code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ConfigError(
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}); "
            "delete it to train from the start, or pass force=true"
        ) from error


def load_weights(module: Training, path: Path) -> None:
    """Put the weights of a checkpoint into ``module``."""
    module.load_state_dict(read_checkpoint(path)["state_dict"])
