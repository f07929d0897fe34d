"""The verification ROC over all pairs of a labelled set of embeddings, in blocks of the upper triangle."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows, check_rows
from lossbench.functional.genuine import GenuinePairs
from lossbench.functional.hardest import Hardest
from lossbench.functional.roc import RocCounts, RocCurve
from lossbench.functional.threads import in_threads, own_threads
from lossbench.validate import check_range


def pair_roc(embedding: Tensor, label: Tensor, *, block: int = 1024) -> RocCurve:
    """Return the exact curve of the cosines of all n(n-1)/2 pairs of rows.

    embedding: (n, d), any length and float type, on any device. A zero row has cosine 0 with everything.
    label: (n,) integers >= 0; equal labels make a genuine pair.
    block: rows and columns of one tile. It changes memory and time, never a count: see ``cosine``.

    Two passes: the genuine scores are kept and sorted; then every impostor score is counted against them and
    dropped. Extra memory is some tiles (about 30 MB), plus up to 60 bytes per genuine pair, and never depends
    on the number of impostor pairs. Where only some numbers of the curve are wanted, ``pair_verification``
    gives them in a tenth of the time.
    Raises ValueError for wrong shapes, rows with NaN or infinity, negative labels, or block < 1.

    >>> import torch
    >>> curve = pair_roc(torch.eye(3)[[0, 0, 1]], torch.tensor([5, 5, 8]))
    >>> curve.thresholds.tolist(), curve.genuine, curve.impostors, curve.impostors_accepted.tolist()
    ([1.0], 1, 2, [0])
    """
    check_range("block", block, low=1)
    embedding, label = check_pairs(embedding, label)
    unit, grid = UnitRows(embedding), PairGrid(label, block)
    with own_threads():
        counts = RocCounts(GenuinePairs(unit, label, 0).score)
        count_impostors(unit, grid, counts)
    return counts.curve()


def check_pairs(embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return embedding and label as ``check_rows`` does; ValueError for negative labels too."""
    embedding, label = check_rows(embedding, label)
    negative = int((label < 0).sum())
    if negative:
        raise ValueError(f"{negative} labels are negative: distractors have no genuine pair, leave them out")
    return embedding, label


class PairGrid:
    """The upper triangle of all pairs, rows sorted by label, cut into tiles.

    label: (n,) sorted. order: (n,) the row of the embedding at each place. rows, labels: both by block.
    """

    def __init__(self, label: Tensor, block: int) -> None:
        self.label, self.order = label.sort(stable=True)
        self.block = min(block, max(len(label), 1))
        self.rows = self.order.split(self.block) if len(label) else ()
        self.labels = self.label.split(self.block)
        # On the host once, so that a loop over tiles never waits for the device.
        first = self.label[:: self.block].tolist()
        last = [*self.label[self.block - 1 :: self.block].tolist(), *self.label[-1:].tolist()]
        # Sorted by label: a tile holds a genuine pair only if its rows reach its columns' first.
        self.reach = [sum(value <= end for value in first) for end in last[: len(first)]]

    def tiles(self) -> Iterator[tuple[int, int, bool]]:
        """Yield row block, column block, and whether some of the tile's pairs are no impostor pairs."""
        for i in range(len(self.rows)):
            for j in range(i, len(self.rows)):
                yield i, j, j < self.reach[i]

    def impostors(self, i: int, j: int) -> Tensor:
        """Which entries of a tile are impostor pairs, bool; each pair is in one tile once."""
        wanted = self.labels[i].unsqueeze(1) != self.labels[j].unsqueeze(0)
        return wanted.triu(1) if i == j else wanted


def count_impostors(
    unit: UnitRows, grid: PairGrid, counts: RocCounts, hardest: Hardest | None = None
) -> None:
    """Score every impostor pair by the definition and hand it to ``counts``, and to ``hardest``."""

    def work(tiles: Iterator[tuple[int, int, bool]]) -> None:
        cosine = CosineBlock(grid.block, grid.label.device)
        own, left = -1, grid.label
        for i, j, mixed in tiles:
            if i != own:
                own, left = i, unit.take(grid.rows[i])
            tile = cosine(left, left if j == i else unit.take(grid.rows[j]))
            wanted = grid.impostors(i, j) if mixed else None
            counts.add(tile.flatten() if wanted is None else tile[wanted])
            if hardest is not None:
                hardest.add(tile, grid.rows[i], grid.rows[j], wanted)

    in_threads(work, list(grid.tiles()), grid.label.device)
