"""LDAM (Cao et al. 2019, arXiv:1906.07413): the rarer a class, the larger its margin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.heads.cosine import CosineHead
from lossbench.validate import check_range


class LDAMHead(CosineHead):
    r"""AM-Softmax with the margin $m_j = m \, (n_{min} / n_j)^{1/4}$ for class j of $n_j$ training images.

    counts: training images of each class, all >= 1.
    m: margin of the rarest class in [0, 1), in units of cosine. s: scale > 0.

    The exponent is the paper's (section 3.2), giving m to the rarest class is its reference code's. The
    paper's deferred reweighting of the classes (DRW) is no part of the head.
    """

    counts: Tensor

    def __init__(
        self, dim: int, classes: int, counts: Sequence[int] | Int[Tensor, " classes"], *, m: float, s: float
    ) -> None:
        check_range("m", m, low=0, high=1, open_high=True, cure="a cosine margin; did you pass degrees?")
        super().__init__(dim, classes, s=s)
        images = torch.as_tensor(counts)
        if images.shape != (classes,):
            raise ValueError(f"counts: must be {classes}, one per class, got shape {tuple(images.shape)}")
        if (images < 1).any():
            empty = (images < 1).nonzero()[:5, 0].tolist()
            raise ValueError(f"counts: must be >= 1, but classes {empty} have no training images; drop them")
        self.m = m
        self.register_buffer("counts", images.clone())

    def margined(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> Float[Tensor, "n c"]:
        own = self.counts[target].to(cosine.dtype)
        margin = self.m * (self.counts.min() / own) ** 0.25
        return cosine.scatter_add(1, target[:, None], -margin[:, None])
