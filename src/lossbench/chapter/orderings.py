"""Verdicts of trained runs: which score above which, in paired seeds and with the same test identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lossbench.chapter.claim import Missing, Working
from lossbench.chapter.committed import Runs
from lossbench.report.names import format_p
from lossbench.report.paired import FEWEST, Difference, Gaps, Metrics, Setting, chance, contrast, family

REPRODUCED, NOT_RESOLVED, CONTRADICTED, MIXED = "reproduced", "not resolved", "contradicted", "mixed"


class Ordering(NamedTuple):
    """By how much one row exceeds another in a metric, and what that says of a claim that it does."""

    upper: str
    lower: str
    metric: str
    difference: Difference

    @property
    def verdict(self) -> str:
        return verdict(self.difference)


def verdict(one: Difference) -> str:
    """reproduced: above 0 and p < 0.05; contradicted: below 0 and p < 0.05; else not resolved."""
    if one.p >= 0.05:
        return NOT_RESOLVED
    return REPRODUCED if one.mean > 0 else CONTRADICTED


def summary(verdicts: Sequence[str]) -> str:
    """The verdict that all have, or how many have which.

    >>> summary(["reproduced", "not resolved", "reproduced"])
    'mixed: reproduced in 2 of 3, not resolved in 1'
    """
    words = [word for word in (REPRODUCED, CONTRADICTED, NOT_RESOLVED) if word in verdicts]
    if len(words) == 1:
        return words[0]
    first, *others = [f"{word} in {verdicts.count(word)}" for word in words]
    return f"{MIXED}: " + ", ".join([f"{first} of {len(verdicts)}", *others])


def orderings(runs: Runs, pairs: Sequence[tuple[str, str]], metrics: Sequence[str]) -> list[Ordering]:
    """Each declared ``(upper, lower)`` pair of rows on each metric, all of them one family for Holm.

    Raises Missing where a row has not three seeds in common with the other.
    """
    declared = [(upper, lower, metric) for metric in metrics for upper, lower in pairs]
    gaps = [_gaps(runs, *one) for one in declared]
    return [Ordering(*one, found) for one, found in zip(declared, family(gaps), strict=True)]


def _gaps(runs: Runs, upper: str, lower: str, metric: str) -> Gaps:
    gaps = contrast(runs, {upper: 1, lower: -1}, metric)
    if len(gaps) < FEWEST:
        raise Missing(f"{upper} and {lower} have {len(gaps)} seeds with {metric} in common: three are needed")
    return gaps


def points(runs: Mapping[Setting, Metrics], weights: Mapping[Setting, float], metric: str) -> Gaps:
    """``contrast`` in percent points."""
    return contrast(runs, {setting: 100 * weight for setting, weight in weights.items()}, metric)


def with_interval(values: Sequence[float], sign: str = "") -> str:
    """Mean and 95 % interval; the mean alone of too few."""
    if not values:
        return "-"
    mean, low, high, _ = chance(values)
    if len(values) < FEWEST:
        return f"{mean:{sign}.2f}"
    return f"{mean:{sign}.2f} ({low:{sign}.2f} to {high:{sign}.2f})"


def decide(work: Working, gaps: Mapping[str, Sequence[float]]) -> None:
    """Let paired differences, one family for Holm, give the verdict of a claim that each is above 0.

    Fewer than three seeds leave it open. Raises Missing where there is none.
    """
    if lacking := [what for what, each in gaps.items() if not each]:
        raise Missing(f"{lacking[0]}: no seed has all runs for it: let the sweep finish")
    found = family(list(gaps.values()))
    for what, one in zip(gaps, found, strict=True):
        told = f"{one.mean:+.3g}, {_told(one)}"
        work.let(f"{what}: {told}: {verdict(one)}")
        work.expected.append(f"{what}: above 0")
        work.measured.append(told)
    work.verdict = summary([verdict(one) for one in found])


def _told(one: Difference) -> str:
    if one.seeds < FEWEST:
        return f"{one.seeds} seed{'s' * (one.seeds > 1)}: three are needed"
    over = f"over {one.chance_of}, above 0 in {one.above} of {one.seeds} seeds"
    return f"95 % {one.low:+.3g} to {one.high:+.3g} {over}, Holm p {format_p(one.p)}"
