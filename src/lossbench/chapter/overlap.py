"""Table 3.2 in small: what it gains to have trained on people that are tested on."""

from __future__ import annotations

from collections.abc import Mapping

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.committed import settings
from lossbench.chapter.endpoints import CHANCE, COLUMNS, ENDPOINTS, called
from lossbench.chapter.orderings import REPRODUCED, points, with_interval
from lossbench.chapter.printed import printed
from lossbench.chapter.sweeps import compare, number
from lossbench.report.paired import Metrics

PRINTED = {"megaface_rank1": COLUMNS["rank1"][0], "megaface_vr": COLUMNS["tar_far_1e_6"][0]}
"""Printed column -> our metric."""
SHARES = (0.0, 0.1, 0.25, 0.5)


@claim(
    "C-AM-T32-trained",
    says="To have trained on people that are tested on raises the scores (Table 3.2).",
    verdict=REPRODUCED,
    note="On other pictures of half of them, against none, the test pictures being the same. It also "
    "makes a third more classes (the chapter's overlap: 0.6 %), so not all of it is knowing the people.",
)
def leak(work: Working) -> None:
    runs = settings("table_3_2", "glyphs", number("knob/leak"))
    for metric, (removed, kept) in _printed().items():
        work.let(f"printed for {called(metric)}: {removed:.2f} without them, {kept - removed:+.2f} with")
    half = {SHARES[-1]: 1, SHARES[0]: -1}
    compare(work, runs, "gained by half of them leaked", half, list(PRINTED.values()))
    work.pages["table_3_2"] = _page(runs)


def _printed() -> dict[str, tuple[float, float]]:
    """Our metric -> percent with the overlap removed, and kept."""
    kept, removed = printed("table_3_2")
    return {metric: (float(removed[name]), float(kept[name])) for name, metric in PRINTED.items()}


def _page(runs: Mapping[float, Metrics]) -> str:
    lines = [
        "# Table 3.2 in small, on glyphs",
        "",
        "Percent: as printed, and ours as the mean over seeds with its 95 % interval. Printed are faces and "
        "a ResNet-20, with and without the people in the training set who are tested on; ours a net of five "
        "convolutions on glyphs, trained on half of the images of so many of the test identities as well. "
        f"Those images are left out of the test at every share. C{CHANCE[1:]}",
        "",
        "| trained on test identities | seeds | " + " | ".join(called(metric) for metric in ENDPOINTS) + " |",
        "|---|---:|" + "---:|" * len(ENDPOINTS),
    ]
    for place, name in enumerate(("printed: removed", "printed: kept")):
        shown = {metric: f"{pair[place]:.2f}" for metric, pair in _printed().items()}
        lines.append(f"| {name} | | " + " | ".join(shown.get(metric, "") for metric in ENDPOINTS) + " |")
    for share in filter(runs.get, SHARES):
        seeds = runs[share]
        cells = [with_interval(points(runs, {share: 1}, metric)) for metric in ENDPOINTS]
        lines.append(f"| {100 * share:g} % | {len(seeds)} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "What it gains, points, paired by seed; intervals are not adjusted for their number.",
        "",
        "| | " + " | ".join(called(metric) for metric in ENDPOINTS) + " |",
        "|---|" + "---:|" * len(ENDPOINTS),
    ]
    gains = {metric: f"{kept - removed:+.2f}" for metric, (removed, kept) in _printed().items()}
    lines.append("| printed: kept minus removed | " + " | ".join(gains.get(m, "") for m in ENDPOINTS) + " |")
    for share in filter(runs.get, SHARES[1:]):
        leaked = {share: 1, SHARES[0]: -1}
        cells = [with_interval(points(runs, leaked, metric), "+") for metric in ENDPOINTS]
        lines.append(f"| {100 * share:g} % minus none | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])
