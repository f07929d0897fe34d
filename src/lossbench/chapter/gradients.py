"""Section 3.6.6: the gradient of AM-Softmax and its bounds."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.heads import CosineHead, LinearHead
from lossbench.losses import cross_entropy_loss
from lossbench.margins import additive_cosine

entropy_loss = partial(cross_entropy_loss, tau=1.0)


def plain_head(weight: Tensor) -> nn.Module:
    """Scores W x in float64."""
    return _with(LinearHead(weight.shape[1], len(weight), bias=False), weight)


def cosine_head(weight: Tensor, s: float = 30.0, m: float = 0.0) -> nn.Module:
    """AM-Softmax in float64, m = 0 being NormFace."""
    margin = partial(additive_cosine, m=m)
    return _with(CosineHead(weight.shape[1], len(weight), margin=margin, s=s), weight)


def _with(head: LinearHead | CosineHead, weight: Tensor) -> nn.Module:
    head.double().weight.data.copy_(weight)
    return head


def gradient(head: nn.Module, feature: Tensor, target: Tensor | None = None) -> Tensor:
    """Of the loss on the raw features (n, d), class 0 being the target unless told."""
    leaf = feature.clone().requires_grad_()
    own = torch.zeros(len(leaf), dtype=torch.long) if target is None else target
    return torch.autograd.grad(entropy_loss(head(leaf, own), own).sum(), leaf)[0]


def size(head: nn.Module, direction: Tensor, norm: float) -> float:
    """Length of the gradient on a feature of this norm, class 0 being the target."""
    return gradient(head, norm * direction).norm().item()


@claim(
    "C-AM-grad",
    says="The slope of the loss in the target's angle is s (1 - p_y) sin theta_y, at most s.",
    verdict="holds",
)
def bounded(work: Working) -> None:
    work.let("z_y = s (cos theta_y - m), dz_y/dtheta_y = -s sin theta_y, dL/dz_y = p_y - 1")
    angle = math.pi * torch.rand(20000, dtype=torch.float64)
    rivals = 2 * torch.rand(20000, 9, dtype=torch.float64) - 1
    for s, m in ((30.0, 0.35), (64.0, 0.5)):
        found, p = _angle_slope(angle, rivals, s, m)
        gap = (found - s * (1 - p) * angle.sin()).abs().max().item()
        work.true(f"s = {s:g}, m = {m:g}: autograd gives the formula", gap < 1e-9 * s, f"off by {gap:.0e}")
        work.true(f"20,000 random cosines: at most {s:g}", found.max().item() <= s, f"{found.max():.3f}")
    worst, _ = _angle_slope(
        torch.tensor([math.pi / 2, math.pi]).double(), torch.ones(2, 9).double(), 30, 0.35
    )
    work.numbers("at 90 and 180 degrees, all rivals at cosine 1", worst.tolist(), [30, 0], within=1e-5)


def _angle_slope(angle: Tensor, rivals: Tensor, s: float, m: float) -> tuple[Tensor, Tensor]:
    """-dL/dtheta_y with the other angles held, and p_y."""
    leaf, target = angle.clone().requires_grad_(), torch.zeros(len(angle), dtype=torch.long)
    scores = s * additive_cosine(torch.cat([leaf.cos()[:, None], rivals], 1), target, m=m)
    loss = entropy_loss(scores, target)
    return torch.autograd.grad(loss.sum(), leaf)[0].detach().abs(), (-loss).exp().detach()


@claim(
    "X-08",
    says="However misaligned the feature, its gradient never exceeds s.",
    verdict="overstated",
    correct="The slope in theta_y does not. The gradient on the feature reaches 2 s (1 - p_y) / ‖x‖.",
)
def feature_bound(work: Working) -> None:
    work.let("dL/dx = (s / ‖x‖) sum (p_j - y_j) w_j without its part along x: at most 2 s (1 - p_y) / ‖x‖")
    opposite = torch.tensor([[1.0, 0], [-1, 0]], dtype=torch.float64)
    across = torch.tensor([[0.0, 1]], dtype=torch.float64)
    work.let("prototypes (1, 0) and (-1, 0), x = (0, 1), s = 30, m = 0.35: 1 - p = 1/(1 + exp(-10.5))")
    head = cosine_head(opposite, m=0.35)
    work.number("gradient at norm 1", size(head, across, 1.0), 60 / (1 + math.exp(-10.5)))
    work.number("at norm 0.1", size(head, across, 0.1), 600 / (1 + math.exp(-10.5)))
    x = torch.randn(2000, 8, dtype=torch.float64)
    many, target = cosine_head(torch.randn(10, 8).double(), m=0.35), torch.randint(10, (2000,))
    p = (-entropy_loss(many(x, target), target)).exp().detach()
    share = (gradient(many, x, target).norm(dim=1) * x.norm(dim=1) / (60 * (1 - p))).max().item()
    work.true(
        "2,000 random features: largest share of the bound, at most 1", share <= 1 + 1e-9, f"{share:.3f}"
    )


@claim(
    "C-AM-esin",
    says="With random directions at the start, the mean slope is of order s.",
    verdict="holds",
)
def start(work: Working) -> None:
    work.let(
        "in many dimensions cosines sit near 0, so sin theta_y is near 1; p_y is small among 100 classes"
    )
    for dim, least in ((2, 0.6), (64, 0.9), (512, 0.9)):
        unit = F.normalize(torch.randn(4000, dim, dtype=torch.float64))
        weight = F.normalize(torch.randn(100, dim, dtype=torch.float64))
        cosine = unit @ weight.T
        found, _ = _angle_slope(cosine[:, 0].acos(), cosine[:, 1:], 30, 0.35)
        share = found.mean().item() / 30
        work.true(f"d = {dim}, 100 classes: mean slope over s", least < share <= 1, f"{share:.3f}")


@claim(
    "X-03",
    says="E[sin² theta_y] = 1/2 for directions uniform on the hypersphere.",
    verdict="wrong",
    correct="1 - 1/d; 1/2 only on the circle. The scale of order s stands.",
)
def sine_square(work: Working) -> None:
    work.let("the d squared coordinates of a unit vector sum to 1: E[cos²] = 1/d, E[sin²] = 1 - 1/d")
    angle = torch.linspace(0, math.pi, 20001, dtype=torch.float64)
    exact, drawn = [], []
    for dim in (2, 3, 64, 512):
        weight = angle.sin() ** (dim - 2)
        exact.append((weight * angle.sin().square())[1:-1].sum().item() / weight[1:-1].sum().item())
        cosine = F.normalize(torch.randn(20000, dim, dtype=torch.float64))[:, 0]
        drawn.append(1 - cosine.square().mean().item())
    wanted = [1 / 2, 2 / 3, 63 / 64, 511 / 512]
    work.numbers("E[sin²] for d = 2, 3, 64, 512", exact, wanted)
    work.numbers("mean of 20,000 directions", drawn, wanted, within=0.01)
