"""Wrong labels and rare classes, trained with: does the margin gain less, and is a smaller one better?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lossbench.chapter.claim import Claim, Missing, Working, claim
from lossbench.chapter.committed import settings
from lossbench.chapter.endpoints import called
from lossbench.chapter.orderings import REPRODUCED, points, with_interval
from lossbench.chapter.sweeps import below, both, compare, draw, in_percent, number
from lossbench.report.paired import Metrics
from lossbench.report.style import COLOURS

DRAWN = "Which labels are wrong and which classes rare is the same in every run."


class Caution(NamedTuple):
    """A sweep over m and one thing that goes wrong in training data: none of it, some, and most of it."""

    sweep: str
    column: str
    levels: Mapping[float, str]

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
)
TAIL = Caution(
    "long_tail",
    "knob/long_tail",
    {1.0: "all images", 10.0: "thinned to 10:1", 100.0: "thinned to 100:1"},
)
METRICS = ("test/tar_far_1e_3", "test/cmc_1", "test/accuracy")
"""Accuracy is over the training classes, two test images each, rare ones as well as others."""
RARE = "test/accuracy_rare"


def _gain(id: str, says: str, one: Caution, stem: str) -> Claim:
    @claim(id, says=says, verdict=REPRODUCED, note=f"In points. {DRAWN}")
    def check(work: Working) -> None:
        runs = one.runs()
        for level, name in one.levels.items():
            for metric in METRICS:
                if gain := points(runs, {(level, 0.35): 1, (level, 0.0): -1}, metric):
                    told = with_interval(gain, "+")
                    work.let(f"{called(metric)}, {name}: points that m = 0.35 gains over 0: {told}")
        what = f"that m = 0.35 gains over 0: {one.levels[one.none]} minus {one.levels[one.most]}"
        compare(work, runs, what, _less(one, 0.35, 0.0), METRICS)
        _draw(work, stem, one, runs)

    return check


def _smaller(id: str, says: str, one: Caution) -> Claim:
    @claim(id, says=says, verdict=REPRODUCED, note=DRAWN)
    def check(work: Working) -> None:
        runs, most = one.runs(), one.levels[one.most]
        for metric in METRICS:
            if gain := points(runs, {(one.most, 0.2): 1, (one.most, 0.35): -1}, metric):
                told = with_interval(gain, "+")
                work.let(f"{called(metric)}, {most}: points that m = 0.20 gains over 0.35: {told}")
        what = f"that m = 0.20 gains over 0.35: {most} minus {one.levels[one.none]}"
        compare(work, runs, what, _less(one, 0.35, 0.2), METRICS)  # which 0.20 gains over 0.35

    return check


def _less(one: Caution, high: float, low: float) -> dict[tuple[float, float], float]:
    """Weights: what m = ``high`` gains over ``low`` where nothing goes wrong, minus where most does."""
    return {(one.none, high): 1, (one.none, low): -1, (one.most, high): -1, (one.most, low): 1}


def _draw(work: Working, stem: str, one: Caution, runs: Mapping[tuple[float, float], Metrics]) -> None:
    figure = work.figure(stem, 3.2 * len(METRICS), 3.4)
    every = figure.subplots(1, len(METRICS))
    for axes, metric in zip(every, METRICS, strict=True):
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
    "C-AM-lim-noise-m",
    "Where labels are wrong, prefer a smaller m: 0.20 fares better beside 0.35 than without wrong labels.",
    NOISE,
)
tail_gain = _gain(
    "C-AM-lim-imb",
    "Where classes are rare, a tight margin fits less well: it gains less than with all their images.",
    TAIL,
    "fig-3.6-long-tail",
)
tail_smaller = _smaller(
    "C-AM-lim-imb-m",
    "Where classes are rare, prefer a smaller m: 0.20 fares better beside 0.35 than with all images.",
    TAIL,
)


@claim(
    "C-AM-lim-imb-rare",
    says="A tight margin underfits rare classes: fewer of their pictures are right at m = 0.35 than at 0.",
    verdict=REPRODUCED,
    note=f"Of the third of the classes with the fewest training pictures, and those with as few. {DRAWN}",
)
def rare_classes(work: Working) -> None:
    runs = TAIL.runs()
    for m in (0.0, 0.2, 0.35):
        work.let(f"{called(RARE)}, m = {m:g}: {with_interval(points(runs, {(TAIL.most, m): 1}, RARE))} %")
    lost = {(TAIL.most, 0.0): 1, (TAIL.most, 0.35): -1}
    if not points(runs, lost, RARE):
        raise Missing(f"{called(RARE)}: runs of an older version lack it: sweep={TAIL.sweep} force=true")
    compare(work, runs, "lost from m = 0 to 0.35", lost, [RARE])
