"""One progress bar over all training steps."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressBar(pl.Callback):
    """One bar over all steps, with the last loss and validation figures."""

    def __init__(self, every: int = 20) -> None:
        self.every = every
        self._progress: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        columns = (
            TextColumn("  training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), refresh_per_second=4)
        self._progress.start()
        self._task = self._progress.add_task("", total=trainer.max_steps, completed=trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if self._progress is not None and (step % self.every == 0 or step == trainer.max_steps):
            text = f"loss {float(outputs['loss']):.3f}"
            text += "".join(
                f"  {name} {float(value):.3f}"
                for name, value in trainer.callback_metrics.items()
                if name in ("val/auc", "val/eer")
            )
            self._progress.update(self._task, completed=step, description=text)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
