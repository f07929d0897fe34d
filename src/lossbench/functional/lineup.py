"""Who is compared with whom in closed-set identification, and at which rank each mate is found."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows
from lossbench.functional.row_source import RowSource
from lossbench.functional.screened_scan import Read, ScreenedScan
from lossbench.functional.screening import rescored
from lossbench.functional.threads import in_threads

_PROBES = 4096
# Fewer entries than that for each rank asked for, and keeping the best pays no longer.
_ENTRIES = 64
# Looking at an entry alone costs about as much as comparing so many in their tile.
_FEW = 10
# Entries seen before probes are dropped for the first time; twice as many each time after.
_FIRST = 8192


class Lineup:
    """The galleries of all draws; row numbers only, scores are made on the way.

    probe: (p,) rows of the identities with two or more images, in the order of the labels; each is a probe in
    the draws that have another image of its identity in the gallery. alone: entries of every draw.
    identities: (c,) labels of the probes, ascending.
    """

    def __init__(self, embedding: Tensor, label: Tensor, strangers: RowSource, draws: int, seed: int) -> None:
        self.unit, self.strangers = UnitRows(embedding), strangers
        order = label.argsort(stable=True)
        negative = int((label < 0).sum())
        count = label[order[negative:]].unique_consecutive(return_counts=True)[1]
        several = count >= 2
        owner = several.repeat_interleave(count)
        enrolled = order[negative:]
        self.probe = enrolled[owner]
        self.alone = torch.cat([enrolled[~owner], order[:negative]])
        images = count[several]
        self.identity = torch.arange(len(images), device=label.device).repeat_interleave(images)
        self.identities = label[self.probe].unique_consecutive()
        # (draws, p) bool: which images stand in each draw's gallery.
        self.drawn = torch.zeros(draws, len(self.probe), dtype=torch.bool, device=label.device)
        for gallery, place in zip(self.drawn, _draw(images, draws, seed), strict=True):
            gallery[place] = True
        self.probes = len(self.probe) - len(images)
        self.distractors = negative + len(strangers)
        self.gallery = len(count) + self.distractors

    def ranks(self, ranks: int, block: int) -> Tensor:
        """Return (c, ranks + 2) int32: probes of each identity in all draws, by their mate's rank.

        The last cell is later.
        """
        found = torch.zeros(len(self.identities), ranks + 2, dtype=torch.int32, device=self.probe.device)
        galleries = [self.probe[gallery] for gallery in self.drawn]
        for start in range(0, len(self.probe), _PROBES):
            rows, identity = (part[start : start + _PROBES] for part in (self.probe, self.identity))
            mates = torch.stack([gallery[identity] for gallery in galleries])
            score = torch.stack([rescored(self.unit, rows, self.unit, mate) for mate in mates])
            rank = self._at_least(rows, score, len(self.strangers), self.strangers.unit, ranks, block)
            alone = partial(self._rows, self.alone)
            rank += self._at_least(rows, score, len(self.alone), alone, ranks, block)
            # The mate is one of the gallery's entries that score at least the mate.
            if len(galleries[0]) <= _ENTRIES * ranks:
                every = partial(self._rows, self.probe)
                rank += self._count(rows, score, len(self.probe), every, self.drawn, block)
            else:
                for gallery, own, at_least in zip(galleries, score, rank, strict=True):
                    entries = partial(self._rows, gallery)
                    at_least += self._at_least(rows, own[None], len(gallery), entries, ranks, block)[0]
            # The image drawn into the gallery is no probe of that draw.
            own = found[identity[0] : identity[-1] + 1]
            cell = (identity - identity[0]) * (ranks + 2) + rank.clamp_(max=ranks + 1)
            own += cell[mates != rows].bincount(minlength=own.numel()).view_as(own)
        return found

    def _at_least(
        self, rows: Tensor, score: Tensor, count: int, entries: Read, ranks: int, block: int
    ) -> Tensor:
        """Return (k, b) int64: of ``count`` entries, those scoring at least ``score`` (k, b) with each row.

        Any number above ``ranks`` stands for that or more.
        """
        if count <= _ENTRIES * ranks:
            counted = torch.ones(len(score), count, dtype=torch.bool, device=rows.device)
            return self._count(rows, score, count, entries, counted, block)
        rank = torch.zeros(score.shape, dtype=torch.int64, device=rows.device)
        left, start, size = torch.arange(len(rows), device=rows.device), 0, _FIRST
        while start < count and len(left):
            stop = min(start + size, count)
            own = score[:, left]
            floor = own.masked_fill(rank[:, left] > ranks, math.inf).amin(0)
            unit = UnitRows(self.unit.embedding.index_select(0, rows[left]))
            scan = ScreenedScan(unit, floor, depth=ranks + 1, keep=0, block=block)
            scan.see(start, stop, entries)
            rank[:, left] += torch.stack([(scan.best >= one.unsqueeze(1)).count_nonzero(1) for one in own])
            # A probe whose mates all lie behind the last rank: no further entry changes that.
            left = left[(rank[:, left] <= ranks).any(0)]
            start, size = stop, 2 * size
        return rank

    def _count(
        self, rows: Tensor, score: Tensor, count: int, entries: Read, counted: Tensor, block: int
    ) -> Tensor:
        """Return (k, b) int64: of entries ``counted`` (k, count), those scoring at least ``score`` (k, b)."""
        left = self.unit.take(rows)
        block = max(min(block, max(len(rows), count)), 1)

        def work(starts: Iterator[int]) -> Tensor:
            rank = torch.zeros(score.shape, dtype=torch.int64, device=rows.device)
            cosine = CosineBlock(block, rows.device)
            for start in starts:
                unit = entries(start, min(start + block, count))
                right = unit.take(torch.arange(len(unit.embedding), device=rows.device))
                for first in range(0, len(rows), block):
                    part = slice(first, first + block)
                    wanted = counted[:, start : start + block]
                    _add(rank[:, part], cosine(left[part], right), score[:, part], wanted)
            return rank

        return torch.stack(in_threads(work, range(0, count, block), rows.device)).sum(0)

    def _rows(self, rows: Tensor, start: int, stop: int) -> UnitRows:
        return UnitRows(self.unit.embedding.index_select(0, rows[start:stop]))


def _add(rank: Tensor, tile: Tensor, score: Tensor, counted: Tensor) -> None:
    """Add to ``rank`` (k, b) the entries of a tile (b, m), ``counted`` (k, m), scoring at least ``score``."""
    row, column = (tile >= score.amin(0).unsqueeze(1)).nonzero().unbind(1)
    # Most entries score less than the probe's mates in every draw, unless the model is poor.
    few = len(row) * _FEW < tile.numel()
    high = tile[row, column] if few else tile
    for own, wanted, at_least in zip(score, counted, rank, strict=True):
        if few:
            hits = row[(high >= own[row]) & wanted[column]]
            at_least += hits.bincount(minlength=len(at_least))
        else:
            at_least += ((tile >= own.unsqueeze(1)) & wanted).count_nonzero(1)


def _draw(images: Tensor, draws: int, seed: int) -> Iterator[Tensor]:
    """Yield for each draw (k,) positions, one image of each identity, in a list of images by identity."""
    generator = torch.Generator().manual_seed(seed)
    start = images.cumsum(0) - images
    for _ in range(draws):
        share = torch.rand(len(images), generator=generator, dtype=torch.float64).to(images.device)
        # The product of a share next to 1 may round up to the count itself.
        yield start + torch.minimum((share * images).long(), images - 1)
