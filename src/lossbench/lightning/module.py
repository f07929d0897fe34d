"""One LightningModule composes every backbone, head and loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from lossbench.diagnostics import Observable
from lossbench.fusion import fuse
from lossbench.heads.scheduled import Paced
from lossbench.lightning.divergence import refuse_divergence
from lossbench.metrics import VerificationROC

Teacher = Callable[[Tensor], Tensor]


class Training(pl.LightningModule):
    """backbone -> head -> loss, with the head and the loss always in float32.

    optimizer: parameter groups -> torch optimizer. schedule: (step, total) -> factor on its learning rate.
    clip: largest gradient norm. regularizer: (embedding, target) -> (n,), added to the loss.
    teacher: rows -> scores, handed to the loss as its third argument.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer],
        schedule: Callable[[int, int], float],
        clip: float,
        regularizer: nn.Module | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.loss = loss
        self.regularizer = regularizer
        self.teacher = teacher
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.clip = clip
        self.grad_norm: Tensor | None = None
        self.observed = False
        self.paced = [part for part in self.modules() if isinstance(part, Paced)]
        self.verification = VerificationROC(fars=(1e-2,))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        for part in self.paced:
            part.at(self.trainer.global_step, self.trainer.max_steps)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        rows, target = batch
        embedding = self.backbone(rows)
        taught = () if self.teacher is None else (self.teacher(rows).float(),)
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = embedding.float()
            seen = self._observe(embedding.detach(), target) if self.observed else {}
            values = self._values(embedding, target, *taught)
            seen["head_loss"] = values.detach().mean()
            if self.regularizer is not None:
                values = values + self.regularizer(embedding, target)
        self._batch = (embedding.detach(), target, values.detach())
        return {"loss": values.mean(), "embedding": embedding.detach(), **seen}

    def _values(self, embedding: Tensor, target: Tensor, *taught: Tensor) -> Tensor:
        fused = fuse(self.head, self.loss)
        return fused(embedding, target) if fused else self.loss(self.head(embedding, target), target, *taught)

    @torch.no_grad()
    def _observe(self, embedding: Tensor, target: Tensor) -> dict[str, Tensor]:
        """What the diagnostics look at, before the step changes the weights."""
        if not isinstance(self.head, Observable):
            return {}
        return {"cosine": self.head.cosine(embedding), "scores": self.head(embedding, target)}

    def on_validation_start(self) -> None:
        # Between two steps that were looked at a GPU may have gone wrong, and NaN embeddings have no ROC.
        if self.grad_norm is not None:
            refuse_divergence(self.head, *self._batch, self.grad_norm, self.trainer.global_step - 1)

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
        """Clip, keep the norm for the diagnostics, and stop before a step that would ruin the weights."""
        self.grad_norm = nn.utils.clip_grad_norm_(self.parameters(), self.clip)
        # A GPU would have to be waited for: there only the steps that are looked at anyway.
        if self.observed or self.grad_norm.device.type == "cpu":
            refuse_divergence(self.head, *self._batch, self.grad_norm, self.trainer.global_step)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        # A learned scale or bias is one number: decaying it would set its value.
        scalars = [parameter for parameter in self.parameters() if parameter.ndim == 0]
        others = [parameter for parameter in self.parameters() if parameter.ndim > 0]
        groups = [{"params": others}, {"params": scalars, "weight_decay": 0.0}]
        optimizer = self.make_optimizer(groups if scalars else others)
        total = self.trainer.max_steps
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step, total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
