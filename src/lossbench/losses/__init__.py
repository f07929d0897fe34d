"""Losses on scores: pure functions (scores, target) -> one value per sample."""

from lossbench.losses.cross_entropy import cross_entropy_loss
from lossbench.losses.hinge import hinge_loss

__all__ = ["cross_entropy_loss", "hinge_loss"]
