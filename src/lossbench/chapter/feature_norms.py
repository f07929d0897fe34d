"""Section 3.6.6: what normalised features do to the gradient."""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.gradients import cosine_head, gradient, plain_head, size
from lossbench.report.style import COLOURS

ORTHONORMAL = torch.eye(10, dtype=torch.float64)
BISECTOR, OWN, WRONG = F.normalize(ORTHONORMAL[:1] + ORTHONORMAL[1:2]), ORTHONORMAL[:1], ORTHONORMAL[1:2]
NORMS = torch.logspace(-1, 2, 61).tolist()


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
    slope = gradient(cosine_head(weight, m=0.35), x, target)
    gap = F.cosine_similarity(slope, x).abs().max().item()
    work.true("1,000 random features: gradient at right angles to them", gap < 1e-12, f"cosine {gap:.0e}")
    gap = F.cosine_similarity(gradient(plain_head(weight), x, target), x).abs().max().item()
    work.true("a linear head's is not", gap > 0.5, f"cosine up to {gap:.2f}")
    work.let("so ‖x - lr g‖² = ‖x‖² + lr² ‖g‖²")
    moved = (x - 0.1 * slope).norm(dim=1)
    work.true(
        "a step of lr = 0.1 shrinks none",
        bool((moved >= x.norm(dim=1) - 1e-12).all()),
        f"{100 * (moved / x.norm(dim=1) - 1).mean():.2f} % longer on average",
    )
    ties = [size(cosine_head(ORTHONORMAL, s), BISECTOR, 1.0) for s in (16, 32, 64)]
    work.numbers(
        "on the bisector, s = 16, 32, 64: s sqrt(1/2)", ties, [11.3137, 22.6274, 45.2548], within=1e-3
    )
    right = [size(cosine_head(ORTHONORMAL, s), F.normalize(2 * OWN + WRONG), 1.0) for s in (16, 32, 64)]
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
    "every norm; with, it grows as 1/‖x‖ when the norm falls (see X-04).",
)
def norms(work: Working) -> None:
    work.let("ten orthonormal prototypes; the feature halfway between its own and a wrong one")
    work.let("without: (p - y) W; with: (s/‖x‖) times that of the unit feature, at right angles to it")
    plain, normed = plain_head(ORTHONORMAL), cosine_head(ORTHONORMAL)
    found = [size(plain, BISECTOR, norm) for norm in (0.1, 1, 10, 100)]
    work.numbers("without, norm 0.1, 1, 10, 100", found, [0.943, 0.881, 0.707, 0.707], within=1e-3)
    found = [size(normed, BISECTOR, norm) for norm in (0.1, 1, 10, 100)]
    work.numbers("with, s = 30", found, [212.132, 21.2132, 2.12132, 0.21213], within=1e-3)
    most = max(size(plain, at, norm) for at in (BISECTOR, OWN, WRONG) for norm in NORMS)
    work.true("without, at most 2 at every norm and place", most <= 2, f"{most:.3f}")
    work.let("both see the same scores where the norm is s")
    both = [size(head, BISECTOR, 30.0) for head in (plain, normed)]
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
                ("AM m = 0.35", cosine_head(ORTHONORMAL, m=0.35), COLOURS[2]),
                ("with norm., s = 30", cosine_head(ORTHONORMAL), COLOURS[1]),
                ("without norm.", plain_head(ORTHONORMAL), COLOURS[0]),
            ):
                found = [size(head, at, norm) for norm in NORMS]
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
    for name, head in (
        ("s = 30", cosine_head(ORTHONORMAL)),
        ("s = 30, m = 0.35", cosine_head(ORTHONORMAL, m=0.35)),
    ):
        for where, at in (
            ("bisector", BISECTOR),
            ("own and three others", F.normalize(ORTHONORMAL[:4].sum(0)[None])),
        ):
            products = torch.tensor([norm * size(head, at, norm) for norm in NORMS], dtype=torch.float64)
            spread = (products.max() / products.min() - 1).item()
            work.true(
                f"{name}, {where}: norm times gradient is constant from 0.1 to 100",
                spread < 1e-6,
                f"{products.mean():.2f}, to {spread:.0e}",
            )
    doubled = size(cosine_head(ORTHONORMAL, m=0.35), BISECTOR, 0.1)
    work.number("m = 0.35 at norm 0.1: 1 - p grows from 1/2 to almost 1", doubled, 424.3, within=0.05)
    gap = abs(F.cosine_similarity(gradient(cosine_head(ORTHONORMAL), 0.1 * BISECTOR), BISECTOR).item())
    work.true("at right angles to the feature", gap < 1e-12, f"cosine {gap:.0e}")
