"""Residual networks without BatchNorm, as SphereFace and AM-Softmax trained them on faces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from lossbench.validate import check_range

WIDTHS = (64, 128, 256, 512)
BLOCKS = {4: (0, 0, 0, 0), 10: (0, 1, 2, 0), 20: (1, 2, 4, 1), 36: (2, 4, 8, 2), 64: (3, 8, 16, 3)}
"""Residual blocks of the four stages, by number of convolutions."""

# With fewer pixels a side the last stride meets a single one, of which torch 2.13 on a CPU gives bfloat16
# gradients out of uninitialised memory.
LEAST = 9


class SphereNet(nn.Module):
    """Four stages of 3x3 convolutions with PReLU, then a linear layer to the embedding.

    Table 2 of Liu et al. 2017, "SphereFace" (arXiv:1704.08063), initialised as their Caffe nets: a strided
    convolution opens a stage and, like the linear layer, starts with variance 1 / fan-in and bias 0; residual
    blocks of two convolutions, without bias, start at N(0, 0.01²), all but the identity.

    layers: number of convolutions, 4, 10, 20, 36 or 64; dim: embedding size; dropout: share of the embedding
    set to zero while training.
    """

    def __init__(self, shape: Sequence[int], *, layers: int, dim: int, dropout: float) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(
                "backbone SphereNet needs images (channels, height, width), not rows of shape "
                f"{tuple(shape)}; use backbone=mlp or backbone=identity"
            )
        if min(shape[1:]) < LEAST:
            raise ValueError(
                f"backbone SphereNet halves images four times, {shape[1]} x {shape[2]} pixels are too few; "
                f"give {LEAST} or more each way, or use backbone=convnet"
            )
        if layers not in BLOCKS:
            raise ValueError(f"layers={layers}: must be one of {', '.join(map(str, BLOCKS))}")
        check_range("dim", dim, low=1, integer=True)
        check_range("dropout", dropout, low=0, high=1, open_high=True)
        stages: list[nn.Module] = []
        for (before, after), blocks in zip(pairwise([shape[0], *WIDTHS]), BLOCKS[layers], strict=True):
            stages += [_Opening(before, after), *(_Residual(after) for _ in range(blocks))]
        self.features = nn.Sequential(*stages, nn.Flatten())
        height, width = (-(-side // 2 ** len(WIDTHS)) for side in shape[1:])
        linear = nn.Linear(WIDTHS[-1] * height * width, dim)
        _xavier(linear)
        self.embed = nn.Sequential(linear, nn.Dropout(dropout))
        self.dim = dim

    def forward(self, images: Float[Tensor, "n k h w"]) -> Float[Tensor, "n d"]:
        return self.embed(self.features(images))


class _Opening(nn.Sequential):
    """Halve the image, and change the number of channels."""

    def __init__(self, before: int, after: int) -> None:
        conv = nn.Conv2d(before, after, 3, stride=2, padding=1)
        _xavier(conv)
        super().__init__(conv, nn.PReLU(after))


class _Residual(nn.Sequential):
    """x + two convolutions of x, each with its PReLU; nothing follows the sum."""

    def __init__(self, width: int) -> None:
        convs = [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2)]
        for conv in convs:
            nn.init.normal_(conv.weight, std=0.01)
        super().__init__(convs[0], nn.PReLU(width), convs[1], nn.PReLU(width))

    def forward(self, images: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        return images + super().forward(images)


def _xavier(layer: nn.Conv2d | nn.Linear) -> None:
    # Caffe's xavier looks at fan-in alone, unlike torch's.
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
