"""Heads: embedding -> scores. They own the class weights; cosine heads also own margin and scale."""

from lossbench.heads.adacos import AdaCosHead
from lossbench.heads.adaface import AdaFaceHead
from lossbench.heads.cosine import CosineHead
from lossbench.heads.curricularface import CurricularFaceHead
from lossbench.heads.embedding import EmbeddingHead
from lossbench.heads.large_margin import LargeMarginHead
from lossbench.heads.ldam import LDAMHead
from lossbench.heads.linear import LinearHead
from lossbench.heads.magface import MagFaceHead
from lossbench.heads.scheduled import Scheduled
from lossbench.heads.sphereface2 import SphereFace2Head
from lossbench.heads.subcenter import SubCenterHead
from lossbench.heads.uniface import UniFaceHead

__all__ = [
    "AdaCosHead",
    "AdaFaceHead",
    "CosineHead",
    "CurricularFaceHead",
    "EmbeddingHead",
    "LDAMHead",
    "LargeMarginHead",
    "LinearHead",
    "MagFaceHead",
    "Scheduled",
    "SphereFace2Head",
    "SubCenterHead",
    "UniFaceHead",
]
