r"""MagFace (Meng et al. 2021, arXiv:2103.06627): $\cos(\theta_y + m(\lVert x\rVert))$."""

from __future__ import annotations

import math

from jaxtyping import Float, Int
from torch import Tensor

from lossbench.heads.cosine import CosineHead
from lossbench.margins.angle import rotated_falling
from lossbench.validate import check_range


class MagFaceHead(CosineHead):
    r"""scores = s cos(x, w), with a margin on the target's angle that grows with the embedding's norm.

    $\cos(\theta_y + m(a))$, where a = ‖x‖ is held between ``norm_lower`` and ``norm_upper`` and m(a) runs on
    a line from ``m_lower`` at the one to ``m_upper`` at the other. Past $\theta_y = \pi - m(a)$ it is
    $\cos\theta_y - m \sin m$, as in ArcFace. The reference code's default (its easy margin) instead has no
    margin at all from 90 degrees on.

    norm_lower, norm_upper: norms, 0 < norm_lower < norm_upper. m_lower, m_upper: margins in [0, π/2) radians,
    m_lower <= m_upper. s: scale > 0.

    The gradient is exact, on the cosine and through m(a) on the norm; a norm that is held has none. It
    shortens embeddings, so MagFace stands on its regularizer, which lengthens them.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        norm_lower: float,
        norm_upper: float,
        m_lower: float,
        m_upper: float,
        s: float,
    ) -> None:
        super().__init__(dim, classes, s=s)
        check_range("norm_lower", norm_lower, low=0, open_low=True, cure="the norm where the margin is least")
        check_range("norm_upper", norm_upper, low=norm_lower, open_low=True, cure="must exceed norm_lower")
        quarter = math.pi / 2
        check_range("m_lower", m_lower, low=0, high=quarter, open_high=True, cure="an angle in radians")
        check_range(
            "m_upper", m_upper, low=m_lower, high=quarter, open_high=True, cure="from m_lower, radians"
        )
        self.norm_lower = norm_lower
        self.norm_upper = norm_upper
        self.m_lower = m_lower
        self.m_upper = m_upper

    def margined(
        self, cosine: Float[Tensor, "n c"], target: Int[Tensor, " n"], norm: Float[Tensor, "n 1"]
    ) -> Float[Tensor, "n c"]:
        column = target[:, None]
        return cosine.scatter(1, column, rotated_falling(cosine.gather(1, column), self.angle(norm)))

    def angle(self, norm: Float[Tensor, "n 1"]) -> Float[Tensor, "n 1"]:
        """m(a) in radians."""
        slope = (self.m_upper - self.m_lower) / (self.norm_upper - self.norm_lower)
        return self.m_lower + slope * (norm.clamp(self.norm_lower, self.norm_upper) - self.norm_lower)
