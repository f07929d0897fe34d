"""The exact verification ROC of two sets of scores: counts at every distinct genuine score."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor


@dataclass(frozen=True)
class RocCurve:
    """Operating points of "accept when score >= threshold", strictest first.

    TAR changes only at genuine scores, so these points hold the whole curve. Pairs are counted, never
    binned; every rate is a ratio of two integers.

    thresholds: (k,) the distinct genuine scores, descending.
    genuine_accepted: (k,) int64, genuine pairs with score >= threshold.
    impostors_accepted: (k,) int64, impostor pairs with score >= threshold.
    impostors_above: (k,) int64, impostor pairs with score > threshold.
    genuine, impostors: number of pairs of each kind.
    """

    thresholds: Tensor
    genuine_accepted: Tensor
    impostors_accepted: Tensor
    impostors_above: Tensor
    genuine: int
    impostors: int

    @property
    def tar(self) -> Tensor:
        """(k,) float64, true accept rate at each threshold."""
        return self.genuine_accepted.double() / self.genuine

    @property
    def far(self) -> Tensor:
        """(k,) float64, false accept rate at each threshold; NaN without impostors."""
        return self.impostors_accepted.double() / self.impostors

    @property
    def undefined(self) -> str | None:
        """Why no rate can be given, or None."""
        return undefined(self.genuine, self.impostors)


def undefined(genuine: int, impostors: int) -> str | None:
    """Return why pairs so many of each kind give no rate, or None."""
    if genuine == 0:
        return "no genuine pair: no identity has two images"
    return "no impostor pair: all images show one identity" if impostors == 0 else None


class RocCounts:
    """Counts impostor scores against all genuine scores, as many at a time as the caller likes.

    Memory is that of the genuine scores: about 30 bytes for each distinct one, none per impostor.
    """

    def __init__(self, genuine: Tensor) -> None:
        """Take every genuine score (g,), in any order."""
        self._genuine = len(genuine)
        self._thresholds, self._repeats = torch.unique_consecutive(genuine.sort().values, return_counts=True)
        above = torch.nextafter(self._thresholds, torch.full_like(self._thresholds, torch.inf))
        # One search tells "equal to threshold" from "above it" when both limits are in the list.
        self._limits = torch.stack([self._thresholds, above], dim=1).flatten()
        self._cells = torch.zeros(len(self._limits) + 1, dtype=torch.int64, device=genuine.device)
        self._impostors = 0
        self._lock = Lock()

    def add(self, impostor: Tensor) -> None:
        """Count impostor scores (b,), from any thread."""
        cell = torch.searchsorted(self._limits, impostor, right=True, out_int32=True)
        one = torch.ones((), dtype=torch.int64, device=impostor.device)
        with self._lock:
            self._cells.index_add_(0, cell, one.expand(len(cell)))
            self._impostors += len(impostor)

    def curve(self) -> RocCurve:
        """Return the curve of what was counted; nothing can be added afterwards."""
        # Buffers go as soon as they are used up: with millions of genuine pairs they are the peak of memory.
        del self._limits
        genuine = self._repeats.flip(0).cumsum_(0)
        del self._repeats
        below = self._cells.cumsum_(0)
        accepted = below[0:-1:2].flip(0).neg_().add_(self._impostors)
        strictly = below[1::2].flip(0).neg_().add_(self._impostors)
        return RocCurve(self._thresholds.flip(0), genuine, accepted, strictly, self._genuine, self._impostors)


def roc_curve(genuine: Tensor, impostor: Tensor) -> RocCurve:
    """Return the exact curve of genuine scores (g,) and impostor scores (i,), higher is more alike.

    Unlike scikit-learn's, no point is dropped and ties of a genuine with an impostor score stay known.
    Raises ValueError for scores that are not vectors or hold NaN.

    >>> curve = roc_curve(torch.tensor([0.9, 0.4]), torch.tensor([0.5, 0.4, 0.1]))
    >>> curve.tar.tolist(), curve.impostors_accepted.tolist(), curve.impostors_above.tolist()
    ([0.5, 1.0], [0, 2], [0, 1])
    """
    for name, scores in (("genuine", genuine), ("impostor", impostor)):
        if scores.ndim != 1:
            raise ValueError(f"{name} has shape {tuple(scores.shape)}: expected one score per pair, (n,)")
        if scores.isnan().any():
            raise ValueError(f"{int(scores.isnan().sum())} of {len(scores)} {name} scores are NaN")
    # Half precision has no searchsorted on every device; widening changes no order and no tie.
    dtype = torch.promote_types(torch.promote_types(genuine.dtype, impostor.dtype), torch.float32)
    counts = RocCounts(genuine.detach().to(dtype))
    counts.add(impostor.detach().to(dtype).contiguous())
    return counts.curve()
