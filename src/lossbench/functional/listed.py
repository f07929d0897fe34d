"""Listed pairs: scores of given pairs of rows, and the threshold that tells them apart best."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.cosine import (
    CosineBlock,
    UnitRows,
    check_matrix,
    on_float64_device,
    paired_cosine,
)
from lossbench.validate import check_range

# One pair alone takes as long as so many cells of a tile.
_CELLS = 128
_PAIRS = 512


class BestThreshold(NamedTuple):
    """Accept scores >= ``threshold``; ``accuracy`` is the share of pairs that this decides rightly."""

    threshold: float
    accuracy: float


def listed_scores(embedding: Tensor, pairs: Tensor, *, block: int = 1024) -> Tensor:
    """Return the cosines (p,) float32 of listed pairs of rows.

    embedding: (n, d). pairs: (p, 2) integers, row numbers. block: rows and columns of a tile; changes no bit.
    Tiles of which enough is listed are multiplied whole, the other pairs one by one.
    Memory: 8 bytes for each number of the rows named on either side, and some 60 bytes for each pair.
    Raises ValueError for wrong shapes, rows with NaN or infinity, or row numbers outside 0..n-1.

    >>> listed_scores(torch.tensor([[2.0, 0.0], [3.0, 4.0]]), torch.tensor([[0, 1], [1, 1]])).tolist()
    [0.6000000238418579, 1.0]
    """
    check_range("block", block, low=1)
    check_matrix("embedding", embedding)
    check_pairs(pairs, len(embedding))
    unit = UnitRows(on_float64_device(embedding))
    pairs = pairs.to(unit.embedding.device)
    # Lists name a row many times: each is made a unit vector once.
    (left, row), (right, column) = (_named(unit, names) for names in pairs.unbind(1))
    block = min(block, max(len(left), len(right), 1))
    wide = -(-len(right) // block)
    tile, order = (
        (row.div(block, rounding_mode="floor") * wide).add_(column.div(block, rounding_mode="floor")).sort()
    )
    scores = torch.empty(len(pairs), dtype=torch.float32, device=pairs.device)
    cosine, apart, start = CosineBlock(block, pairs.device), [order[:0]], 0
    for name, count in torch.stack(tile.unique_consecutive(return_counts=True), dim=1).tolist():
        part = order[start : start + count]
        start += count
        top, side = name // wide * block, name % wide * block
        rows, columns = left[top : top + block], right[side : side + block]
        if count * _CELLS < len(rows) * len(columns):
            apart.append(part)
            continue
        cell = (row[part] - top) * len(columns) + (column[part] - side)
        scores[part] = cosine(rows, columns).flatten()[cell]
    for part in torch.cat(apart).split(_PAIRS):
        scores[part] = paired_cosine(left[row[part]], right[column[part]])
    return scores


def _named(unit: UnitRows, names: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unit rows that ``names`` (p,) names, each once, and (p,) where among them each name's is."""
    seen = torch.zeros(len(unit.embedding), dtype=torch.bool, device=names.device)
    seen[names] = True
    return unit.take(seen.nonzero().flatten()), (seen.cumsum(0) - 1)[names]


def check_pairs(pairs: Tensor, rows: int) -> None:
    """Raise ValueError unless ``pairs`` is (p, 2), whole, and within ``rows`` rows."""
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"pairs has shape {tuple(pairs.shape)}: expected (p, 2), two row numbers per pair")
    if pairs.is_floating_point() or pairs.is_complex() or pairs.dtype == torch.bool:
        raise ValueError(f"pairs is {pairs.dtype}: expected row numbers, which are integers")
    outside = int(((pairs < 0) | (pairs >= rows)).any(dim=1).sum())
    if outside:
        raise ValueError(
            f"{outside} of {len(pairs)} pairs name rows outside 0..{rows - 1}, those of embedding"
        )


def best_threshold(scores: Tensor, same: Tensor) -> BestThreshold:
    """Return the threshold with the highest accuracy over all thresholds: the middle of its plateau.

    scores: (p,). same: (p,) bool, whether the pair shows one identity.
    Accuracy as a function of the threshold is constant between neighbouring distinct scores. A plateau is a
    maximal run of neighbouring intervals with the highest accuracy; its middle is halfway between the scores
    it ends at. Of several plateaus the widest is taken, of equally wide ones the lowest. Accepting everything
    counts as the threshold at the lowest score, and accepting nothing as infinity, taken only where no other
    threshold is as good. Raises ValueError without pairs, for NaN, or for shapes that differ.

    >>> scores, same = torch.tensor([0.1, 0.3, 0.7, 0.9]), torch.tensor([False, False, True, True])
    >>> best_threshold(scores, same)
    BestThreshold(threshold=0.5, accuracy=1.0)
    """
    check_listed(scores, same)
    levels, place = scores.double().unique(return_inverse=True)
    gain = torch.where(same, -1, 1).to(scores.device)
    # Raising the threshold past a score refuses its genuine pairs and refuses, rightly, its impostors.
    steps = torch.zeros(len(levels), dtype=torch.int64, device=scores.device).index_add_(0, place, gain)
    correct = torch.cat([steps.new_zeros(1), steps.cumsum(0)]) + int(same.sum())
    first, last = _runs(correct == correct.max())
    accuracy = float(correct.max()) / len(scores)
    low = levels[(first - 1).clamp(min=0)]
    high = levels[last.clamp(max=len(levels) - 1)]
    # A run that starts above the highest score has no score to be halfway to.
    widest = int(torch.where(first == len(levels), -math.inf, high - low).argmax())
    if int(first[widest]) == len(levels):
        return BestThreshold(math.inf, accuracy)
    lower, upper = float(low[widest]), float(high[widest])
    # Halfway between neighbouring doubles is one of them, and the lower one is still to be refused.
    middle = (lower + upper) / 2
    return BestThreshold(middle if middle > lower else upper, accuracy)


def _runs(wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the last position of every run of True."""
    edges = torch.nn.functional.pad(wanted.int(), (1, 1)).diff()
    return (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten() - 1


def check_listed(scores: Tensor, same: Tensor) -> None:
    """Raise ValueError unless there are finite scores (p,) and as many decisions (p,) bool."""
    if scores.ndim != 1 or same.shape != scores.shape:
        raise ValueError(f"scores {tuple(scores.shape)} and same {tuple(same.shape)}: expected (p,) each")
    if same.dtype != torch.bool:
        raise ValueError(f"same is {same.dtype}: expected bool, True for a pair of one identity")
    if not len(scores):
        raise ValueError("no pairs: nothing to evaluate")
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().sum())} of {len(scores)} scores are NaN")
