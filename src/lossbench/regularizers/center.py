"""Center loss (Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition")."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lossbench.validate import check_range


class CenterLoss(nn.Module):
    r"""Half the squared distance of each embedding to its class's centre, times ``weight``.

    $L_C = \frac{\lambda}{2} \lVert x - c_y \rVert^2$ with lambda = weight >= 0; the paper uses 0.003 beside
    cross-entropy. The centres are no weights of the optimizer: after each training batch
    $c_j \leftarrow c_j - \alpha \frac{\sum_i [y_i = j] (c_j - x_i)}{1 + n_j}$ with n_j samples of class j in
    the batch and rate alpha in [0, 1] (eqs. 3 and 4). They start at zero and are kept in the state dict.
    """

    centers: Tensor

    def __init__(self, dim: int, classes: int, *, weight: float, alpha: float) -> None:
        super().__init__()
        check_range("center_weight", weight, low=0, cure="it multiplies the center loss")
        check_range("center_alpha", alpha, low=0, high=1, cure="the rate of the centres' own update")
        self.weight = weight
        self.alpha = alpha
        self.register_buffer("centers", torch.zeros(classes, dim))

    def forward(self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        own = self.centers[target]
        if self.training and torch.is_grad_enabled():
            self._update(own - embedding.detach(), target)
        return 0.5 * self.weight * (embedding - own).square().sum(1)

    def _update(self, apart: Tensor, target: Tensor) -> None:
        count = torch.bincount(target, minlength=len(self.centers))[target]
        self.centers.index_add_(0, target, -self.alpha * apart / (1 + count)[:, None])
