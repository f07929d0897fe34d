"""Train one module with Lightning, from the start or from where a killed run stopped."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from lossbench.diagnostics import ExpectedLoss
from lossbench.lightning.callbacks import Diagnostics, SeedEpochs
from lossbench.lightning.checkpoints import KeepLast, keep_best
from lossbench.lightning.datamodule import InMemory
from lossbench.lightning.module import Training
from lossbench.lightning.progress import ProgressBar

# Lightning advertises and repeats itself at INFO; what matters here is printed by lossbench.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Fitted:
    """What training found: the loss at step 0 beside the one to expect, and the steps trained.

    seconds_before: what they had taken where a resumed run went on from, else 0.
    """

    initial_loss: float | None
    expected_loss: ExpectedLoss | None
    steps: int
    seconds_before: float


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
    last = KeepLast(checkpoints, checkpoint_every)
    callbacks = [SeedEpochs(seed), diagnostics, keep_best(checkpoints)]
    callbacks += [ProgressBar()] if progress else []
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
            callbacks=[*callbacks, last],
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        _fit_or_interrupt(trainer, module, data, resume)
    return Fitted(diagnostics.initial_loss, diagnostics.expected, trainer.global_step, last.before)


def _fit_or_interrupt(trainer: pl.Trainer, module: Training, data: InMemory, resume: Path | None) -> None:
    """Lightning answers Ctrl-C by exiting and leaves it ignored; hand it on as what it was."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=None if resume is None else str(resume))
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, handler)


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
