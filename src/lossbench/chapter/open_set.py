"""Where AM-Softmax is said to help most, by the trained runs of Table 3.1 in small."""

from __future__ import annotations

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.committed import Runs, committed
from lossbench.chapter.endpoints import COLUMNS, called
from lossbench.chapter.miniature import LADDER
from lossbench.chapter.orderings import REPRODUCED, decide, points
from lossbench.chapter.printed import printed
from lossbench.chapter.sweeps import below, draw
from lossbench.report.paired import NOBODY, Metrics, Row
from lossbench.report.style import COLOURS

AM, SOFTMAX = "amsoftmax_035", "softmax"
OPEN = tuple(COLUMNS[name][0] for name in ("tar_far_1e_4", "dir_far_1e_2"))
CLOSED = "test/accuracy"
RANK1, VR = (COLUMNS[name][0] for name in ("rank1", "tar_far_1e_6"))
DISTRACTORS = {f"{RANK1}_distractors_{n}": str(n) for n in (10, 100, 1000)} | {RANK1: "all"}
RATES = {f"test/ladder/tar_far_1e_{n}": f"1e-{n}" for n in (6, 5, 4)}


@claim(
    "C-AM-good1",
    says="Open-set identification and verification gain most from AM: more than closed-set accuracy.",
    verdict=REPRODUCED,
    note="AM m = 0.35 over plain softmax, in points: accuracy has less room to gain.",
)
def gain_most(work: Working) -> None:
    runs, gain = committed("table_3_1", "glyphs"), {AM: 1, SOFTMAX: -1}
    beyond = {row: _beyond_closed(runs.get(row, {})) for row in gain}
    closed = points(runs, gain, CLOSED)
    work.let(f"accuracy among the training classes, gain in points: {', '.join(f'{x:+.2f}' for x in closed)}")
    decide(
        work,
        {f"{called(name)}, points gained": points(runs, gain, name) for name in OPEN}
        | {f"{called(name)}, minus what accuracy gains": points(beyond, gain, name) for name in OPEN},
    )


def _beyond_closed(seeds: Metrics) -> Row:
    """Each open-set rate minus accuracy, which is of other pictures: whom the test draws does not move it."""
    row = Row(draws=seeds.draws if isinstance(seeds, Row) else NOBODY)
    for seed, numbers in seeds.items():
        known = [name for name in OPEN if {name, CLOSED} <= numbers.keys()]
        row[seed] = {name: numbers[name] - numbers[CLOSED] for name in known}
    return row


@claim(
    "C-AM-fig23",
    says="Among many distractors AM is above every other loss, at rank 1 and at a low FAR (Figure 3.23).",
    verdict=REPRODUCED,
    note="One backbone for all.",
)
def distractors(work: Working) -> None:
    runs, others = committed("table_3_1", "glyphs"), [row for row in LADDER if row != AM]
    decide(
        work,
        {
            f"{called(metric)}, points: AM minus {row}": points(runs, {AM: 1, row: -1}, metric)
            for metric in (RANK1, VR)
            for row in others
        },
    )
    _draw(work, runs)


def _draw(work: Working, runs: Runs) -> None:
    names = {row["row"]: row["loss"] for row in printed("table_3_1")}
    every = work.figure("fig-3.23-distractors", 7.6, 3.6).subplots(1, 2)
    for axes, metrics in zip(every, (DISTRACTORS, RATES), strict=True):
        for colour, row in zip(COLOURS, reversed(LADDER), strict=False):
            over = {float(place): _of_am(runs, row, name) for place, name in enumerate(metrics)}
            draw(axes, over, colour, names[row])
        axes.set(xticks=range(len(metrics)), xticklabels=list(metrics.values()))
    every[0].set(xlabel="distractors", ylabel="rank 1, % of AM's")
    every[1].set(xlabel="FAR, all distractors", ylabel="TAR, % of AM's")
    below(work.figures["fig-3.23-distractors"], every[0], 3)


def _of_am(runs: Runs, row: str, metric: str) -> list[float]:
    """Scores of a row in percent of those of AM with the same seed: the rates differ tenfold and more."""
    am = runs.get(AM, {})
    return [
        100 * numbers[metric] / am[seed][metric]
        for seed, numbers in runs.get(row, {}).items()
        if metric in numbers and am.get(seed, {}).get(metric)
    ]
