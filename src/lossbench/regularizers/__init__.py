"""Regularizers: terms on embeddings beside the loss, one value per sample, already weighted."""

from lossbench.regularizers.center import CenterLoss
from lossbench.regularizers.magface import MagFaceNorm

__all__ = ["CenterLoss", "MagFaceNorm"]
