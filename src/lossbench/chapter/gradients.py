"""Section 3.6.6: gradients of AM-Softmax, and what normalised features do to them."""

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
from lossbench.report.style import COLOURS

entropy_loss = partial(cross_entropy_loss, tau=1.0)
ORTHONORMAL = torch.eye(10, dtype=torch.float64)
BISECTOR, OWN, WRONG = F.normalize(ORTHONORMAL[:1] + ORTHONORMAL[1:2]), ORTHONORMAL[:1], ORTHONORMAL[1:2]
NORMS = torch.logspace(-1, 2, 61).tolist()


def _plain(weight: Tensor) -> nn.Module:
    return _with(LinearHead(weight.shape[1], len(weight), bias=False), weight)


def _cosine(weight: Tensor, s: float = 30.0, m: float = 0.0) -> nn.Module:
    margin = partial(additive_cosine, m=m)
    return _with(CosineHead(weight.shape[1], len(weight), margin=margin, s=s), weight)


def _with(head: LinearHead | CosineHead, weight: Tensor) -> nn.Module:
    head.double().weight.data.copy_(weight)
    return head


def _gradient(head: nn.Module, feature: Tensor, target: Tensor | None = None) -> Tensor:
    """Of the loss on the raw features (n, d), class 0 being the target unless told."""
    leaf = feature.clone().requires_grad_()
    own = torch.zeros(len(leaf), dtype=torch.long) if target is None else target
    return torch.autograd.grad(entropy_loss(head(leaf, own), own).sum(), leaf)[0]


def _size(head: nn.Module, direction: Tensor, norm: float) -> float:
    return _gradient(head, norm * direction).norm().item()


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
    head = _cosine(opposite, m=0.35)
    work.number("gradient at norm 1", _size(head, across, 1.0), 60 / (1 + math.exp(-10.5)))
    work.number("at norm 0.1", _size(head, across, 0.1), 600 / (1 + math.exp(-10.5)))
    x = torch.randn(2000, 8, dtype=torch.float64)
    many, target = _cosine(torch.randn(10, 8).double(), m=0.35), torch.randint(10, (2000,))
    p = (-entropy_loss(many(x, target), target)).exp().detach()
    share = (_gradient(many, x, target).norm(dim=1) * x.norm(dim=1) / (60 * (1 - p))).max().item()
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


@claim(
    "C-AM-radial",
    says="With normalised features updates rotate a feature instead of growing it; s scales the gradient; "
    "too large an s costs numerical slack.",
    verdict="holds with a condition",
    correct="Grows, by a second-order amount, but never shrinks. s scales the gradient as long as p stays; "
    "on a sample that is right it falls. Slack is lost where exp(s) is formed: subtract the largest score "
    "first, as every library does.",
)
def rotation(work: Working) -> None:
    x, target = 5 * torch.randn(1000, 16, dtype=torch.float64), torch.arange(1000) % 10
    weight = torch.randn(10, 16, dtype=torch.float64)
    gradient = _gradient(_cosine(weight, m=0.35), x, target)
    gap = F.cosine_similarity(gradient, x).abs().max().item()
    work.true("1,000 random features: gradient at right angles to them", gap < 1e-12, f"cosine {gap:.0e}")
    gap = F.cosine_similarity(_gradient(_plain(weight), x, target), x).abs().max().item()
    work.true("a linear head's is not", gap > 0.5, f"cosine up to {gap:.2f}")
    work.let("so ‖x - lr g‖² = ‖x‖² + lr² ‖g‖²")
    moved = (x - 0.1 * gradient).norm(dim=1)
    work.true(
        "a step of lr = 0.1 shrinks none",
        bool((moved >= x.norm(dim=1) - 1e-12).all()),
        f"{100 * (moved / x.norm(dim=1) - 1).mean():.2f} % longer on average",
    )
    ties = [_size(_cosine(ORTHONORMAL, s), BISECTOR, 1.0) for s in (16, 32, 64)]
    work.numbers(
        "on the bisector, s = 16, 32, 64: s sqrt(1/2)", ties, [11.3137, 22.6274, 45.2548], within=1e-3
    )
    right = [_size(_cosine(ORTHONORMAL, s), F.normalize(2 * OWN + WRONG), 1.0) for s in (16, 32, 64)]
    work.true(
        "on a right sample it falls",
        right[0] > right[1] > right[2],
        ", ".join(f"{value:.1g}" for value in right),
    )
    finite = [s for s in (11.0, 11.08, 11.1, 16.0, 30.0) if torch.tensor(s).half().exp().isfinite()]
    work.numbers("of s = 11, 11.08, 11.1, 16, 30 exp(s) fits float16 for", finite, [11, 11.08])
    half = torch.tensor([[30.0, -30]]).half().log_softmax(1)
    work.true("log-softmax of 30 and -30 in float16 is finite", bool(half.isfinite().all()))


@claim(
    "C-AM-fig22",
    says="Without feature normalisation small features get large, unstable gradients; with it gradients "
    "are controlled (Figure 3.22).",
    verdict="wrong",
    correct="The other way round for the gradient on the feature: without, it is at most 2 max ‖w‖ at "
    "every norm; with, it grows as 1/‖x‖ when the norm falls.",
)
def norms(work: Working) -> None:
    work.let("ten orthonormal prototypes; the feature halfway between its own and a wrong one")
    work.let("without: (p - y) W; with: (s/‖x‖) times that of the unit feature, at right angles to it")
    plain, normed = _plain(ORTHONORMAL), _cosine(ORTHONORMAL)
    found = [_size(plain, BISECTOR, norm) for norm in (0.1, 1, 10, 100)]
    work.numbers("without, norm 0.1, 1, 10, 100", found, [0.943, 0.881, 0.707, 0.707], within=1e-3)
    found = [_size(normed, BISECTOR, norm) for norm in (0.1, 1, 10, 100)]
    work.numbers("with, s = 30", found, [212.1, 21.2, 2.121, 0.2121], within=0.05)
    most = max(_size(plain, at, norm) for at in (BISECTOR, OWN, WRONG) for norm in NORMS)
    work.true("without, at most 2 at every norm and place", most <= 2, f"{most:.3f}")
    work.let("both see the same scores where the norm is s")
    both = [_size(head, BISECTOR, 30.0) for head in (plain, normed)]
    work.numbers("at norm 30", both, [0.7071, 0.7071])
    _draw_norms(work)


def _draw_norms(work: Working) -> None:
    figure = work.figure("fig-3.22-gradient", 7.2, 3.6)
    for axes, places in zip(
        figure.subplots(1, 2, sharey=True),
        ((("", BISECTOR),), ((" wrong prototype", WRONG), (" own prototype", OWN))),
        strict=True,
    ):
        for line, (where, at) in zip(("-", "--"), places, strict=False):
            for name, head, colour in (
                ("AM m = 0.35", _cosine(ORTHONORMAL, m=0.35), COLOURS[2]),
                ("with norm., s = 30", _cosine(ORTHONORMAL), COLOURS[1]),
                ("without norm.", _plain(ORTHONORMAL), COLOURS[0]),
            ):
                found = [_size(head, at, norm) for norm in NORMS]
                axes.plot(NORMS, found, line, color=colour, label=None if where else name)
        axes.axvline(30, color="#888888", lw=1, ls=":", zorder=0)
        axes.set(xscale="log", yscale="log", ylim=(1e-5, 2e3), xlabel="norm of the feature")
    left, right = figure.axes
    left.set_ylabel("norm of the gradient on the feature")
    left.legend(loc="lower left", title="halfway to a wrong prototype")
    for name, line in (("a wrong one", "-"), ("its own (with norm.: 0)", "--")):
        right.plot([], [], line, color="#444444", label=name)
    right.legend(loc="lower left", title="on a prototype", fontsize=9)


@claim(
    "X-04",
    says="Normalisation makes the size of the gradient independent of the feature's norm.",
    verdict="wrong",
    correct="The gradient on a normalised feature goes exactly as 1/‖x‖; only its direction, at right "
    "angles to the feature, is freed of the norm.",
)
def inverse(work: Working) -> None:
    for name, head in (("s = 30", _cosine(ORTHONORMAL)), ("s = 30, m = 0.35", _cosine(ORTHONORMAL, m=0.35))):
        for where, at in (
            ("bisector", BISECTOR),
            ("own and three others", F.normalize(ORTHONORMAL[:4].sum(0)[None])),
        ):
            products = torch.tensor([norm * _size(head, at, norm) for norm in NORMS], dtype=torch.float64)
            spread = (products.max() / products.min() - 1).item()
            work.true(
                f"{name}, {where}: norm times gradient is constant from 0.1 to 100",
                spread < 1e-6,
                f"{products.mean():.2f}, to {spread:.0e}",
            )
    doubled = _size(_cosine(ORTHONORMAL, m=0.35), BISECTOR, 0.1)
    work.number("m = 0.35 at norm 0.1: 1 - p grows from 1/2 to almost 1", doubled, 424.3, within=0.05)
    gap = abs(F.cosine_similarity(_gradient(_cosine(ORTHONORMAL), 0.1 * BISECTOR), BISECTOR).item())
    work.true("at right angles to the feature", gap < 1e-12, f"cosine {gap:.0e}")
