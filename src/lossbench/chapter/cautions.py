"""Wrong labels and rare classes, trained with: does the margin gain less, and is a smaller one better?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lossbench.chapter.claim import Claim, Working, claim
from lossbench.chapter.committed import Metrics, settings
from lossbench.chapter.endpoints import CHANCE, called
from lossbench.chapter.orderings import REPRODUCED, points, with_interval
from lossbench.chapter.sweeps import (
    below,
    both,
    compare,
    draw,
    in_percent,
    number,
)
from lossbench.report.style import COLOURS

DRAWN = "Which labels are wrong and which classes rare is the same in every run."


class Caution(NamedTuple):
    """A sweep over m and one thing that goes wrong in training data: none of it, some, and most of it."""

    sweep: str
    column: str
    levels: Mapping[float, str]
    metrics: Sequence[str]

    @property
    def none(self) -> float:
        return min(self.levels)

    @property
    def most(self) -> float:
        return max(self.levels)

    def runs(self) -> Mapping[tuple[float, float], Metrics]:
        """(level, m) -> seed -> metric -> value."""
        return settings(self.sweep, "glyphs", both(number(self.column, self.none), number("knob/m")))


NOISE = Caution(
    "label_noise",
    "knob/label_noise",
    {0.0: "no wrong labels", 0.1: "10 % wrong", 0.2: "20 % wrong", 0.4: "40 % wrong"},
    ("test/tar_far_1e_3", "test/cmc_1"),
)
TAIL = Caution(
    "long_tail",
    "knob/long_tail",
    {1.0: "all images", 10.0: "thinned to 10:1", 100.0: "thinned to 100:1"},
    ("test/tar_far_1e_3", "test/cmc_1", "test/accuracy"),
)
"""Accuracy is over the training classes, two test images each, rare ones as well as others."""


def _gain(id: str, says: str, one: Caution, stem: str) -> Claim:
    @claim(
        id,
        says=says,
        verdict=REPRODUCED,
        correct=f"In points: lower scores leave less to gain. {DRAWN} {CHANCE}",
    )
    def check(work: Working) -> None:
        runs = one.runs()
        for level, name in one.levels.items():
            for metric in one.metrics:
                if gain := points(runs, {(level, 0.35): 1, (level, 0.0): -1}, metric):
                    told = with_interval(gain, "+")
                    work.let(f"{called(metric)}, {name}: points that m = 0.35 gains over 0: {told}")
        less = {(one.none, 0.35): 1, (one.none, 0.0): -1, (one.most, 0.35): -1, (one.most, 0.0): 1}
        what = f"that m = 0.35 gains over 0: {one.levels[one.none]} minus {one.levels[one.most]}"
        compare(work, runs, what, less, one.metrics)
        _draw(work, stem, one, runs)

    return check


def _smaller(id: str, says: str, one: Caution) -> Claim:
    @claim(id, says=says, verdict=REPRODUCED, correct=f"{DRAWN} {CHANCE}")
    def check(work: Working) -> None:
        smaller = {(one.most, 0.2): 1, (one.most, 0.35): -1}
        compare(work, one.runs(), f"m = 0.20 gains over 0.35, {one.levels[one.most]}", smaller, one.metrics)

    return check


def _draw(work: Working, stem: str, one: Caution, runs: Mapping[tuple[float, float], Metrics]) -> None:
    figure = work.figure(stem, 3.2 * len(one.metrics), 3.4)
    every = figure.subplots(1, len(one.metrics))
    for axes, metric in zip(every, one.metrics, strict=True):
        for colour, (level, name) in zip(COLOURS, one.levels.items(), strict=False):
            over = {m: in_percent(seeds, metric) for (at, m), seeds in runs.items() if at == level}
            draw(axes, over, colour, name)
        axes.set_title(called(metric))
        axes.set_xlabel("margin m")
    every[0].set_ylabel("percent")
    below(figure, every[0], len(one.levels))


noise_gain = _gain(
    "C-AM-lim-noise",
    "With wrong labels a hard margin asks too much: it gains less than without them.",
    NOISE,
    "fig-3.6-label-noise",
)
noise_smaller = _smaller(
    "C-AM-lim-noise-m", "Where labels are wrong, a smaller m is better: 0.20 above 0.35.", NOISE
)
tail_gain = _gain(
    "C-AM-lim-imb",
    "Where classes are rare, a margin fits them too little: it gains less than with all their images.",
    TAIL,
    "fig-3.6-long-tail",
)
tail_smaller = _smaller(
    "C-AM-lim-imb-m", "Where classes are rare, a slightly smaller m is better: 0.20 above 0.35.", TAIL
)
