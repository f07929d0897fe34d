r"""MagFace's regularizer (Meng et al. 2021, arXiv:2103.06627): $g(a) = 1/a + a/u^2$ of the norm a = ‖x‖."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from lossbench.validate import check_range


class MagFaceNorm(nn.Module):
    r"""Draw each embedding's norm up towards ``upper``, the harder the shorter it is.

    $\lambda\,g(a)$ with $g(a) = 1/a + a/u^2$, a = ‖x‖, λ = weight >= 0 and u = upper > 0; g is least at a =
    u, with 2/u. The paper takes λ = 35, the reference code 20 unless told otherwise. Beside a MagFace head
    whose margin has slope κ, norms settle above l = lower if λ > s κ l² u² / (u² - l²): 22.6 for the paper's
    values.

    Below a = l, in (0, u), the line that touches g there takes over, since g is infinite at 0. The reference
    code holds a between l and u: beyond them, where embeddings of few dimensions start, norms have no
    gradient and cannot come back.

    dim, classes: sizes of the embedding and of the training set, which this term has no use for.
    """

    def __init__(self, dim: int, classes: int, *, weight: float, lower: float, upper: float) -> None:
        super().__init__()
        check_range("norm_weight", weight, low=0, cure="it multiplies MagFace's regularizer")
        check_range("norm_lower", lower, low=0, open_low=True, cure="the norm where the margin is least")
        check_range("norm_upper", upper, low=lower, open_low=True, cure="must exceed norm_lower")
        self.weight = weight
        self.lower = lower
        self.upper = upper

    def forward(self, embedding: Float[Tensor, "n d"], target: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        norm = embedding.norm(dim=1)
        held = norm.clamp_min(self.lower)
        slope = 1 / self.upper**2 - 1 / self.lower**2
        # Either norm - held is 0 or held is constant: g above, its tangent below.
        return self.weight * (1 / held + held / self.upper**2 + slope * (norm - held))
