"""Distortions of whole image batches: pure functions whose only chance is the generator given.

Images are (n, c, h, w) in [0, 1]. Every draw depends on their shape alone, never on what they show.
"""

from lossbench.augment.compose import Augment, compose
from lossbench.augment.erasing import erase
from lossbench.augment.geometry import affine_noise, crop, flip
from lossbench.augment.pixels import blur, colour, noise

__all__ = ["Augment", "affine_noise", "blur", "colour", "compose", "crop", "erase", "flip", "noise"]
