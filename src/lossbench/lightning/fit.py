"""Train one module with Lightning: resume where a killed run stopped, keep last and best."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger

from lossbench.config import ConfigError
from lossbench.diagnostics import ExpectedLoss
from lossbench.lightning.callbacks import Diagnostics, KeepLast, ProgressBar, SeedEpochs
from lossbench.lightning.datamodule import InMemory
from lossbench.lightning.module import Training

# Lightning advertises and repeats itself at INFO; what matters here is printed by lossbench.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Fitted:
    """What training found: the loss at step 0 beside the one to expect, and the steps trained."""

    initial_loss: float | None
    expected_loss: ExpectedLoss | None
    steps: int


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


def fit(
    module: Training,
    data: InMemory,
    folder: Path,
    *,
    steps: int,
    validations: int,
    precision: str,
    seed: int,
    loggers: Sequence[Logger],
    log_every: int,
    checkpoint_every: float,
    progress: bool,
    resume: Path | None,
) -> Fitted:
    """Train for ``steps`` optimizer steps; checkpoints/last.ckpt and best.ckpt are written on the way."""
    device = data.data.device
    if precision == "bf16":
        module.to(memory_format=torch.channels_last)
    diagnostics = Diagnostics(log_every, data.data.dataset.classes)
    checkpoints = folder / "checkpoints"
    callbacks = [SeedEpochs(seed), diagnostics, KeepLast(checkpoints, checkpoint_every), _best(checkpoints)]
    with warnings.catch_warnings():
        _expect_lightning_noise()
        trainer = pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            max_steps=steps,
            max_epochs=-1,
            # In steps, across epochs, the last one at the end of training.
            check_val_every_n_epoch=None,
            val_check_interval=max(1, steps // validations) if validations else None,
            limit_val_batches=1.0 if validations else 0,
            num_sanity_val_steps=0,
            logger=list(loggers),
            callbacks=[*callbacks, *([ProgressBar()] if progress else [])],
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        _fit_or_interrupt(trainer, module, data, resume)
    return Fitted(diagnostics.initial_loss, diagnostics.expected, trainer.global_step)


def _fit_or_interrupt(trainer: pl.Trainer, module: Training, data: InMemory, resume: Path | None) -> None:
    """Lightning answers Ctrl-C by exiting and leaves it ignored; hand it on as what it was."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=None if resume is None else str(resume))
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, handler)


def _best(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="val/auc",
        mode="max",
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )


def _expect_lightning_noise() -> None:
    """Warnings of Lightning that are about choices made here on purpose."""
    for message in (
        ".*does not have many workers.*",
        ".*isinstance\\(treespec, LeafSpec\\).*",
        ".*is not a multiple of.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*smaller than the logging interval.*",
        ".*val_dataloader.*",
        ".*max_epochs.*",
    ):
        warnings.filterwarnings("ignore", message=message)


def load_weights(module: Training, path: Path) -> None:
    """Put the weights of a checkpoint into ``module``."""
    module.load_state_dict(read_checkpoint(path)["state_dict"])
