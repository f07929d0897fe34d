"""All genuine and the highest impostor scores of a labelled set, with the identities they belong to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from threading import Lock

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows
from lossbench.functional.genuine import GenuinePairs
from lossbench.functional.pairs import PairGrid, check_pairs
from lossbench.functional.roc import undefined
from lossbench.functional.threads import in_threads, own_threads
from lossbench.functional.thresholds import allowed
from lossbench.validate import check_range

_SAMPLE = 2048
"""Rows that a first bound is judged by; ``_AMPLE`` times the pairs wanted shall pass it."""
_AMPLE, _FEWEST = 1.5, 1000


@dataclass(frozen=True)
class PairTail:
    """What low false accept rates and their resampling by identity are counted from.

    identities: (c,) labels, ascending; other fields name identities by position in it. images: (c,) int64.
    genuine: (g,) float32, all genuine scores. genuine_identity: (g,).
    impostor: (k,) float32, the highest impostor scores, descending. impostor_identity: (k, 2).
    impostors: number of impostor pairs, those not kept included.
    exact: where not None, only so many impostor scores are the highest, and the others an even sample of all
    lower ones: see ``with_impostor_sample``.
    """

    identities: Tensor
    images: Tensor
    genuine: Tensor
    genuine_identity: Tensor
    impostor: Tensor
    impostor_identity: Tensor
    impostors: int
    exact: int | None = None

    @property
    def complete(self) -> bool:
        """Whether a rate at any threshold can be told from it."""
        return self.exact is not None or len(self.impostor) == self.impostors

    @property
    def undefined(self) -> str | None:
        """Why no rate can be given, or None."""
        return undefined(len(self.genuine), self.impostors)


def pair_tail(
    embedding: Tensor, label: Tensor, *, far: float, spare: float = 1, block: int = 1024
) -> PairTail:
    """Return the scores by cosine of all genuine pairs of rows and of the impostor pairs that ``far`` needs.

    embedding: (n, d). label: (n,) integers >= 0. far: the largest false accept rate to be evaluated.
    spare: how many times more impostor scores to keep than that; 5 for resampling.
    block: rows and columns of one tile; changes memory and time, never a score.
    One pass. Which of the impostor pairs that tie at the lowest score kept are kept is left open.
    Raises ValueError for wrong shapes, rows with NaN or infinity, negative labels, or numbers out of range.

    >>> tail = pair_tail(torch.eye(3)[[0, 0, 1]], torch.tensor([5, 5, 8]), far=0.5)
    >>> tail.genuine.tolist(), tail.impostor.tolist(), tail.impostor_identity.tolist(), tail.impostors
    ([1.0], [0.0, 0.0], [[0, 1], [0, 1]], 2)
    """
    check_range("far", far, low=0, high=1, open_low=True, cure="it is a fraction of the impostor pairs")
    check_range("spare", spare, low=1)
    check_range("block", block, low=1)
    embedding, label = check_pairs(embedding, label)
    with own_threads():
        unit, grid = UnitRows(embedding), PairGrid(label, block)
        genuine = GenuinePairs(unit, label, 0)
        identities, owner, images = grid.label.unique_consecutive(return_inverse=True, return_counts=True)
        impostors = genuine.impostors
        needed = min(math.ceil(spare * (allowed(far, impostors) + 1)), impostors) if impostors else 0
        owners = owner.split(grid.block)

        def scan(highest: Highest) -> Highest:
            in_threads(partial(work, highest), list(grid.tiles()) if needed else [], label.device)
            return highest

        def work(highest: Highest, tiles: Iterator[tuple[int, int, bool]]) -> None:
            cosine = CosineBlock(grid.block, label.device)
            own, left = -1, unit.take(grid.order[:0])
            for i, j, mixed in tiles:
                if i != own:
                    own, left = i, unit.take(grid.rows[i])
                tile = cosine(left, left if j == i else unit.take(grid.rows[j]))
                highest.add(tile, owners[i], owners[j], grid.impostors(i, j) if mixed else None)

        highest = scan(Highest(needed, label.device, least=_least(unit, label, needed / max(impostors, 1))))
        if highest.kept < needed:  # the rows drawn were not like the others
            highest = scan(Highest(needed, label.device))
    return PairTail(identities, images, genuine.score, genuine.identity, *highest.result(), impostors)


def _least(unit: UnitRows, label: Tensor, share: float) -> float:
    """A score that half as many impostor pairs again as ``share`` of them reach, judged by some rows."""
    rows = torch.randperm(len(label), generator=torch.Generator().manual_seed(0))[:_SAMPLE].to(label.device)
    impostor = (label[rows].unsqueeze(1) != label[rows]).triu_(1)
    wanted = math.ceil(_AMPLE * share * int(impostor.sum()))
    # Without a bound at first, many more pairs are kept for a while; of few, that takes no time.
    if len(label) < 2 * _SAMPLE or not _FEWEST <= wanted < int(impostor.sum()):
        return -math.inf
    left = unit.take(rows)
    scores = CosineBlock(len(rows), label.device)(left, left)[impostor]
    return float(scores.kthvalue(len(scores) - wanted + 1).values)


class Highest:
    """The ``keep`` highest scores of a stream of tiles, each with what its row and its column stand for."""

    def __init__(self, keep: int, device: torch.device, *, least: float = -math.inf) -> None:
        """``least``: scores up to it are passed over."""
        self.keep = keep
        self._bound = least if keep else math.inf
        self._lock = Lock()
        self._scores = [torch.empty(0, dtype=torch.float32, device=device)]
        self._pairs = [torch.empty(0, 2, dtype=torch.int64, device=device)]

    def add(self, tile: Tensor, rows: Tensor, columns: Tensor, wanted: Tensor | None = None) -> None:
        """See scores (a, b) of rows (a,) and columns (b,), only those ``wanted`` (a, b) bool where given.

        From any thread.
        """
        hits = tile > self._bound if wanted is None else (tile > self._bound).logical_and_(wanted)
        row, column = hits.nonzero().unbind(1)
        scores, pairs = tile[row, column], torch.stack([rows[row], columns[column]], dim=1)
        with self._lock:
            self._scores.append(scores)
            self._pairs.append(pairs)
            if sum(map(len, self._scores)) > 2 * self.keep:
                self._shrink()

    def _shrink(self) -> None:
        scores, pairs = torch.cat(self._scores), torch.cat(self._pairs)
        if len(scores) > self.keep > 0:
            # Finding one score takes a tenth of the time of sorting those above it.
            bound = scores.kthvalue(len(scores) - self.keep + 1).values
            above, tied = (scores > bound).nonzero().flatten(), (scores == bound).nonzero().flatten()
            kept = torch.cat([above, tied[: self.keep - len(above)]])
            scores, pairs, self._bound = scores[kept], pairs[kept], float(bound)
        self._scores, self._pairs = [scores], [pairs]

    @property
    def kept(self) -> int:
        return min(sum(map(len, self._scores)), self.keep)

    def result(self) -> tuple[Tensor, Tensor]:
        """Return the scores, descending, and their pairs."""
        self._shrink()
        scores, order = self._scores[0].sort(descending=True)
        return scores, self._pairs[0][order]
