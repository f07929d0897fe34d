"""Knowledge distillation (Hinton et al. 2015, arXiv:1503.02531, section 2)."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from lossbench.validate import check_range


def distillation_loss(
    scores: Float[Tensor, "n c"],
    target: Int[Tensor, " n"],
    teacher: Float[Tensor, "n c"],
    *,
    temperature: float,
    soft_weight: float,
) -> Float[Tensor, " n"]:
    r"""Cross-entropy mixed with the divergence from a teacher's softened probabilities.

    $L = (1 - w) H(y, p) + w T^2 \, KL(q_T \Vert p_T)$ with p_T and q_T the softmax of the student's and the
    teacher's scores over temperature T > 0, and w = soft_weight in [0, 1]. T² keeps the size of the soft
    gradient whatever T is. The teacher is constant: no gradient reaches it. On a head with a margin the
    student's scores are the training ones: the margin is part of what it has to make up for.
    """
    check_range("temperature", temperature, low=0, open_low=True, cure="it divides both models' scores")
    check_range("soft_weight", soft_weight, low=0, high=1, cure="the teacher's share of the loss")
    hard = F.cross_entropy(scores, target, reduction="none")
    student = (scores / temperature).log_softmax(1)
    taught = (teacher.detach() / temperature).log_softmax(1)
    soft = F.kl_div(student, taught, reduction="none", log_target=True).sum(1)
    return (1 - soft_weight) * hard + soft_weight * temperature**2 * soft
