"""What happens around a training step: seeding and diagnostics."""

from __future__ import annotations

import logging
from typing import Any

import pytorch_lightning as pl
import torch

from lossbench.diagnostics import ExpectedLoss, Observable, cosine_statistics, expected_initial_loss
from lossbench.lightning.module import Training

log = logging.getLogger(__name__)


class SeedEpochs(pl.Callback):
    """Seed torch from (seed, epoch): dropout is the same for every loss, and after a resume."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        torch.manual_seed(1_000_003 * self.seed + trainer.current_epoch + 500_009)


class Diagnostics(pl.Callback):
    """Log loss, cosines, margin, gradient norm and learning rate every ``every`` steps and at the last.

    At step 0 the measured loss is held against the one to expect of this head and loss: a wrong scale,
    a skipped softmax or permuted features show here, before any time is spent.
    """

    def __init__(self, every: int, classes: int) -> None:
        self.every = every
        self.classes = classes
        self.expected: ExpectedLoss | None = None
        self.initial_loss: float | None = None
        self._lr = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What step 0 showed, so that a resumed run still tells it."""
        expected = None if self.expected is None else (self.expected.mean, self.expected.spread)
        return {"initial_loss": self.initial_loss, "expected": expected}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.initial_loss = state_dict["initial_loss"]
        self.expected = None if state_dict["expected"] is None else ExpectedLoss(*state_dict["expected"])

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        module.observed = self._due(trainer, trainer.global_step)
        if module.observed:
            self._lr = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step - 1
        if not self._due(trainer, step):
            return
        values = self._measure(module, outputs, batch[1])
        if step == 0:
            self._check_initial_loss(module, float(outputs["head_loss"]), outputs["embedding"])
        for logger in trainer.loggers:
            logger.log_metrics(values | {"epoch": trainer.current_epoch}, step=step)

    def _due(self, trainer: pl.Trainer, step: int) -> bool:
        return step % self.every == 0 or step == trainer.max_steps - 1

    def _measure(self, module: Training, outputs: dict[str, Any], target: torch.Tensor) -> dict[str, float]:
        values = {"loss": outputs["loss"], "grad_norm": module.grad_norm}
        if "cosine" in outputs:
            values |= cosine_statistics(outputs["cosine"], outputs["scores"], target)
        return {f"train/{name}": float(value) for name, value in values.items()} | {"train/lr": self._lr}

    def _check_initial_loss(self, module: Training, measured: float, embedding: torch.Tensor) -> None:
        self.initial_loss = measured
        if not isinstance(module.head, Observable) or module.teacher is not None:
            return
        norm = float(embedding.norm(dim=1).mean())
        with torch.no_grad():
            self.expected = expected_initial_loss(
                module.head, module.loss, dim=embedding.shape[1], classes=self.classes, norm=norm
            )
        if not self.expected.agrees(measured):
            log.warning(
                "initial loss %.3f, expected %.3f +- %.3f of this head and loss: "
                "check the scale and what the loss is given before trusting this run",
                measured,
                self.expected.mean,
                self.expected.spread,
            )
