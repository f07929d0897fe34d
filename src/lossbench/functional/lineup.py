"""Who is compared with whom in closed-set identification, and at which rank each mate is found."""

from __future__ import annotations

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

Entries = tuple[int, Read]
"""How many, and how to read some of them."""


class Lineup:
    """The galleries of all draws; row numbers only, scores are made on the way.

    probe: (p,) rows of the identities with two or more images, in the order of the labels; each is a probe in
    the draws that have another image of its identity in the gallery. alone: entries of every draw.
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
        self.drawn = [self.probe[position] for position in _draw(images, draws, seed)]
        self.probes = len(self.probe) - len(images)
        self.distractors = negative + len(strangers)
        self.gallery = len(count) + self.distractors

    def ranks(self, ranks: int, block: int) -> Tensor:
        """Return (ranks + 2,) int64: probes of all draws by their mate's rank; the last cell is later."""
        found = torch.zeros(ranks + 2, dtype=torch.int64, device=self.probe.device)
        shared: list[Entries] = [(len(self.strangers), self.strangers.unit)]
        shared.append((len(self.alone), partial(self._rows, self.alone)))
        for rows, identity in zip(self.probe.split(_PROBES), self.identity.split(_PROBES), strict=True):
            mates = torch.stack([gallery[identity] for gallery in self.drawn])
            score = torch.stack([rescored(self.unit, rows, self.unit, mate) for mate in mates])
            rank = torch.zeros_like(mates)
            for entries in shared:
                rank += self._at_least(rows, score, entries, ranks, block)
            for draw, gallery in enumerate(self.drawn):
                # The mate is one of the gallery's entries that score at least the mate.
                entries = len(gallery), partial(self._rows, gallery)
                rank[draw] += self._at_least(rows, score[draw : draw + 1], entries, ranks, block)[0]
            # The image drawn into the gallery is no probe of that draw.
            rank = rank.clamp_(max=ranks + 1)[mates != rows]
            found += rank.bincount(minlength=ranks + 2)
        return found

    def _at_least(self, rows: Tensor, score: Tensor, entries: Entries, ranks: int, block: int) -> Tensor:
        """Return (k, b) int64: the entries scoring at least ``score`` (k, b) with each row.

        Any number above ``ranks`` stands for that or more.
        """
        count, read = entries
        if count <= _ENTRIES * ranks:
            return self._count(rows, score, entries, max(min(block, max(len(rows), count)), 1))
        unit = UnitRows(self.unit.embedding.index_select(0, rows))
        scan = ScreenedScan(unit, score.amin(0), depth=ranks + 1, keep=0, block=block)
        scan.see(0, count, read)
        return torch.stack([(scan.best >= own.unsqueeze(1)).count_nonzero(1) for own in score])

    def _count(self, rows: Tensor, score: Tensor, entries: Entries, block: int) -> Tensor:
        left, lowest = self.unit.take(rows), score.amin(0)
        count, read = entries

        def work(starts: Iterator[int]) -> Tensor:
            rank = torch.zeros(score.shape, dtype=torch.int64, device=rows.device)
            cosine = CosineBlock(block, rows.device)
            for start in starts:
                unit = read(start, min(start + block, count))
                right = unit.take(torch.arange(len(unit.embedding), device=rows.device))
                for part in torch.arange(len(rows), device=rows.device).split(block):
                    tile = cosine(left[part[0] : part[-1] + 1], right)
                    # Most probes beat a whole tile in every draw: the others are compared draw by draw.
                    beaten = (tile.amax(1) >= lowest[part]).nonzero().flatten()
                    tile, part = tile[beaten], part[beaten]
                    for own, at_least in zip(score, rank, strict=True):
                        at_least[part] += (tile >= own[part].unsqueeze(1)).count_nonzero(1)
            return rank

        return torch.stack(in_threads(work, range(0, count, block), rows.device)).sum(0)

    def _rows(self, rows: Tensor, start: int, stop: int) -> UnitRows:
        return UnitRows(self.unit.embedding.index_select(0, rows[start:stop]))


def _draw(images: Tensor, draws: int, seed: int) -> Iterator[Tensor]:
    """Yield for each draw (k,) positions, one image of each identity, in a list of images by identity."""
    generator = torch.Generator().manual_seed(seed)
    start = images.cumsum(0) - images
    for _ in range(draws):
        share = torch.rand(len(images), generator=generator, dtype=torch.float64).to(images.device)
        # The product of a share next to 1 may round up to the count itself.
        yield start + torch.minimum((share * images).long(), images - 1)
