"""Rates of genuine and impostor scores when identities weigh differently, in many replicates at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lossbench.functional.weighted_sums import CumulativeWeight, Ranked

_IDENTITIES = 4096


class Steps:
    """Where the staircases of genuine and impostor scores step."""

    def __init__(
        self, genuine: Ranked, impostor: Ranked, *, complete: bool, exact: int | None = None
    ) -> None:
        """``complete``: whether ``impostor`` stands for every impostor score.

        exact: how many of its scores stand for themselves; the others for all lower ones. None: all.
        """
        self.genuine, self.impostor, self.complete, self.exact = genuine, impostor, complete, exact
        rising = impostor.scores.flip(0)
        # A genuine score can be accepted together with every impostor score at or above it.
        self.alarms = len(rising) - torch.searchsorted(rising, genuine.scores)
        self.beaten = len(rising) - torch.searchsorted(rising, genuine.scores, right=True)
        # At each distinct genuine score, and above it: genuine, impostors.
        count = genuine.scores.unique_consecutive(return_counts=True)[1]
        end = count.cumsum(0)
        self.at, self.above = (end, self.alarms[end - 1]), (end - count, self.beaten[end - 1])
        # Identities with genuine scores, the place of each score's own among them, and how many each has.
        self.people, self.owner, self.pairs = genuine.identity[:, 0].unique(
            return_inverse=True, return_counts=True
        )


class WeightedRates:
    """Rates in some replicates; NaN where a total is 0, or impostor scores are needed that are not known."""

    def __init__(self, steps: Steps, totals: tuple[Tensor, Tensor], drawn: Tensor) -> None:
        """``totals``: (r,) weight of all genuine and of all impostor scores.

        drawn: (c, r) int8 or int16, weight of each identity in each replicate.
        """
        self.steps, self.drawn = steps, drawn
        self.genuine = CumulativeWeight(steps.genuine, drawn)
        self.impostor = CumulativeWeight(steps.impostor, drawn)
        self.undefined = (totals[0] == 0) | (totals[1] == 0)
        self.totals = totals[0].clamp(min=1), totals[1].clamp(min=1)
        if steps.exact is not None:
            self.undefined |= ~self.impostor.stand_for(self.totals[1], steps.exact)

    def accepted(self, far: float) -> Tensor:
        """Return (r,) the most genuine scores, from the highest, with FAR <= far; -1 where it is unknown."""
        most = self.impostor.most(far, self.totals[1])
        unknown = self.undefined
        if not self.steps.complete:
            unknown = unknown | (most == len(self.steps.impostor.scores))
        return torch.searchsorted(self.steps.alarms, most, right=True).masked_fill_(unknown, -1)

    def share(self, accepted: Tensor) -> Tensor:
        """Return (r,) float64, the weight of the first ``accepted`` (r,) genuine scores as a share of all."""
        rate = self.genuine.weight(accepted.clamp(min=0)) / self.totals[0]
        return rate.masked_fill_(accepted < 0, math.nan)

    def macro(self, accepted: Tensor) -> Tensor:
        """Return (r,) float64, the mean over drawn identities of the share of their own scores accepted."""
        every, owner, pairs = self.steps.people, self.steps.owner, self.steps.pairs
        replicates, order = self.drawn.shape[1], accepted.argsort()
        # The first of the replicates, by what they accept, that accepts the entry.
        entry = torch.arange(len(owner), device=owner.device)
        turn = torch.searchsorted(accepted[order], entry, right=True)
        rate, total = torch.zeros(2, replicates, dtype=torch.float64, device=owner.device)
        for start in range(0, len(every), _IDENTITIES):
            names = every[start : start + _IDENTITIES]
            own = ((owner >= start) & (owner < start + _IDENTITIES)).nonzero().flatten()
            cells = (turn[own] * len(names) + owner[own] - start).bincount(
                minlength=(replicates + 1) * len(names)
            )
            passed = cells.view(-1, len(names))[:replicates].cumsum(0)
            weight = self.drawn[names].T[order].double()
            rate += (weight * passed / pairs[start : start + _IDENTITIES]).sum(1)
            total += weight.sum(1)
        return torch.empty_like(rate).index_copy_(0, order, rate / total).masked_fill_(accepted < 0, math.nan)

    def equal_error(self) -> Tensor:
        """Return (r,) float64 the rates at which FAR and FRR cross, by the rule of ``equal_error_rate``."""
        (end, alarms), (start, above) = self.steps.at, self.steps.above
        if not len(end):
            return torch.full_like(self.totals[0], math.nan)
        low = torch.zeros_like(self.undefined, dtype=torch.int64)
        high = torch.full_like(low, self._past_crossing())
        # The lowest score beyond which FRR has reached FAR; beyond the highest it has.
        while bool((high - low > 1).any()):
            middle = (low + high) // 2
            reached = self._crossed(middle)
            low, high = torch.where(reached, middle, low), torch.where(reached, high, middle)
        frr, far = self._frr(end[low]), self._far(alarms[low])
        both = torch.maximum(frr, self._far(above[low])) + torch.minimum(self._frr(start[low]), far)
        rate = torch.where(far <= frr, frr, both / 2)
        unknown = self.undefined
        if not self.steps.complete:
            unknown = unknown | (alarms[low] == len(self.steps.impostor.scores))
        return rate.masked_fill_(unknown, math.nan)

    def _past_crossing(self) -> int:
        """Return a step beyond the crossing in every replicate, found without summing all impostor scores."""
        above = self.steps.above[1]
        entries = self.impostor.summed
        while entries < len(self.steps.impostor.scores):
            step = int(torch.searchsorted(above, entries, right=True)) - 1
            if step > 0 and not bool(
                self._crossed(torch.full_like(self.undefined, step, dtype=torch.int64)).any()
            ):
                return step
            entries = 2 * max(entries, 1)
        return len(above)

    def _crossed(self, step: Tensor) -> Tensor:
        """Return (r,) bool, whether just above a step's score (r,) FRR has reached FAR."""
        start, above = self.steps.above
        return self._frr(start[step]) >= self._far(above[step])

    def area(self) -> Tensor:
        """Return (r,) float64 the area under the curve; NaN unless every impostor score is known."""
        if not self.steps.complete:
            return torch.full_like(self.totals[0], math.nan)
        owner = self.steps.genuine.identity[:, 0]
        # A tie is lost by half: impostors at or above the score, and above it, count half each.
        at, order = torch.cat([self.steps.alarms, self.steps.beaten]).sort()
        lost = self.impostor.total(at, torch.cat([owner, owner])[order]) / 2
        pairs = self.totals[0] * self.totals[1]
        return ((pairs - lost) / pairs).masked_fill_(self.undefined, math.nan)

    def _frr(self, entries: Tensor) -> Tensor:
        return (self.totals[0] - self.genuine.weight(entries)) / self.totals[0]

    def _far(self, entries: Tensor) -> Tensor:
        return self.impostor.weight(entries) / self.totals[1]
