"""Which cells of score an evaluation will need, predicted from a sample of the impostor pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lossbench.functional.pair_screening import CELLS, UnsettledError, edges, place, span

# Standard deviations by which the sample may miss a rank; beyond, all pairs are scored by the definition.
_DEVIATIONS = 6.0
_MOST_KEPT = 2**24


def watched_cells(
    sample: Tensor,
    thresholds: Tensor,
    frr: Tensor,
    *,
    ranks: Sequence[int],
    impostors: int,
    error: float,
) -> Tensor:
    """Return (CELLS,) bool: cells whose pairs are to be kept; no number depends on them, only the time.

    sample: (CELLS,) int64 impostor pairs by cell. thresholds: (k,) the genuine scores, descending. frr: (k,)
    false reject rates at them. ranks: of the impostor pairs at which something is asked, 0 the highest.
    impostors: number of all impostor pairs. error: bound of a tile's score.
    Raises UnsettledError for a sample without pairs, or where more than 16 million pairs would be kept.
    """
    above = sample.flip(0).cumsum(0).double()  # pairs in the cells from CELLS - 1 - i upwards
    drawn = float(above[-1])
    if not drawn or not len(thresholds):
        raise UnsettledError
    at = above[CELLS - 1 - place(thresholds).long()]
    crossing = int((torch.cat([frr.new_ones(1), frr[:-1]]) * drawn >= at).count_nonzero())
    drawn_ranks = [rank * drawn / impostors for rank in ranks]
    drawn_ranks += at[max(crossing - 2, 0) : crossing + 1].tolist()
    watched = torch.zeros(CELLS, dtype=torch.bool, device=sample.device)
    rising = thresholds.flip(0)
    for rank in drawn_ranks:
        for low, high in _spans(above, rank, rising):
            first, last = span(low - 2 * error, high + 2 * error)
            watched[max(first - 1, 0) : last + 2] = True
    if float(sample[watched].sum()) / drawn * impostors > _MOST_KEPT:
        raise UnsettledError
    return watched


def _spans(above: Tensor, rank: float, rising: Tensor) -> Iterator[tuple[float, float]]:
    """Yield the scores between which the pair of that rank lies, and the genuine scores next to it."""
    spread = _DEVIATIONS * math.sqrt(rank) + _DEVIATIONS**2
    limits = torch.tensor([rank - spread, min(rank + spread, float(above[-1]))], device=above.device)
    cells = CELLS - 1 - torch.searchsorted(above, limits.double())
    low, high = float(edges(cells[1])[0]), float(edges(cells[0])[1])
    yield low, high
    # Where genuine scores are sparse, the operating point is the next one.
    for near in (rising[rising < low][-1:], rising[rising > high][:1]):
        yield from ((score, score) for score in near.tolist())
