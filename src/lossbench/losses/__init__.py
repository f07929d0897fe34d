"""Losses on scores: pure functions (scores, target) -> one value per sample."""

from lossbench.losses.cross_entropy import cross_entropy_loss
from lossbench.losses.distillation import distillation_loss
from lossbench.losses.focal import focal_loss
from lossbench.losses.hinge import (
    crammer_singer_loss,
    hinge_all_loss,
    hinge_loss,
    hinge_mean_loss,
    squared_hinge_loss,
)
from lossbench.losses.label_smoothing import label_smoothing_loss
from lossbench.losses.mse import mse_loss
from lossbench.losses.one_vs_all import one_vs_all_loss
from lossbench.losses.squared_normalized import squared_normalized_loss

__all__ = [
    "crammer_singer_loss",
    "cross_entropy_loss",
    "distillation_loss",
    "focal_loss",
    "hinge_all_loss",
    "hinge_loss",
    "hinge_mean_loss",
    "label_smoothing_loss",
    "mse_loss",
    "one_vs_all_loss",
    "squared_hinge_loss",
    "squared_normalized_loss",
]
