"""All genuine and the highest impostor scores of a labelled set, with the identities they belong to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows, check_rows
from lossbench.functional.thresholds import allowed
from lossbench.validate import check_range


@dataclass(frozen=True)
class PairTail:
    """What low false accept rates and their resampling by identity are counted from.

    identities: (c,) labels, ascending; other fields name identities by position in it. images: (c,) int64.
    genuine: (g,) float32, all genuine scores. genuine_identity: (g,).
    impostor: (k,) float32, the highest impostor scores, descending. impostor_identity: (k, 2).
    impostors: number of impostor pairs, those not kept included.
    """

    identities: Tensor
    images: Tensor
    genuine: Tensor
    genuine_identity: Tensor
    impostor: Tensor
    impostor_identity: Tensor
    impostors: int

    @property
    def undefined(self) -> str | None:
        """Why no rate can be given, or None."""
        if len(self.genuine) == 0:
            return "no genuine pair: no identity has two images"
        return "no impostor pair: all images show one identity" if self.impostors == 0 else None


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
    embedding, label = check_rows(embedding, label)
    negative = int((label < 0).sum())
    if negative:
        raise ValueError(f"{negative} labels are negative: distractors have no genuine pair, leave them out")
    label, order = label.sort(stable=True)
    identities, owner, images = label.unique_consecutive(return_inverse=True, return_counts=True)
    impostors = (len(label) ** 2 - int(images.square().sum())) // 2
    needed = min(math.ceil(spare * (allowed(far, impostors) + 1)), impostors) if impostors else 0
    highest = Highest(needed, embedding.device)
    scores, names = [embedding.new_zeros(0, dtype=torch.float32)], [owner[:0]]
    for tile, rows, columns, same, other in _tiles(UnitRows(embedding), order, owner, block):
        if same is not None:
            scores.append(tile[same])
            names.append(rows[same.nonzero()[:, 0]])
        highest.add(tile, rows, columns, other)
    genuine, genuine_identity = torch.cat(scores), torch.cat(names)
    return PairTail(identities, images, genuine, genuine_identity, *highest.result(), impostors)


def _tiles(
    unit: UnitRows, order: Tensor, owner: Tensor, block: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]]:
    """Yield scores of the upper triangle, owners of rows and columns, masks of genuine and impostor pairs.

    The masks are None where a tile has impostor pairs only.
    """
    block = min(block, max(len(order), 1))
    cosine = CosineBlock(block, order.device)
    parts = list(zip(order.split(block), owner.split(block), strict=True)) if len(order) else []
    first, last = owner[::block].tolist(), [*owner[block - 1 :: block].tolist(), *owner[-1:].tolist()]
    for i, (rows, left_owner) in enumerate(parts):
        left = unit.take(rows)
        for j, (columns, right_owner) in enumerate(parts[i:], start=i):
            tile = cosine(left, left if i == j else unit.take(columns))
            same = other = None
            # Sorted by label: only tiles whose columns begin before their rows end hold genuine pairs.
            if first[j] <= last[i]:
                same = left_owner.unsqueeze(1) == right_owner
                other = same.logical_not()
                if i == j:
                    same, other = same.triu(1), other.triu(1)
            yield tile, left_owner, right_owner, same, other


class Highest:
    """The ``keep`` highest scores of a stream of tiles, each with what its row and its column stand for."""

    def __init__(self, keep: int, device: torch.device) -> None:
        self.keep = keep
        self.bound = -math.inf
        self.scores = torch.empty(0, dtype=torch.float32, device=device)
        self.pairs = torch.empty(0, 2, dtype=torch.int64, device=device)

    def add(self, tile: Tensor, rows: Tensor, columns: Tensor, wanted: Tensor | None = None) -> None:
        """See scores (a, b) of rows (a,) and columns (b,), only those ``wanted`` (a, b) bool where given."""
        hits = tile > self.bound if wanted is None else (tile > self.bound).logical_and_(wanted)
        row, column = hits.nonzero().unbind(1)
        if self.keep == 0 or not len(row):
            return
        self.scores = torch.cat([self.scores, tile[row, column]])
        self.pairs = torch.cat([self.pairs, torch.stack([rows[row], columns[column]], dim=1)])
        if len(self.scores) > 2 * self.keep:
            self._shrink()

    def _shrink(self) -> None:
        self.scores, kept = self.scores.topk(min(self.keep, len(self.scores)))
        self.pairs = self.pairs[kept]
        if 0 < self.keep == len(self.scores):
            self.bound = float(self.scores[-1])

    def result(self) -> tuple[Tensor, Tensor]:
        """Return the scores, descending, and their pairs."""
        self._shrink()
        return self.scores, self.pairs
