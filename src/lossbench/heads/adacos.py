"""AdaCos (Zhang et al. 2019, arXiv:1905.00292): cosine scores whose scale follows training by itself."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.heads.cosine import CosineHead

FEWEST_RIVALS = 2.0


class AdaCosHead(CosineHead):
    r"""scores = s cos(x, w) without a margin; each training batch sets s anew.

    $s \leftarrow \log B / \cos(\min(\pi/4, \mathrm{med}\,\theta_y))$, where B is the mean over the batch of
    $\sum_{j \ne y} e^{s \cos\theta_j}$ at the scale before (section 4.2). At first $s = \sqrt2 \log(C - 1)$
    (section 4.1). Of an even number of angles the median is the lower of the middle two, torch's.

    B and C - 1 are taken as at least 2: a single rival at a right angle or more has log B <= 0, and the scale
    would become 0 for good, or negative. So two classes start as three do, and s >= log 2 always.
    """

    adapted: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes, s=None)
        rivals = max(classes - 1.0, FEWEST_RIVALS)
        self.register_buffer("adapted", torch.tensor(math.sqrt(2) * math.log(rivals)))

    def scale(self, norm: Float[Tensor, "n 1"]) -> Tensor:
        return self.adapted

    def observe(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> None:
        column = target[:, None]
        others = (self.adapted * cosine).scatter_(1, column, -torch.inf)
        log_rivals = others.logsumexp((0, 1)) - math.log(len(cosine))
        # Cosines fall with the angle: the lower middle angle has the upper middle cosine.
        median = -(-cosine.gather(1, column)).median()
        self.adapted.copy_(log_rivals.clamp_min(math.log(FEWEST_RIVALS)) / median.clamp_min(math.sqrt(0.5)))
