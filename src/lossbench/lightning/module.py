"""One LightningModule composes every backbone, head and loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from lossbench.metrics import VerificationROC


class Training(pl.LightningModule):
    """backbone -> head -> loss, with the head and the loss always in float32.

    optimizer: parameters -> torch optimizer. schedule: (step, total) -> factor on its learning rate.
    clip: largest gradient norm.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        schedule: Callable[[int, int], float],
        clip: float,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.loss = loss
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.clip = clip
        self.grad_norm: Tensor | None = None
        self.verification = VerificationROC(fars=(1e-2,))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        rows, target = batch
        embedding = self.backbone(rows)
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = embedding.float()
            scores = self.head(embedding, target)
            loss = self.loss(scores, target).mean()
        return {"loss": loss, "embedding": embedding.detach(), "scores": scores.detach()}

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        rows, target = batch
        self.verification.update(self.backbone(rows).float(), target)

    def on_validation_epoch_end(self) -> None:
        values = {f"val/{name}": float(value) for name, value in self.verification.compute().items()}
        self.verification.reset()
        # Lightning's own log is for the checkpoint that keeps the best; its step count is one ahead.
        self.log_dict(values, logger=False)
        for logger in self.trainer.loggers:
            logger.log_metrics(values | {"epoch": self.current_epoch}, step=self.trainer.global_step - 1)

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Clip as always, and keep the norm for the diagnostics."""
        self.grad_norm = nn.utils.clip_grad_norm_(self.parameters(), self.clip)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self.make_optimizer(self.parameters())
        total = self.trainer.max_steps
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step, total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
