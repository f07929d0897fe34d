"""Weights of ranked scores, summed from the highest, when identities weigh differently in many replicates."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

# Entries: between two sums, summed at once, and looked up at once.
_CHUNK, _SUMMED, _ENTRIES = 512, 2048, 2048


class Ranked:
    """Scores, descending, and the one or two identities (k, 1 or 2) that each belongs to."""

    def __init__(self, scores: Tensor, identity: Tensor) -> None:
        if not bool((scores[1:] <= scores[:-1]).all()):  # millions mostly come in order
            scores, order = scores.sort(descending=True)
            identity = identity[order]
        self.scores, self.identity = scores, identity


class CumulativeWeight:
    """In every replicate, the weight of the first so many entries of a ranked list."""

    def __init__(self, ranked: Ranked, drawn: Tensor) -> None:
        self.identity = ranked.identity
        self.drawn = drawn
        self.column = torch.arange(drawn.shape[1], device=drawn.device).unsqueeze(1)
        self.sums = [drawn.new_zeros(drawn.shape[1], dtype=torch.float64)]
        self.stacked = torch.stack(self.sums)
        self.exact = len(ranked.identity)
        # Of the entries from ``exact`` on: (r,) the weight above them, and what a weight of 1 stands for.
        self.sample: tuple[Tensor, Tensor] | None = None
        self.buffers = drawn.new_empty(2, max(_SUMMED, _CHUNK), drawn.shape[1])

    @property
    def summed(self) -> int:
        """The entries summed so far."""
        return min((len(self.sums) - 1) * _CHUNK, len(self.identity))

    def most(self, share: float, total: Tensor) -> Tensor:
        """Return (r,) the most entries whose weight is at most ``share`` of ``total`` (r,)."""
        while self._extend() and bool((self._stretched(self.sums[-1]) / total <= share).any()):
            pass
        full = (self._stretched(self._stack()) / total <= share).sum(dim=0) - 1
        upto, entries = self._inside(full)
        more = ((self._stretched(upto.T).T / total.unsqueeze(1) <= share) & entries).sum(dim=1)
        return (full * _CHUNK + more).clamp(max=len(self.identity))

    def weight(self, entries: Tensor) -> Tensor:
        """Return (r,) the weight of the first ``entries`` (r,)."""
        full, rest = entries // _CHUNK, entries % _CHUNK
        while len(self.sums) <= int(full.max()) and self._extend():
            pass
        upto, _ = self._inside(full)
        upto = torch.cat([self._stack()[full, self.column[:, 0]].unsqueeze(1), upto], dim=1)
        return self._stretched(upto.gather(1, rest.unsqueeze(1)).squeeze(1))

    def stand_for(self, total: Tensor, exact: int) -> Tensor:
        """Let the entries from ``exact`` on stand for more: that all entries together weigh ``total`` (r,).

        Returns (r,) bool, where they can: not where all of these weigh 0 and should not.
        """
        while self._extend():
            pass
        own = self.weight(torch.full_like(self.column[:, 0], exact))
        drawn, lacking = self.sums[-1] - own, total - own
        self.exact = exact
        # A hair less, that no sum is rounded to more than the total.
        self.sample = own, lacking / drawn.clamp(min=1) * (1 - 2**-50)
        return (drawn > 0) | (lacking == 0)

    def _stretched(self, weight: Tensor) -> Tensor:
        """Return sums from the highest entry on, (..., r), of what the entries stand for."""
        if self.sample is None:
            return weight
        above, each = self.sample
        return torch.where(weight > above, above + (weight - above) * each, weight)

    def total(self, entries: Tensor, owner: Tensor) -> Tensor:
        """Return (r,) the sum over k of the weight of the first ``entries`` times that of ``owner``.

        entries: (k,) ascending. owner: (k,).
        """
        if self.sample is None:
            return self._total(entries, owner)
        above, each = self.sample
        split = int(torch.searchsorted(entries, self.exact, right=True))
        beyond = owner[split:].bincount(minlength=len(self.drawn)).double() @ self.drawn.double()
        own, lower = self._total(entries[:split], owner[:split]), self._total(entries[split:], owner[split:])
        return own + beyond * above + (lower - beyond * above) * each

    def _total(self, entries: Tensor, owner: Tensor) -> Tensor:
        """``total``, each entry standing for itself."""
        total = torch.zeros_like(self.sums[0])
        starts = torch.arange(0, len(self.identity) + _CHUNK, _CHUNK, device=entries.device)
        # Nothing is before the first entry.
        split = torch.searchsorted(entries, starts, right=True).tolist()
        for chunk, (first, last) in enumerate(pairwise(split)):
            if first == len(entries):
                break
            if first == last and len(self.sums) > chunk + 1:
                continue
            own = self._weights(slice(chunk * _CHUNK, (chunk + 1) * _CHUNK))
            upto = self.sums[chunk] + own.cumsum(0, dtype=torch.int32)
            if len(self.sums) == chunk + 1:
                self.sums.append(upto[-1].clone())
            for start in range(first, last, _ENTRIES):
                part = slice(start, min(start + _ENTRIES, last))
                before = upto.index_select(0, entries[part] - chunk * _CHUNK - 1)
                total += (before * self.drawn.index_select(0, owner[part])).sum(0)
        return total

    def _stack(self) -> Tensor:
        """Return (chunks + 1, r) the weight of the first so many chunks."""
        if len(self.stacked) < len(self.sums):
            self.stacked = torch.stack(self.sums)
        return self.stacked

    def _extend(self) -> bool:
        """Sum some more chunks; False where there is none."""
        start = (len(self.sums) - 1) * _CHUNK
        if start >= len(self.identity):
            return False
        weights = self._weights(slice(start, start + max(_SUMMED // _CHUNK, 1) * _CHUNK))
        for chunk in weights.split(_CHUNK):
            self.sums.append(self.sums[-1] + chunk.sum(dim=0, dtype=torch.int32))
        return True

    def _weights(self, entries: slice) -> Tensor:
        """Return (k, r) the weights of some entries, until the next call."""
        identity = self.identity[entries]
        weight, other = self.buffers[:, : len(identity)]
        torch.index_select(self.drawn, 0, identity[:, 0], out=weight)
        if identity.shape[1] == 2:
            weight *= torch.index_select(self.drawn, 0, identity[:, 1], out=other)
        return weight

    def _inside(self, full: Tensor) -> tuple[Tensor, Tensor]:
        """Return (r, chunk) weights up to each entry of the chunk after ``full`` chunks, and which exist."""
        place = full.unsqueeze(1) * _CHUNK + torch.arange(_CHUNK, device=full.device)
        exists = place < len(self.identity)
        if not len(self.identity):
            return torch.zeros_like(place, dtype=torch.float64), exists
        chunk = self.identity[place.clamp(max=len(self.identity) - 1)]
        weight = self.drawn[chunk, self.column.unsqueeze(1)].prod(dim=2, dtype=torch.int32) * exists
        before = self._stack()[full, self.column[:, 0]]
        return before.unsqueeze(1) + weight.cumsum(dim=1), exists
