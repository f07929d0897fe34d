"""Probes against a growing list of distractors, in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows, check_matrix, on_float64_device
from lossbench.functional.pair_tail import Highest
from lossbench.validate import check_range


class DistractorScores(NamedTuple):
    """What identification and verification against distractors are counted from.

    best: for each size (n, depth) float32, descending, each probe's best scores with the first so many
    distractors; minus infinity where there are fewer. highest: (k,) float32 descending, the highest scores of
    all probes with all distractors. pairs: (k, 2) probe and distractor of each.
    """

    best: list[Tensor]
    highest: Tensor
    pairs: Tensor


def distractor_scores(
    probe: Tensor, distractors: Tensor, *, sizes: Sequence[int], depth: int, keep: int, block: int = 1024
) -> DistractorScores:
    """Score every probe with every distractor by cosine, and keep the best.

    probe: (n, d). distractors: (m, d). sizes: ascending, up to m. depth: scores kept for each probe.
    keep: scores kept of all. block: probes and distractors of one tile; changes memory and time, no score.
    Raises ValueError for wrong shapes, sizes that do not ascend or exceed m, or rows with NaN or infinity.

    >>> found = distractor_scores(torch.eye(2), torch.eye(2)[[1, 0]], sizes=(1, 2), depth=1, keep=2)
    >>> [best.flatten().tolist() for best in found.best], found.highest.tolist(), found.pairs.tolist()
    ([[0.0, 1.0], [1.0, 1.0]], [1.0, 1.0], [[1, 0], [0, 1]])
    """
    for name, value, low in (("depth", depth, 1), ("keep", keep, 0), ("block", block, 1)):
        check_range(name, value, low=low, integer=True)
    for name, rows in (("probe", probe), ("distractors", distractors)):
        check_matrix(name, rows)
    if probe.shape[1] != distractors.shape[1]:
        raise ValueError(f"distractors have {distractors.shape[1]} columns: probes {probe.shape[1]}")
    limits = [0, *sizes]
    if any(low >= high for low, high in pairwise(limits)) or limits[-1] > len(distractors):
        raise ValueError(f"sizes={list(sizes)}: must ascend from 1 to at most {len(distractors)} distractors")
    return _scan(on_float64_device(probe), on_float64_device(distractors), list(sizes), depth, keep, block)


def _scan(
    probe: Tensor, distractors: Tensor, sizes: list[int], depth: int, keep: int, block: int
) -> DistractorScores:
    block = min(block, max(len(probe), len(distractors), 1))
    unit, others = UnitRows(probe), UnitRows(distractors.to(probe.device))
    cosine, highest = CosineBlock(block, probe.device), Highest(keep, probe.device)
    best = torch.full((len(probe), depth), -math.inf, device=probe.device)
    rows = torch.arange(len(probe), device=probe.device).split(block)
    kept = []
    for start, stop in zip([0, *sizes], [*sizes, len(distractors)], strict=True):
        for columns in torch.arange(start, stop, device=probe.device).split(block) if start < stop else ():
            right = others.take(columns)
            for part in rows:
                tile = cosine(unit.take(part), right)
                highest.add(tile, part, columns)
                _merge(best, part, tile)
        kept.append(best.clone())
    return DistractorScores(kept[: len(sizes)], *highest.result())


def _merge(best: Tensor, rows: Tensor, tile: Tensor) -> None:
    """Put the scores of a tile (b, columns) among the best of its rows."""
    # Once many distractors have been seen, hardly a probe meets a better one.
    better = (tile.amax(dim=1) > best[rows, -1]).nonzero().flatten()
    if len(better):
        both = torch.cat([best[rows[better]], tile[better]], dim=1)
        best[rows[better]] = both.topk(best.shape[1], dim=1).values
