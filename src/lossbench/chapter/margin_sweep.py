"""AM-Softmax over its margin, trained here: what a margin gains, and where the best one lies."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from lossbench.chapter.claim import Claim, Working, claim
from lossbench.chapter.committed import settings
from lossbench.chapter.endpoints import ENDPOINTS, called
from lossbench.chapter.miniature import draw_over_m, named
from lossbench.chapter.orderings import REPRODUCED, decide, points
from lossbench.chapter.sweeps import compare, in_percent, number, slope
from lossbench.report.paired import Metrics

LOW, HIGH = 0.3, 0.45
FITTED = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""A parabola is fitted to the scores at these m: neighbours alone differ by less than seeds do.

As far below 0.30 as above 0.45: a fall far outside would tilt the slopes within."""


def _runs(dataset: str) -> Mapping[float, Metrics]:
    return settings("margin", dataset, number("knob/m"))


def _gain(dataset: str) -> Claim:
    @claim(
        named("C-AM-claim1-gain", dataset),
        says=f"A margin gains: m = 0.35 is above m = 0, which is NormFace's head ({dataset}).",
        verdict=REPRODUCED,
    )
    def check(work: Working) -> None:
        runs = _runs(dataset)
        compare(work, runs, "m = 0.35 gains over 0", {0.35: 1, 0.0: -1}, ENDPOINTS)
        draw_over_m(work.figure(named("fig-3.6-margin-sweep", dataset), 6.8, 5.0), runs)

    return check


def _best(dataset: str) -> Claim:
    @claim(
        named("C-AM-claim1-best", dataset),
        says="The best m lies between 0.30 and 0.45: scores still rise at the one and fall at the other "
        f"({dataset}).",
        verdict=REPRODUCED,
        note="By the slopes of a parabola fitted to the scores at m = 0.25 to 0.50 of each seed.",
    )
    def check(work: Working) -> None:
        runs = _runs(dataset)
        for metric in ENDPOINTS:
            means = {m: statistics.fmean(row) for m in sorted(runs) if (row := in_percent(runs[m], metric))}
            if means:
                work.let(
                    f"{called(metric)}: highest mean {max(means.values()):.2f} % at m = {_highest(means)}"
                )
        gaps = {}
        for metric in ENDPOINTS:
            for what, at, sign in (("rise", LOW, 0.1), ("fall", HIGH, -0.1)):
                weights = {m: sign * weight for m, weight in slope(FITTED, at).items()}
                told = f"{called(metric)}, points per 0.1 of m: {what} at {at:.2f}"
                gaps[told] = points(runs, weights, metric)
        decide(work, gaps)

    return check


def _bend(dataset: str) -> Claim:
    @claim(
        named("C-AM-claim1-bend", dataset),
        says=f"From m = 0.25 to 0.50 the scores bend downwards, as they do around a best value ({dataset}).",
        verdict=REPRODUCED,
        note="By how much that parabola's slope falls from m = 0.30 to 0.45.",
    )
    def check(work: Working) -> None:
        first, last = slope(FITTED, LOW), slope(FITTED, HIGH)
        weights = {m: 0.1 * (first[m] - last[m]) for m in FITTED}
        what = f"per 0.1 of m: slope at {LOW:.2f} minus at {HIGH:.2f}"
        compare(work, _runs(dataset), what, weights, ENDPOINTS)

    return check


def _highest(means: Mapping[float, float]) -> str:
    return f"{max(means, key=means.__getitem__):.2f}"


DATASETS = ("glyphs", "lfw")
gain, gain_lfw = map(_gain, DATASETS)
best, best_lfw = map(_best, DATASETS)
bend, bend_lfw = map(_bend, DATASETS)
