"""The accepted share at a false accept rate when identities weigh differently, in many replicates at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_CHUNK = 128  # entries


class Ranked:
    """Scores, descending, and the one or two identities (k, 1 or 2) that each belongs to."""

    def __init__(self, scores: Tensor, identity: Tensor) -> None:
        self.scores, order = scores.sort(descending=True)
        self.identity = identity[order]


class AcceptedShare:
    """The share of genuine scores accepted at a false accept rate, when identities weigh differently."""

    def __init__(self, genuine: Ranked, impostor: Ranked, *, complete: bool) -> None:
        """``complete``: whether ``impostor`` holds every impostor score."""
        self.genuine, self.impostor, self.complete = genuine, impostor, complete
        rising = impostor.scores.flip(0)
        # A genuine score can be accepted together with every impostor score at or above it.
        self.alarms = len(rising) - torch.searchsorted(rising, genuine.scores)

    def __call__(self, totals: tuple[Tensor, Tensor], drawn: Tensor, fars: Sequence[float]) -> Tensor:
        """Return (len(fars), r): weight of the genuine scores that can be accepted, as a share of its total.

        totals: (r,) weight of all genuine and of all impostor scores. drawn: (c, r) int16, weight of each
        identity in each replicate. NaN where a total is 0, or where all impostor scores can be accepted and
        there are more than are known.
        """
        if not len(self.impostor.scores):
            return torch.full((len(fars), drawn.shape[1]), math.nan, dtype=torch.float64, device=drawn.device)
        accepted, refused = _Cumulative(self.genuine, drawn), _Cumulative(self.impostor, drawn)
        undefined = (totals[0] == 0) | (totals[1] == 0)
        rates = []
        for far in fars:
            most = refused.most(far, totals[1].clamp(min=1))
            rate = accepted.weight(torch.searchsorted(self.alarms, most, right=True)) / totals[0]
            past = undefined if self.complete else undefined | (most == len(self.impostor.scores))
            rates.append(rate.masked_fill(past, math.nan))
        return torch.stack(rates)


class _Cumulative:
    """In every replicate, the weight of the first so many entries of a ranked list."""

    def __init__(self, ranked: Ranked, drawn: Tensor) -> None:
        self.identity = ranked.identity
        self.drawn = drawn
        self.column = torch.arange(drawn.shape[1], device=drawn.device).unsqueeze(1)
        self.sums = [drawn.new_zeros(drawn.shape[1], dtype=torch.float64)]
        self.buffers = drawn.new_empty(2, _CHUNK, drawn.shape[1])

    def most(self, share: float, total: Tensor) -> Tensor:
        """Return (r,) the most entries whose weight is at most ``share`` of ``total`` (r,)."""
        while self._extend() and bool((self.sums[-1] / total <= share).any()):
            pass
        full = (torch.stack(self.sums) / total <= share).sum(dim=0) - 1
        upto, entries = self._inside(full)
        more = ((upto / total.unsqueeze(1) <= share) & entries).sum(dim=1)
        return (full * _CHUNK + more).clamp(max=len(self.identity))

    def weight(self, entries: Tensor) -> Tensor:
        """Return (r,) the weight of the first ``entries`` (r,)."""
        full, rest = entries // _CHUNK, entries % _CHUNK
        while len(self.sums) <= int(full.max()) and self._extend():
            pass
        upto, _ = self._inside(full)
        upto = torch.cat([torch.stack(self.sums)[full, self.column[:, 0]].unsqueeze(1), upto], dim=1)
        return upto.gather(1, rest.unsqueeze(1)).squeeze(1)

    def _extend(self) -> bool:
        """Sum one more chunk; False where there is none."""
        start = (len(self.sums) - 1) * _CHUNK
        chunk = self.identity[start : start + _CHUNK]
        if not len(chunk):
            return False
        weight, other = self.buffers[:, : len(chunk)]
        torch.index_select(self.drawn, 0, chunk[:, 0], out=weight)
        if chunk.shape[1] == 2:
            weight *= torch.index_select(self.drawn, 0, chunk[:, 1], out=other)
        self.sums.append(self.sums[-1] + weight.sum(dim=0, dtype=torch.int32))
        return True

    def _inside(self, full: Tensor) -> tuple[Tensor, Tensor]:
        """Return (r, chunk) weights up to each entry of the chunk after ``full`` chunks, and which exist."""
        place = full.unsqueeze(1) * _CHUNK + torch.arange(_CHUNK, device=full.device)
        exists = place < len(self.identity)
        if not len(self.identity):
            return torch.zeros_like(place, dtype=torch.float64), exists
        chunk = self.identity[place.clamp(max=len(self.identity) - 1)]
        weight = self.drawn[chunk, self.column.unsqueeze(1)].prod(dim=2, dtype=torch.int32) * exists
        before = torch.stack(self.sums)[full, self.column[:, 0]]
        return before.unsqueeze(1) + weight.cumsum(dim=1), exists
