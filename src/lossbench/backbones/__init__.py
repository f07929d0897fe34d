"""Backbones: image or vector -> embedding (n, dim). They know nothing of classes."""

from lossbench.backbones.convnet import ConvNet
from lossbench.backbones.foreign import Foreign
from lossbench.backbones.identity import Identity
from lossbench.backbones.mlp import MLP
from lossbench.backbones.spherenet import SphereNet

__all__ = ["MLP", "ConvNet", "Foreign", "Identity", "SphereNet"]
