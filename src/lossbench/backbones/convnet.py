"""A small convolutional network with PReLU, in the manner of the face networks but two-core sized."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lossbench.validate import check_range


class ConvNet(nn.Module):
    """3x3 convolutions with BatchNorm and PReLU, then a linear layer with BatchNorm to the embedding.

    widths: channels of each convolution; strides: 1 or 2, one per convolution; dim: embedding size;
    dropout: share of the embedding set to zero while training.
    """

    def __init__(
        self, shape: Sequence[int], *, widths: Sequence[int], strides: Sequence[int], dim: int, dropout: float
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(
                f"backbone ConvNet needs images (channels, height, width), got rows of shape {tuple(shape)}; "
                "use backbone=mlp or backbone=identity"
            )
        if len(widths) != len(strides):
            raise ValueError(f"widths={list(widths)}: give one width per stride, strides={list(strides)}")
        for width in (*widths, dim):
            check_range("widths or dim", width, low=1, integer=True)
        check_range("dropout", dropout, low=0, high=1, open_high=True)
        blocks = [
            _block(before, after, stride)
            for (before, after), stride in zip(pairwise([shape[0], *widths]), strides, strict=True)
        ]
        self.features = nn.Sequential(*blocks, nn.Flatten())
        with torch.no_grad():
            flat = self.features.eval()(torch.zeros(1, *shape)).shape[1]
        self.features.train()
        self.embed = nn.Sequential(nn.Linear(flat, dim, bias=False), nn.BatchNorm1d(dim), nn.Dropout(dropout))
        self.dim = dim

    def forward(self, images: Float[Tensor, "n k h w"]) -> Float[Tensor, "n d"]:
        return self.embed(self.features(images))


def _block(before: int, after: int, stride: int) -> nn.Sequential:
    # BatchNorm follows and has its own offset: a bias here would be idle.
    conv = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.PReLU(after))
