"""Losses on the embeddings of a batch alone; the other samples take the place of class weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lossbench.validate import check_range


def sup_con_loss(
    embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"], *, tau: float
) -> Float[Tensor, " n"]:
    r"""Supervised contrastive loss: every other sample of the class is a positive.

    $L_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)}
    \log \frac{e^{\cos_{ip}/\tau}}{\sum_{a \ne i} e^{\cos_{ia}/\tau}}$ with P(i) the other samples of i's
    class and temperature tau > 0. Khosla et al. 2020, arXiv:2004.11362, eq. 2 (the mean over positives
    outside the logarithm). A sample without a positive costs 0.
    """
    similarity, positive = _similarities(embedding, target, tau)
    log_probability = similarity - similarity.logsumexp(1, keepdim=True)
    return -_mean_over(positive, log_probability)


def info_nce_loss(
    embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"], *, tau: float
) -> Float[Tensor, " n"]:
    r"""Each positive against the samples of other classes alone.

    $L_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac{e^{\cos_{ip}/\tau}}
    {e^{\cos_{ip}/\tau} + \sum_{y_a \ne y_i} e^{\cos_{ia}/\tau}}$ with P(i) the other samples of i's class and
    temperature tau > 0. van den Oord et al. 2018, arXiv:1807.03748, eq. 4, with cosines as in NT-Xent (Chen
    et al. 2020, arXiv:2002.05709, eq. 1), whose two views are the case of one positive: there it equals
    ``sup_con_loss``. A sample without a positive costs 0.
    """
    similarity, positive = _similarities(embedding, target, tau)
    lowest = torch.finfo(similarity.dtype).min
    negatives = similarity.masked_fill(positive, lowest).logsumexp(1, keepdim=True)
    return -_mean_over(positive, F.logsigmoid(similarity - negatives))


def _similarities(
    embedding: Tensor, target: Tensor, tau: float
) -> tuple[Float[Tensor, "n n"], Bool[Tensor, "n n"]]:
    """Cosines over tau, the lowest number in place of a sample with itself; and which pairs are positive."""
    check_range("tau", tau, low=0, open_low=True, cure="the temperature divides the cosines")
    unit = F.normalize(embedding)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    # Not -inf: a batch of one sample would have no log-sum-exp to differentiate.
    similarity = (unit @ unit.T / tau).masked_fill(itself, torch.finfo(unit.dtype).min)
    return similarity, (target[:, None] == target) & ~itself


def _mean_over(positive: Tensor, values: Tensor) -> Tensor:
    return torch.where(positive, values, 0.0).sum(1) / positive.sum(1).clamp_min(1)
