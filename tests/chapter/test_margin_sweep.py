"""The m curve from made-up runs: where it is highest, and what one seed cannot tell."""

from __future__ import annotations

import pytest

from lossbench.chapter import margin_sweep
from lossbench.chapter.claim import examine
from lossbench.chapter.endpoints import ENDPOINTS
from lossbench.chapter.orderings import CONTRADICTED, NOT_RESOLVED, REPRODUCED
from tests.chapter.checking import every_claim, names_the_sweep, stays_open
from tests.chapter.sweeping import jitter, write_runs

MARGINS = [0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6]


@pytest.fixture
def curve(tmp_path, monkeypatch):
    """Write runs whose scores are a parabola of m."""
    monkeypatch.chdir(tmp_path)

    def write(top, bend=1.0, seeds=3, dataset="glyphs"):
        def scores(seed, m):
            return {
                metric: 0.6 + 0.02 * seed - bend * (m - top) ** 2 + jitter(seed, m, place)
                for place, metric in enumerate(ENDPOINTS)
            }

        write_runs(tmp_path, "margin", {"m": MARGINS}, scores, seeds=seeds, dataset=dataset)

    return write


def dataset_of(claim):
    return "lfw" if claim.id.endswith("-lfw") else "glyphs"


HALF = "mixed: reproduced in 4 of 8, contradicted in 4"


def verdicts():
    claims = (margin_sweep.gain, margin_sweep.best, margin_sweep.bend)
    return [examine(claim).verdict for claim in claims]


@pytest.mark.parametrize(
    ("top", "bend", "expected"),
    [
        (0.375, 1.0, [REPRODUCED, REPRODUCED, REPRODUCED]),
        (0.6, 1.0, [REPRODUCED, HALF, REPRODUCED]),  # still rising at 0.45
        (0.1, 1.0, [CONTRADICTED, HALF, REPRODUCED]),  # falling from 0.30 on
        (0.375, -1.0, [CONTRADICTED, CONTRADICTED, CONTRADICTED]),
        (0.375, 0.0, [NOT_RESOLVED, NOT_RESOLVED, NOT_RESOLVED]),
    ],
)
def test_the_best_margin_is_told_from_the_slopes(curve, top, bend, expected):
    curve(top, bend)
    assert verdicts() == expected


def test_slopes_are_in_points_per_tenth_of_m(curve):
    curve(0.375)
    found = examine(margin_sweep.best)
    # 2 * 0.075 = 0.15 by m: 1.5 points by a tenth of it, at either end.
    assert len(found.work.measured) == 8
    for cell in found.work.measured:
        assert float(cell.split(",")[0]) == pytest.approx(1.5, abs=0.1)
    highest = [step[-4:] for step in found.work.steps if "highest mean" in step]
    assert len(highest) == 4
    assert set(highest) <= {"0.35", "0.40"}


def test_the_gain_is_in_points_and_drawn(curve):
    curve(0.375)
    found = examine(margin_sweep.gain)
    for cell in found.work.measured:
        assert float(cell.split(",")[0]) == pytest.approx(100 * (0.375**2 - 0.025**2), abs=0.2)
    axes = found.work.figures["fig-3.6-margin-sweep"].axes
    assert [len(one.collections) for one in axes] == [1] * 4  # a band over the seeds in each


@every_claim(margin_sweep)
def test_one_seed_decides_nothing_and_says_so(curve, claim):
    curve(0.375, seeds=1, dataset=dataset_of(claim))
    stays_open(claim)


@every_claim(margin_sweep)
def test_without_runs_the_command_is_told(tmp_path, monkeypatch, claim):
    monkeypatch.chdir(tmp_path)
    names_the_sweep(claim, f"sweep=margin dataset={dataset_of(claim)}")
