"""Probes against a growing list of distractors, in one pass that reads them a block at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows, check_matrix, on_float64_device
from lossbench.functional.hardest import Extreme
from lossbench.functional.row_source import RowSource
from lossbench.functional.screened_scan import ScreenedScan
from lossbench.functional.threads import own_threads
from lossbench.validate import check_range

_PROBES = 8192


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
    probe: Tensor,
    distractors: Any,
    *,
    sizes: Sequence[int],
    depth: int,
    keep: int,
    least: Tensor | None = None,
    block: int = 1024,
) -> DistractorScores:
    """Score every probe with every distractor by cosine, and keep the best.

    probe: (n, d). distractors: (m, d), a tensor or a numpy array, memory-mapped where it does not fit into
    memory: it is read once for every 8,192 probes, 2 * block rows at a time. sizes: ascending, up to m.
    depth: scores kept for each probe. keep: scores kept of all; of equal ones those of earlier distractors,
    then of earlier probes. least: (n,) scores below which a probe's own are not asked for: fewer are kept,
    sooner. block: probes and half the distractors of one tile; changes memory and time, no score.

    Tiles are float32 products; an entry that may be among the best by their error bound is scored by the
    definition. Extra memory is 60 MB for each thread and that of the scores kept.
    Raises ValueError for wrong shapes, sizes that do not ascend or exceed m, or rows with NaN or infinity.

    >>> found = distractor_scores(torch.eye(2), torch.eye(2)[[1, 0]], sizes=(1, 2), depth=1, keep=2)
    >>> [best.flatten().tolist() for best in found.best], found.highest.tolist(), found.pairs.tolist()
    ([[0.0, 1.0], [1.0, 1.0]], [1.0, 1.0], [[1, 0], [0, 1]])
    """
    for name, value, low in (("depth", depth, 1), ("keep", keep, 0), ("block", block, 1)):
        check_range(name, value, low=low, integer=True)
    check_matrix("probe", probe)
    probe = on_float64_device(probe)
    source = RowSource("distractors", distractors, probe.device)
    if probe.shape[1] != source.columns:
        raise ValueError(f"distractors have {source.columns} columns: probes {probe.shape[1]}")
    limits = [0, *sizes]
    if any(low >= high for low, high in pairwise(limits)) or limits[-1] > len(source):
        raise ValueError(f"sizes={list(sizes)}: must ascend from 1 to at most {len(source)} distractors")
    if least is None:
        least = torch.full((len(probe),), -math.inf)
    found = Extreme(keep, probe.device)
    best: list[list[Tensor]] = [[] for _ in sizes]
    for start in range(0, len(probe), _PROBES):
        part = slice(start, start + _PROBES)
        floor = least[part].to(probe.device, torch.float32)
        scan = ScreenedScan(UnitRows(probe[part]), floor, depth=depth, keep=keep, block=block)
        for kept, rows in zip(best, _scan(scan, source, sizes), strict=True):
            kept.append(rows.masked_fill_(rows < floor.unsqueeze(1), -math.inf))
        score, number = scan.highest.result()
        row = number.div(len(floor), rounding_mode="floor")
        found.add(score, row * len(probe) + number - row * len(floor) + start)
    score, number = found.result()
    row = number.div(max(len(probe), 1), rounding_mode="floor")
    pairs = torch.stack([number - row * len(probe), row], dim=1)
    empty = torch.empty(0, depth, device=probe.device)
    return DistractorScores([torch.cat([empty, *rows]) for rows in best], score, pairs)


def _scan(scan: ScreenedScan, source: RowSource, sizes: Sequence[int]) -> list[Tensor]:
    """Show all rows to the scan; return its best scores after each size."""
    kept = []
    with own_threads():
        for start, stop in pairwise([0, *sizes, len(source)]):
            scan.see(start, stop, source.unit)
            kept.append(scan.best.clone())
    return kept[: len(sizes)]
