"""Multiclass hinge losses (Weston and Watkins 1998, "Multi-class support vector machines"; and variants)."""

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
    return _wrong_violations(scores, target, delta).sum(1)


def hinge_mean_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, delta: float
) -> Float[Tensor, " n"]:
    r"""Mean over the wrong classes of how far each comes within ``delta`` of the target's score.

    $L = \frac{1}{C-1} \sum_{j \ne y} \max(0, z_j - z_y + \Delta)$, 0 for one class; delta > 0 in the unit of
    the scores. torch's ``multi_margin_loss`` divides by C instead.

    >>> import torch
    >>> scores = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    >>> [round(loss, 4) for loss in hinge_mean_loss(scores, torch.tensor([0, 1, 2]), delta=1.0).tolist()]
    [1.45, 0.0, 6.45]
    """
    return hinge_loss(scores, target, delta=delta) / max(scores.shape[1] - 1, 1)


def hinge_all_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, delta: float
) -> Float[Tensor, " n"]:
    r"""The hinge summed over all classes, the true one included, which adds ``delta`` and no gradient.

    $L = \sum_j \max(0, z_j - z_y + \Delta) = \Delta + \sum_{j \ne y} \max(0, z_j - z_y + \Delta)$; delta > 0
    in the unit of the scores. The least value is delta, not 0.

    >>> import torch
    >>> scores = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    >>> [round(loss, 4) for loss in hinge_all_loss(scores, torch.tensor([0, 1, 2]), delta=1.0).tolist()]
    [3.9, 1.0, 13.9]
    """
    return _violations(scores, target, delta).sum(1)


def squared_hinge_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, delta: float
) -> Float[Tensor, " n"]:
    r"""Sum over the wrong classes of the squared violation: the worst ones dominate, and no kink is left.

    $L = \sum_{j \ne y} \max(0, z_j - z_y + \Delta)^2$ in the squared unit of the scores; delta > 0 in their
    unit. The L2-SVM of Tang 2013 (arXiv:1306.0239) squares one-against-rest terms instead of these.

    >>> import torch
    >>> scores = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    >>> [round(loss, 3) for loss in squared_hinge_loss(scores, torch.tensor([0, 1, 2]), delta=1.0).tolist()]
    [8.41, 0.0, 83.25]
    """
    return _wrong_violations(scores, target, delta).square().sum(1)


def crammer_singer_loss(
    scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], *, delta: float
) -> Float[Tensor, " n"]:
    r"""How far the best wrong class comes within ``delta`` of the target's score.

    $L = \max(0, \Delta + \max_{j \ne y} z_j - z_y)$, 0 for one class; delta > 0 in the unit of the scores
    (Crammer and Singer 2001, "On the algorithmic implementation of multiclass kernel-based vector
    machines"). Wrong classes that tie for the best share the gradient equally.

    >>> import torch
    >>> scores = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    >>> [round(loss, 4) for loss in crammer_singer_loss(scores, torch.tensor([0, 1, 2]), delta=1.0).tolist()]
    [2.9, 0.0, 6.6]
    """
    return _wrong_violations(scores, target, delta).amax(1)


def _wrong_violations(scores: Tensor, target: Tensor, delta: float) -> Tensor:
    return _violations(scores, target, delta).scatter(1, target[:, None], 0.0)


def _violations(scores: Tensor, target: Tensor, delta: float) -> Tensor:
    check_range("delta", delta, low=0, open_low=True, cure="the chapter's default is 1")
    return (scores - scores.gather(1, target[:, None]) + delta).relu()
