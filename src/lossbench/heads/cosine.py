"""Cosine heads: NormFace (Wang et al. 2017, arXiv:1704.06369) and every margin on the target's cosine."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor, nn

from lossbench.heads.autocast import without_autocast
from lossbench.heads.kernel import cosine_cross_entropy, cosine_scores
from lossbench.heads.scheduled import Margin, changes_target_alone, scheduled
from lossbench.validate import check_range

LEAST_SCALE = 0.01


class CosineHead(nn.Module):
    """scores = s cos(x, w), the target's cosine changed by ``margin`` when targets are given.

    margin: (cosine (n, c), target (n,)) -> cosine (n, c), or None for NormFace.
    s: scale > 0, the inverse of a softmax temperature; None for the embedding's own norm ‖x‖, that is without
        feature normalisation, as in A-Softmax.
    learn_s: train the scale from its start at ``s``, never below 0.01.

    A zero embedding has cosine 0 to every class. Weights start as random directions of length about 1.

    Heads whose margin needs norms, state or other columns override ``margined``, ``scale`` or ``observe``.
    """

    def __init__(
        self, dim: int, classes: int, margin: Margin | None = None, *, s: float | None, learn_s: bool = False
    ) -> None:
        super().__init__()
        check_range("dim", dim, low=1, integer=True)
        check_range("classes", classes, low=1, integer=True)
        if s is not None:
            check_range("s", s, low=0, open_low=True, cure="the scale multiplies cosines; 30 is common")
        elif learn_s:
            raise ValueError("learn_s=True: needs a scale to start from, but s is null")
        self.weight = nn.Parameter(torch.randn(classes, dim) / dim**0.5)
        self.margin = None if margin is None else scheduled(margin)
        self.s = nn.Parameter(torch.tensor(float(s))) if learn_s and s is not None else s
        # What a subclass changes, and a margin that learns or touches other columns, the fast way would miss.
        self.fast = type(self) is CosineHead and (self.margin is None or _simple(self.margin))

    @without_autocast
    def forward(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n c"]:
        norm = embedding.norm(dim=1, keepdim=True)
        if self.fast:
            return cosine_scores(embedding, self.weight, target, self.margin, self.scale(norm))
        cosine = self.cosine(embedding)
        if target is not None:
            if self.training and torch.is_grad_enabled():
                self.observe(cosine.detach(), target, norm.detach())
            cosine = self.margined(cosine, target, norm)
        return self.scale(norm) * cosine

    @without_autocast
    def cross_entropy(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"], *, tau: float
    ) -> Float[Tensor, " n"]:
        """Cross-entropy of the training scores over ``tau`` in one pass, for heads that are ``fast``."""
        scale = self.scale(embedding.norm(dim=1, keepdim=True))
        return cosine_cross_entropy(embedding, self.weight, target, self.margin, scale, tau)

    def cosine(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Cosine between each embedding and each class weight."""
        return F.linear(F.normalize(embedding), F.normalize(self.weight))

    def margined(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> Float[Tensor, "n c"]:
        """Cosines as training sees them, for embeddings of these norms."""
        return cosine if self.margin is None else self.margin(cosine, target)

    def scale(self, norm: Float[Tensor, "n 1"]) -> Tensor | float:
        """What multiplies the cosines of embeddings of these norms."""
        if isinstance(self.s, Tensor):
            # The gradient passes where the value is held: a scale that fell too far can rise again.
            return self.s + (self.s.clamp_min(LEAST_SCALE) - self.s).detach()
        return norm if self.s is None else self.s

    def observe(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> None:
        """Update what a head keeps of its training batches; called once before each margined forward pass."""

    def untrained_scores(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: float = 1.0
    ) -> Float[Tensor, "n c"]:
        """Training scores for the cosines to random prototypes that an untrained head would see.

        norm: length of the embeddings, which is the scale where the head has none of its own.
        """
        norms = cosine.new_full((len(cosine), 1), norm)
        return self.scale(norms) * self.margined(cosine, target, norms)


def _simple(margin: Margin) -> bool:
    learns = isinstance(margin, nn.Module) and any(True for _ in margin.parameters())
    return not learns and changes_target_alone(margin)
