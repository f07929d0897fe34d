"""Heads: embedding -> scores. They own the class weights; cosine heads also own margin and scale."""

from lossbench.heads.cosine import CosineHead
from lossbench.heads.linear import LinearHead

__all__ = ["CosineHead", "LinearHead"]
