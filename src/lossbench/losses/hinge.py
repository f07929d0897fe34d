"""Multiclass hinge loss (Weston and Watkins 1998, "Multi-class support vector machines")."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


def hinge_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, delta: float
) -> Float[Tensor, " n"]:
    r"""Sum over the wrong classes of how far each comes within ``delta`` of the target's score.

    $L = \sum_{j \ne y} \max(0, z_j - z_y + \Delta)$, the sum and not the mean; delta > 0 in the unit of
    the scores. At a kink the gradient is that of the satisfied side: zero.

    >>> import torch
    >>> scores = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    >>> [round(loss, 4) for loss in hinge_loss(scores, torch.tensor([0, 1, 2]), delta=1.0).tolist()]
    [2.9, 0.0, 12.9]
    """
    check_range("delta", delta, low=0, open_low=True, cure="the chapter's default is 1")
    column = target[:, None]
    violations = (scores - scores.gather(1, column) + delta).relu()
    return violations.scatter(1, column, 0.0).sum(1)
