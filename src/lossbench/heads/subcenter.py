"""Sub-center ArcFace (Deng et al. 2020, "Sub-center ArcFace: Boosting Face Recognition by Large-scale Noisy
Web Faces", ECCV): a class's cosine is the best of its k sub-centres."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lossbench.heads.autocast import without_autocast
from lossbench.heads.cosine import CosineHead
from lossbench.heads.scheduled import Margin
from lossbench.validate import check_range

# Per further image of the class: about its last hundred decide, not those of the first steps.
KEPT_WINS = 0.99


class SubCenterHead(CosineHead):
    r"""Cosine scores with $\cos\theta_j = \max_{i \le k} \cos(x, w_{ji})$, then margin and scale as always.

    margin: (cosine (n, c), target (n,)) -> cosine (n, c); the paper's is ArcFace's, on the angle.
    s: scale > 0. k: sub-centres per class, a whole number >= 1; 1 is the plain cosine head.
    drop_angle: in (0, π) radians; the paper's 75 degrees are 1.309.
    drop_after: share of training in [0, 1] after which images further than ``drop_angle`` from the dominant
        sub-centre of their class keep their scores but give no gradient; None for never. They still count in
        the mean of the loss.

    Sub-centre i of class j is row j k + i of ``weight``. The dominant sub-centre of a class is the one
    nearest to most of its training images, where a win counts 0.99 times as much with each further image of
    the class. The paper removes the outliers from the data after one training and trains again with k = 1;
    ``outliers`` serves that, and ``drop_after`` leaves them out within one training.
    """

    wins: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        margin: Margin,
        *,
        s: float,
        k: int,
        drop_angle: float,
        drop_after: float | None,
    ) -> None:
        check_range("classes", classes, low=1, integer=True)
        check_range("k", k, low=1, integer=True, cure="sub-centres per class; the paper has 3")
        cure = "an angle in radians, not degrees"
        check_range("drop_angle", drop_angle, low=0, high=math.pi, open_low=True, open_high=True, cure=cure)
        if drop_after is not None:
            check_range("drop_after", drop_after, low=0, high=1, cure="a share of training, null for never")
        super().__init__(dim, classes * k, margin, s=s)
        self.k = k
        self.drop_angle = drop_angle
        self.drop_after = drop_after
        self.dropping = False
        self.register_buffer("wins", torch.zeros(classes, k))

    def at(self, step: int, total: int) -> None:
        """Drop outliers from the share ``drop_after`` of training on."""
        self.dropping = self.drop_after is not None and step >= self.drop_after * total

    @without_autocast
    def forward(
        self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "n c"]:
        if target is None or not (self.training and torch.is_grad_enabled()):
            return super().forward(embedding, target)
        # Counted here and not in observe, which is told the best cosine but not whose it is.
        self._count(self._own(embedding, target), target)
        scores = super().forward(embedding, target)
        if not self.dropping:
            return scores
        return torch.where(self.outliers(embedding, target)[:, None], scores.detach(), scores)

    def cosine(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Cosine between each embedding and the sub-centre of each class that is nearest to it."""
        # max keeps n x c indices for its gradient; amax would keep all n x c x k cosines.
        return super().cosine(embedding).view(len(embedding), -1, self.k).max(2).values

    def dominant(self) -> Int[Tensor, " classes"]:
        """Index, below k, of the dominant sub-centre of each class; 0 for a class that has not been seen."""
        return self.wins.argmax(1)

    @torch.no_grad()
    def outliers(self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Which embeddings lie further than ``drop_angle`` from their class's dominant sub-centre.

        A zero embedding is 90 degrees away from everything.
        """
        own = self._own(embedding, target)
        return own.gather(1, self.dominant()[target][:, None])[:, 0] < math.cos(self.drop_angle)

    def untrained_scores(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: float = 1.0
    ) -> Float[Tensor, "n c"]:
        """Training scores for the cosines to random prototypes, one per class, of at least k drawings.

        The other k - 1 sub-centres of a class are those of the other rows, which were drawn independently.
        """
        drawings = torch.stack([cosine.roll(shift, 0) for shift in range(self.k)])
        return super().untrained_scores(drawings.amax(0), target, norm)

    @torch.no_grad()
    def _own(self, embedding: Tensor, target: Tensor) -> Float[Tensor, "n k"]:
        """Cosine between each embedding and each sub-centre of its own class."""
        centers = self.weight.view(-1, self.k, self.weight.shape[1])[target]
        return (F.normalize(centers, dim=2) @ F.normalize(embedding)[:, :, None])[:, :, 0]

    def _count(self, own: Float[Tensor, "n k"], target: Tensor) -> None:
        place = target * self.k + own.argmax(1)
        won = torch.bincount(place, minlength=self.wins.numel()).view_as(self.wins).to(self.wins.dtype)
        self.wins.mul_(KEPT_WINS ** won.sum(1, keepdim=True)).add_(won)
