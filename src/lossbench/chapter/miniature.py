"""Table 3.1 in small: the same thirteen rows on one backbone, trained here, beside what is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lossbench.chapter.claim import Claim, Working, claim
from lossbench.chapter.committed import Runs, committed
from lossbench.chapter.endpoints import COLUMNS, ENDPOINTS, called
from lossbench.chapter.orderings import (
    CONTRADICTED,
    NOT_RESOLVED,
    REPRODUCED,
    Ordering,
    orderings,
    points,
    summary,
    with_interval,
)
from lossbench.chapter.printed import printed
from lossbench.chapter.sweeps import draw, in_percent
from lossbench.report.names import format_p
from lossbench.report.paired import Difference, Metrics
from lossbench.report.style import COLOURS, FAINT

DATASETS = ("glyphs", "lfw", "omniglot")
LADDER = ("softmax", "softmax_dropout", "center", "normface", "asoftmax", "amsoftmax_035")
MARGINS = tuple(f"amsoftmax_{m:03d}" for m in (25, 30, 35, 40, 45, 50))


def _judge(work: Working, found: Sequence[Ordering]) -> None:
    """Write down every ordering, and the verdict over all of them."""
    for one in found:
        gap = one.difference
        told = f"{_in_points(gap)} over {gap.chance_of}, Holm p {format_p(gap.p)}"
        above = f"above in {gap.above} of {gap.seeds} seeds"
        work.let(f"{one.upper} over {one.lower}, {called(one.metric)}: {told}, {above}: {one.verdict}")
    for metric in dict.fromkeys(one.metric for one in found):
        row = [one for one in found if one.metric == metric]
        verdicts = [one.verdict for one in row]
        counts = {word: verdicts.count(word) for word in (REPRODUCED, NOT_RESOLVED, CONTRADICTED)}
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        against = [
            f"{one.upper} {100 * one.difference.mean:+.1f} over {one.lower}"
            for one in row
            if one.verdict == CONTRADICTED
        ]
        work.expected.append(f"{called(metric)}: {len(row)} steps upwards")
        work.measured.append(told + (f" ({', '.join(against)})" if against else ""))
    work.verdict = summary([one.verdict for one in found])


def _in_points(one: Difference) -> str:
    return f"{100 * one.mean:+.2f} points, 95 % {100 * one.low:+.2f} to {100 * one.high:+.2f}"


def _known(work: Working, runs: Runs) -> list[str]:
    """The endpoints that this data set has: without distractors there is no ladder."""
    every = {metric for row in runs.values() for numbers in row.values() for metric in numbers}
    if lacking := [called(metric) for metric in ENDPOINTS if metric not in every]:
        work.let(f"not to be had on this set: {', '.join(lacking)}")
    return [metric for metric in ENDPOINTS if metric in every]


def _table(runs: Runs, dataset: str, found: Sequence[Ordering]) -> str:
    rank1 = {
        row["row"]: row["rank1"] + ("*" if row["status"] == "from memory" else "")
        for row in printed("megaface_rank1")
    }
    names = [name for _, name in COLUMNS.values()]
    lines = [
        f"# Table 3.1 in small, on {dataset}",
        "",
        "Printed value / ours: mean over seeds with its 95 % interval, percent. The printed values are of "
        "faces, a million distractors and nets of 20 to 28 layers; ours of a net of five convolutions on "
        f"{dataset}: only the orderings can be compared. The column printed as MegaFace Rank1@1e6 is most "
        f"likely DIR@FAR=1e-2 (X-00); rank 1 is that of the paper. Chance is that of "
        f"{' or '.join(sorted({one.difference.chance_of for one in found}))}; in pairs in folds, of seeds. "
        "Intervals are not adjusted for their number, p and verdicts are (Holm, all steps below).",
        "",
        "\\* quoted from memory, not looked up in the paper: not to be cited.",
        "",
        "| loss | m | seeds | " + " | ".join(names) + " |",
        "|---|---|---:|" + "---:|" * len(names),
    ]
    for row in printed("table_3_1"):
        seeds = runs.get(row["row"], {})
        cells = []
        for name, (metric, _) in COLUMNS.items():
            ours = with_interval(points(runs, {row["row"]: 1}, metric))
            cells.append(f"{rank1[row['row']] if name == 'rank1' else row[name]} / {ours}")
        fn = ", no FN" if row["fn"] == "no" and row["m"] and row["loss"].startswith("AM") else ""
        lines.append(f"| {row['loss']}{fn} | {row['m']} | {len(seeds)} | " + " | ".join(cells) + " |")
    lines += ["", "| above | below | metric | difference, points | Holm p | seeds above | verdict |"]
    lines.append("|---|---|---|---:|---:|---:|---|")
    for one in found:
        gap = one.difference
        told = f"{100 * gap.mean:+.2f} ({100 * gap.low:+.2f} to {100 * gap.high:+.2f})"
        cells = [one.upper, one.lower, called(one.metric), told, format_p(gap.p)]
        lines.append("| " + " | ".join([*cells, f"{gap.above} of {gap.seeds}", one.verdict]) + " |")
    return "\n".join([*lines, ""])


def _ladder(dataset: str) -> Claim:
    @claim(
        named("C-AM-T31", dataset),
        says="Softmax, with dropout, Center loss, NormFace, A-Softmax, AM-Softmax: each better than the one "
        f"before ({dataset}).",
        verdict=REPRODUCED,
    )
    def check(work: Working) -> None:
        runs = committed("table_3_1", dataset)
        found = orderings(runs, list(zip(LADDER[1:], LADDER, strict=False)), _known(work, runs))
        _judge(work, found)
        work.pages[f"table_3_1_{dataset}"] = _table(runs, dataset, found)

    return check


def _margins(dataset: str) -> Claim:
    @claim(
        named("C-AM-claim1", dataset),
        says="m = 0.35 is above 0.25, and 0.40 above 0.50: the middle of the range is a good balance "
        f"({dataset}).",
        verdict=REPRODUCED,
    )
    def check(work: Working) -> None:
        runs = committed("table_3_1", dataset)
        pairs = [("amsoftmax_035", "amsoftmax_025"), ("amsoftmax_040", "amsoftmax_050")]
        _judge(work, orderings(runs, pairs, _known(work, runs)))
        over = {int(row[-3:]) / 100: runs[row] for row in MARGINS if row in runs}
        draw_over_m(work.figure(f"fig-m-{dataset}", 6.8, 5.0), over)

    return check


def _no_fn(dataset: str) -> Claim:
    @claim(
        named("C-AM-nofn", dataset),
        says="Without feature normalisation BLUFR's TAR at the lower FAR and DIR gain, at m = 0.35 and 0.40 "
        f"({dataset}).",
        verdict=REPRODUCED,
    )
    def check(work: Working) -> None:
        pairs = [(f"amsoftmax_no_fn_{m}", f"amsoftmax_{m}") for m in ("035", "040")]
        runs = committed("table_3_1", dataset)
        metrics = [COLUMNS[name][0] for name in ("tar_far_1e_4", "dir_far_1e_2")]
        others = [metric for metric in _known(work, runs) if metric not in metrics]
        for upper, lower in pairs:
            for metric in others:
                gain = with_interval(points(runs, {upper: 1, lower: -1}, metric), "+")
                work.let(f"beside what is claimed: {upper} over {lower}, {called(metric)}, points: {gain}")
        _judge(work, orderings(runs, pairs, metrics))

    return check


def draw_over_m(figure: Figure, runs: Mapping[float, Metrics]) -> None:
    """A panel for each endpoint, with the middle of the range that the chapter recommends shaded."""
    every = figure.subplots(2, 2, sharex=True)
    for axes, colour, metric in zip(every.flat, COLOURS, ENDPOINTS, strict=False):
        axes.axvspan(0.3, 0.45, color=FAINT, alpha=0.3, linewidth=0)
        draw(axes, {m: in_percent(seeds, metric) for m, seeds in runs.items()}, colour)
        axes.set_title(called(metric))
    for axes in every[1]:
        axes.set_xlabel("margin m")
    for axes in every[:, 0]:
        axes.set_ylabel("percent")


def named(name: str, dataset: str) -> str:
    """The name of a claim or a figure on a data set; glyphs go without saying."""
    return name if dataset == "glyphs" else f"{name}-{dataset}"


ladder_glyphs, ladder_lfw, ladder_omniglot = map(_ladder, DATASETS)
margins_glyphs, margins_lfw, margins_omniglot = map(_margins, DATASETS)
no_fn_glyphs, no_fn_lfw, no_fn_omniglot = map(_no_fn, DATASETS)
