"""The verification ROC over all pairs of a labelled set of embeddings, in blocks of the upper triangle."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows, check_rows
from lossbench.functional.roc import RocCounts, RocCurve
from lossbench.validate import check_range


def pair_roc(embedding: Tensor, label: Tensor, *, block: int = 1024) -> RocCurve:
    """Return the exact curve of the cosines of all n(n-1)/2 pairs of rows.

    embedding: (n, d), any length and float type, on any device. A zero row has cosine 0 with everything.
    label: (n,) integers >= 0; equal labels make a genuine pair.
    block: rows and columns of one tile. It changes memory and time, never a count: see ``cosine``.

    Two passes: the genuine scores, near the diagonal once rows are sorted by label, are kept and sorted;
    then every impostor score is counted against them and dropped. Extra memory is some tiles (about 30 MB),
    plus up to 60 bytes per genuine pair, and never depends on the number of impostor pairs.
    Raises ValueError for wrong shapes, rows with NaN or infinity, negative labels, or block < 1.

    >>> curve = pair_roc(torch.eye(3)[[0, 0, 1]], torch.tensor([5, 5, 8]))
    >>> curve.thresholds.tolist(), curve.genuine, curve.impostors, curve.impostors_accepted.tolist()
    ([1.0], 1, 2, [0])
    """
    check_range("block", block, low=1)
    embedding, label = check_rows(embedding, label)
    negative = int((label < 0).sum())
    if negative:
        raise ValueError(f"{negative} labels are negative: distractors have no genuine pair, leave them out")
    pairs = _Pairs(embedding, label, block)
    counts = RocCounts(pairs.genuine())
    for scores in pairs.scores(genuine=False):
        counts.add(scores)
    return counts.curve()


class _Pairs:
    """The upper triangle of the cosine matrix, rows sorted by label, as a stream of tiles."""

    def __init__(self, embedding: Tensor, label: Tensor, block: int) -> None:
        self.unit = UnitRows(embedding)
        label, order = label.sort(stable=True)
        self.rows = order.split(block) if len(order) else ()
        self.labels = label.split(block)
        self.cosine = CosineBlock(min(block, max(len(label), 1)), embedding.device)
        # On the host once, so that the loop over tiles never waits for the device.
        self.first = label[::block].tolist()
        self.last = [*label[block - 1 :: block].tolist(), *label[-1:].tolist()]

    def genuine(self) -> Tensor:
        """All genuine scores (g,), in no particular order."""
        return torch.cat([self.unit.embedding.new_zeros(0, dtype=torch.float32), *self.scores(genuine=True)])

    def scores(self, *, genuine: bool) -> Iterator[Tensor]:
        """Yield the scores of one kind of pair, tile by tile; an unmasked tile lives until the next one."""
        for i, rows in enumerate(self.rows):
            left = self.unit.take(rows)
            for j in range(i, len(self.rows)):
                # Sorted by label: this tile holds a genuine pair only if its rows reach its columns' first.
                mixed = j == i or self.first[j] <= self.last[i]
                if genuine and not mixed:
                    break
                tile = self.cosine(left, left if j == i else self.unit.take(self.rows[j]))
                yield tile[self._wanted(i, j, genuine)] if mixed else tile.flatten()

    def _wanted(self, i: int, j: int, genuine: bool) -> Tensor:
        same = self.labels[i].unsqueeze(1) == self.labels[j].unsqueeze(0)
        wanted = same if genuine else same.logical_not_()
        return wanted.triu(1) if i == j else wanted
