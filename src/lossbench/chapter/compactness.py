"""Section 3.6.6: compact classes, the margin kept in training, and the numbers to watch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.embedding import glyph_net, glyphs
from lossbench.diagnostics import cosine_statistics
from lossbench.heads import CosineHead
from lossbench.report.style import COLOURS

SEEDS = range(3)
SETTING = "nets 256-128-64 on 100 characters, 828 drawings, 300 steps, 3 seeds; s = 30"
MARGINS = {"normface": 0.0, "am-0.2": 0.2, "am-0.35": 0.35, "am-0.5": 0.5}


@claim(
    "C-AM-motiv",
    says="Softmax makes classes separable, not compact; margins make them compact and set them apart.",
    verdict="not reproduced here",
    correct="Apart, not more compact: with AM the nearest other class moves away, while the cosine to the "
    "own centre hardly changes. Normalisation alone (NormFace) does not beat softmax here.",
    otherwise="not reproduced here",
)
def compact(work: Working) -> None:
    work.let(SETTING)
    work.let(
        "centre of a class: mean of its unit features; own: cosine to it; other: its nearest other centre"
    )
    found = {name: _over_seeds(_centres, name) for name in ("softmax", "normface", "am-0.35")}
    for name, rows in found.items():
        near, far = rows.mean(0).tolist()
        work.let(f"{name}: own {near:.3f}, other {far:.3f}, lead {near - far:.3f}")
    own, other = ([rows[:, place].mean().item() for rows in found.values()] for place in (0, 1))
    rises, falls = own[0] < own[1] < own[2], other[0] > other[1] > other[2]
    work.criterion("own centre: cosine rises: softmax, NormFace, AM", rises, _three(own))
    work.criterion("nearest other centre: cosine falls: softmax, NormFace, AM", falls, _three(other))
    soft, normed, am = (rows[:, 0] - rows[:, 1] for rows in found.values())
    work.true(
        "AM m = 0.35 leads by more than softmax, every seed", _all_above(am, soft + 0.05), _told(soft, am)
    )
    work.true("and than NormFace", _all_above(am, normed + 0.05), _told(normed, am))
    work.true("NormFace does not lead by more than softmax", _all_above(soft, normed), _told(soft, normed))
    closer = found["softmax"][:, 1] - found["am-0.35"][:, 1]
    work.true(
        "nearest other centre: more than 0.05 further off with AM",
        _all_above(closer, torch.tensor(0.05)),
        f"by {closer.mean():.3f}",
    )
    change = (found["am-0.35"][:, 0] - found["softmax"][:, 0]).mean().item()
    work.true("own centre: less than 0.03 of a change", abs(change) < 0.03, f"{change:+.3f}")


def _over_seeds(measure: Callable[[str, int], tuple[float, ...]], name: str) -> Tensor:
    return torch.tensor([measure(name, seed) for seed in SEEDS])


def _centres(name: str, seed: int) -> tuple[float, float]:
    """Mean cosine to the own centre, and mean over classes of the largest cosine to another centre."""
    images, labels = glyphs()["train"]
    unit = glyph_net(name, seed).features(images)
    return centres(unit, labels)


def centres(unit: Tensor, labels: Tensor) -> tuple[float, float]:
    middle = F.normalize(torch.stack([unit[labels == label].mean(0) for label in labels.unique()]))
    own = (unit * middle[labels]).sum(1).mean()
    return own.item(), (middle @ middle.T).fill_diagonal_(-1).amax(1).mean().item()


def _all_above(one: Tensor, other: Tensor) -> bool:
    return bool((one > other).all())


def _three(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _told(*rows: Tensor) -> str:
    return " and ".join(f"{row.mean():.3f}" for row in rows)


@claim(
    "C-AM-uniform",
    says="AM asks every sample for cos theta_y > cos theta_j + m against all other classes.",
    verdict="note",
    correct="It asks, and training comes closer; not every sample gets there. The share of samples that lead "
    "by a given gap rises with m, the share that lead by their own m falls.",
    otherwise="not reproduced here",
)
def uniform(work: Working) -> None:
    work.let(SETTING)
    leads = {name: torch.stack([_leads(name, seed) for seed in SEEDS]) for name in MARGINS}
    by_gap = [(lead > 0.35).double().mean().item() for lead in leads.values()]
    work.true(
        "trained with m = 0, 0.2, 0.35, 0.5: share that leads by 0.35 rises",
        by_gap == sorted(set(by_gap)),
        _percent(by_gap),
    )
    own = [(leads[name] > m).double().mean().item() for name, m in MARGINS.items()]
    work.true("share that leads by its own m falls", own == sorted(set(own), reverse=True), _percent(own))
    work.true("with m = 0.35 not all samples do", own[2] < 0.95, f"{100 * own[2]:.1f} %")
    axes = work.figure("fig-3.20-lead", 6.4, 3.6).subplots()
    for colour, (name, m) in zip(COLOURS, MARGINS.items(), strict=False):
        lead = leads[name].flatten().sort().values
        axes.plot(lead, torch.linspace(0, 100, len(lead)), color=colour, label=f"m = {m:g}")
        if m:
            axes.axvline(m, color=colour, lw=1, ls=":", zorder=0)
    axes.set(xlabel="cosine to the own prototype minus nearest other", ylabel="training images below (%)")
    axes.set(xlim=(-0.2, 0.9), ylim=(0, 101))
    axes.legend(loc="upper left", title="trained with")


def _leads(name: str, seed: int) -> Tensor:
    labels, cosine = glyphs()["train"].labels, _cosine(name, seed)
    own = cosine.gather(1, labels[:, None])[:, 0]
    return own - cosine.scatter(1, labels[:, None], -torch.inf).amax(1)


def _cosine(name: str, seed: int) -> Tensor:
    net, head = glyph_net(name, seed)
    assert isinstance(head, CosineHead)
    with torch.no_grad():
        return head.cosine(net(glyphs()["train"].images))


def _percent(shares: list[float]) -> str:
    return ", ".join(f"{100 * share:.0f}" for share in shares) + " %"


@claim(
    "C-AM-diag",
    says="Watch the target's cosine, its gap to the best wrong class, and saturation: they answer to m.",
    verdict="holds",
    otherwise="not reproduced here",
)
def diagnosed(work: Working) -> None:
    work.let(SETTING + "; means over the training images")
    found = {name: _over_seeds(_watched, name).mean(0).tolist() for name in MARGINS}
    for name, (own, gap, share, p) in found.items():
        work.let(
            f"m = {MARGINS[name]:g}: target cosine {own:.3f}, gap {gap:.3f}, margin kept by "
            f"{100 * share:.0f} %, p above 0.99 without margin {100 * p:.0f} %"
        )
    for place, what in ((0, "target cosine"), (1, "gap")):
        row = [values[place] for values in found.values()]
        work.true(
            f"{what} for m = 0, 0.2, 0.35, 0.5 rises",
            row == sorted(set(row)),
            ", ".join(f"{value:.3f}" for value in row),
        )
    least, *_, most = (values[3] for values in found.values())
    work.true(
        "saturated (p above 0.99): more with m = 0.5 than with 0",
        most > least + 0.05,
        _percent([most, least]),
    )


def _watched(name: str, seed: int) -> tuple[float, ...]:
    labels, cosine = glyphs()["train"].labels, _cosine(name, seed)
    margined = cosine.scatter_add(1, labels[:, None], torch.full((len(labels), 1), -MARGINS[name]))
    watched = cosine_statistics(cosine, margined, labels)
    p = (30 * cosine).softmax(1).gather(1, labels[:, None])
    return (*(value.item() for value in watched.values()), (p > 0.99).double().mean().item())
