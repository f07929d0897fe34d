"""Section 3.6.6: embeddings used on classes that training never saw."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.committed import committed
from lossbench.chapter.embedding import glyph_net, glyphs
from lossbench.chapter.endpoints import COLUMNS, called
from lossbench.chapter.orderings import decide, points
from lossbench.functional.open_set import OpenSetCurve, dir_at_far, open_set_curve
from lossbench.functional.thresholds import exact_threshold
from lossbench.report.style import COLOURS

SEEDS = range(3)
NAMES = {"softmax": "softmax", "normface": "NormFace", "am-0.35": "AM m = 0.35"}
SETTING = "nets trained on 100 characters; 1,162 drawings of 100 others; 3 seeds"
RANK1 = COLUMNS["rank1"][0]
TASKS = ("20-way 1-shot", "20-way 5-shot", "nearest neighbour", "100 new beside 100 old, 5 shots")


@claim(
    "C-AM-good2",
    says="With AM prototypes, nearest neighbours and few-shot updates by cosine get better.",
    verdict="mixed",
    correct="Small nets, three seeds, tell no gain and no loss; the nets of Table 3.1 in small, searched for "
    "700 unseen characters, do gain.",
)
def reuse(work: Working) -> None:
    work.let(SETTING)
    found = {name: torch.tensor([_tasks(name, seed) for seed in SEEDS]) for name in NAMES}
    gaps = {}
    for place, task in enumerate(TASKS):
        means = {name: rows[:, place] for name, rows in found.items()}
        work.let(
            f"{task}: "
            + ", ".join(
                f"{NAMES[name]} {row.mean():.1f} % (SD {row.std():.1f})" for name, row in means.items()
            )
        )
        gaps[f"{task}, points: AM m = 0.35 minus softmax"] = (means["am-0.35"] - means["softmax"]).tolist()
    benchmark = points(committed("table_3_1", "glyphs"), {"amsoftmax_035": 1, "softmax": -1}, RANK1)
    decide(work, gaps | {f"{called(RANK1)}, points: AM m = 0.35 minus softmax": benchmark})
    _draw(work, found)


def _tasks(name: str, seed: int) -> list[float]:
    images, labels = glyphs()["unseen"]
    unit = glyph_net(name, seed).features(images)
    cosine = (unit @ unit.T).fill_diagonal_(-2)
    neighbour = 100 * (labels[cosine.argmax(1)] == labels).double().mean().item()
    return [_shots(unit, labels, 1), _shots(unit, labels, 5), neighbour, _added(name, seed)]


def _shots(unit: Tensor, labels: Tensor, shots: int, ways: int = 20, episodes: int = 40) -> float:
    """Per cent of the others that lie nearest to the mean of the ``shots`` of their own class."""
    draw = torch.Generator().manual_seed(0)
    rows = [(labels == label).nonzero()[:, 0] for label in range(int(labels.max()) + 1)]
    right = []
    for _ in range(episodes):
        chosen = torch.randperm(len(rows), generator=draw)[:ways].tolist()
        parts = [rows[label][torch.randperm(len(rows[label]), generator=draw)] for label in chosen]
        middle = F.normalize(torch.stack([unit[part[:shots]].mean(0) for part in parts]))
        query, own = torch.cat([part[shots:] for part in parts]), [len(part) - shots for part in parts]
        found = (unit[query] @ middle.T).argmax(1)
        right.append((found == torch.arange(ways).repeat_interleave(torch.tensor(own))).double().mean())
    return 100 * torch.stack(right).mean().item()


def _added(name: str, seed: int) -> float:
    """New classes stored as the mean of five drawings beside the old ones: per cent of new drawings right."""
    trained = glyph_net(name, seed)
    (old, old_labels), (new, labels) = glyphs()["train"], glyphs()["unseen"]
    stored, unit = trained.features(old), trained.features(new)
    known = [stored[old_labels == label].mean(0) for label in old_labels.unique()]
    first = torch.cat([(labels == label).nonzero()[:5, 0] for label in labels.unique()])
    added = [unit[rows].mean(0) for rows in first.split(5)]
    others = torch.ones(len(labels), dtype=torch.bool).index_fill(0, first, False)
    found = (unit[others] @ F.normalize(torch.stack([*known, *added])).T).argmax(1)
    return 100 * (found == labels[others] + len(known)).double().mean().item()


def _draw(work: Working, found: dict[str, Tensor]) -> None:
    axes = work.figure("fig-3.6-few-shot", 6.4, 3.4).subplots()
    for shift, colour, (name, rows) in zip(
        (-0.2, 0, 0.2), (COLOURS[6], COLOURS[1], COLOURS[0]), found.items(), strict=True
    ):
        for place in range(len(TASKS)):
            label = NAMES[name] if place == 0 else None
            axes.plot(rows[:, place], [place + shift] * len(rows), "o", color=colour, ms=5, label=label)
    axes.set(
        yticks=range(len(TASKS)), yticklabels=[task.replace(", ", ",\n") for task in TASKS], ylim=(3.5, -0.5)
    )
    axes.set_xlabel("right among unseen characters (%), one point a seed")
    axes.legend(loc="lower right")


@claim(
    "C-AM-good3",
    says="AM makes the threshold for a false accept rate more stable.",
    verdict="not resolved",
    correct="Three seeds cannot tell whether the thresholds of ten groups of ten characters scatter less or "
    "more with AM than with softmax.",
)
def threshold(work: Working) -> None:
    work.let(SETTING + "; the threshold for FAR 1 % in ten groups of ten characters, and its scatter")
    found = {name: torch.tensor([_scatter(name, seed) for seed in SEEDS]) for name in NAMES}
    for name, rows in found.items():
        work.let(
            f"{NAMES[name]}: SD of the threshold {rows[:, 0].mean():.3f}; over the SD of impostor cosines "
            f"{rows[:, 1].mean():.2f} (seeds {', '.join(f'{one:.2f}' for one in rows[:, 1].tolist())})"
        )
    less = found["softmax"] - found["am-0.35"]
    whats = ("SD of the threshold", "the same over the SD of impostor cosines")
    decide(work, {f"{what}: softmax minus AM": less[:, place].tolist() for place, what in enumerate(whats)})


def _scatter(name: str, seed: int) -> tuple[float, float]:
    images, labels = glyphs()["unseen"]
    unit = glyph_net(name, seed).features(images)
    thresholds, spreads = [], []
    for group in range(10):
        part, own = unit[labels % 10 == group], labels[labels % 10 == group]
        first, second = torch.triu_indices(len(part), len(part), 1)
        score, same = (part[first] * part[second]).sum(1), own[first] == own[second]
        impostor = score[~same].sort(descending=True).values
        thresholds.append(exact_threshold(score[same], impostor, len(impostor), 0.01))
        spreads.append(impostor.std().item())
    scatter = torch.tensor(thresholds).std().item()
    return scatter, scatter / (sum(spreads) / len(spreads))


@claim(
    "X-30",
    says="A higher CMC shows better generalisation in the open set.",
    verdict="overstated",
    correct="CMC only asks probes whose mate is in the gallery. Refusing strangers is measured by DIR at a "
    "FAR, the column that X-00 is about.",
)
def closed_search(work: Working) -> None:
    work.let("300 enrolled people in 64 dimensions, one more picture of each, 300 strangers")
    gallery = F.normalize(torch.randn(300, 64, dtype=torch.float64))
    probe = torch.cat([F.normalize(gallery + 0.2 * torch.randn(300, 64)), F.normalize(torch.randn(300, 64))])
    steady = _searched(gallery, probe)
    work.let("every probe's cosines times a factor of its own from 0.4 to 1: no order within a probe changes")
    factor = 0.4 + 0.6 * torch.rand(600, 1, dtype=torch.float64)
    beside = torch.cat([factor * probe, (1 - factor.square()).sqrt()], 1)
    uneven = _searched(F.pad(gallery, (0, 1)), beside)
    found = [100 * (curve.rank == 1).double().mean().item() for curve in (steady, uneven)]
    work.true("rank 1 (CMC) of both is the same", found[0] == found[1], f"{found[0]:.1f} %")
    rates = [100 * dir_at_far(curve, 0.01).dir for curve in (steady, uneven)]
    work.true("DIR at FAR 1 % is not", rates[0] > rates[1] + 10, f"{rates[0]:.1f} and {rates[1]:.1f} %")


def _searched(gallery: Tensor, probe: Tensor) -> OpenSetCurve:
    """The second half of the probes are strangers."""
    names = torch.arange(len(gallery))
    return open_set_curve(gallery, names, probe, torch.cat([names, names + len(gallery)]))
