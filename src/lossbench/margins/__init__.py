"""Margins: pure functions (cosine, target) -> cosine with the target's entry changed."""

from lossbench.margins.additive_angle import additive_angle, additive_angle_straight_through
from lossbench.margins.additive_cosine import additive_cosine
from lossbench.margins.clipped_angle import clipped_angle
from lossbench.margins.combined import combined
from lossbench.margins.multiplicative_angle import multiplicative_angle

__all__ = [
    "additive_angle",
    "additive_angle_straight_through",
    "additive_cosine",
    "clipped_angle",
    "combined",
    "multiplicative_angle",
]
