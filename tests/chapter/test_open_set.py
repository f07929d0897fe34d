"""Where AM helps most, from made-up runs of Table 3.1."""

from __future__ import annotations

import csv
import re

import pytest

from lossbench.chapter import open_set
from lossbench.chapter.claim import NOT_RUN, examine
from lossbench.chapter.miniature import LADDER
from lossbench.chapter.orderings import CONTRADICTED, REPRODUCED
from tests.chapter.checking import every_claim, stays_open
from tests.chapter.sweeping import jitter

METRICS = [open_set.CLOSED, *open_set.OPEN, *open_set.DISTRACTORS, *open_set.RATES]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write the rows of the ladder: AM above the others by so much, accuracy by 0.02."""
    monkeypatch.chdir(tmp_path)

    def write(gain, seeds=3, rows=LADDER):
        folder = tmp_path / "results" / "table_3_1"
        folder.mkdir(parents=True)
        with (folder / "runs.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", "dataset", "seed", "row", *METRICS])
            for row in rows:
                for seed in range(seeds):
                    scores = [
                        0.5 + 0.02 * seed + jitter(seed, len(row), place)
                        + (row == open_set.AM) * (gain if metric != open_set.CLOSED else 0.02)
                        for place, metric in enumerate(METRICS)
                    ]  # fmt: skip
                    writer.writerow([f"{row}{seed}", "glyphs", seed, row, *scores])

    return write


@pytest.mark.parametrize(
    ("gain", "most", "above"),
    [
        (0.05, REPRODUCED, REPRODUCED),
        (0.01, "mixed: reproduced in 2 of 4, contradicted in 2", REPRODUCED),  # gains, less than accuracy
        (-0.05, CONTRADICTED, CONTRADICTED),
    ],
)
def test_gains_are_compared_with_that_of_accuracy(table, gain, most, above):
    table(gain)
    assert (examine(open_set.gain_most).verdict, examine(open_set.distractors).verdict) == (most, above)


def test_the_gain_beyond_that_of_accuracy_is_in_points(table):
    table(0.05)
    found = examine(open_set.gain_most)
    gains = [float(cell.split(",")[0]) for cell in found.work.measured]
    assert gains == pytest.approx([5, 5, 3, 3], abs=0.2)


def test_every_loss_is_drawn_over_distractors_and_over_rates(table):
    table(0.05)
    found = examine(open_set.distractors)
    assert len(found.work.measured) == 2 * 5
    left, right = found.work.figures["fig-3.23-distractors"].axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["10", "100", "1000", "all"]
    assert [text.get_text() for text in right.get_xticklabels()] == ["1e-6", "1e-5", "1e-4"]
    assert len(left.collections) == len(right.collections) == len(LADDER)
    own = next(line for line in right.lines if line.get_label() == "AM-Softmax")
    assert own.get_ydata().tolist() == [100] * 3
    other = next(line for line in right.lines if line.get_label() == "NormFace")
    assert other.get_ydata() == pytest.approx(100 * 0.52 / 0.57, abs=0.1)


@every_claim(open_set)
def test_one_seed_decides_nothing_and_says_so(table, claim):
    table(0.05, seeds=1)
    stays_open(claim)


@every_claim(open_set)
def test_a_row_that_is_not_trained_yet_is_named(table, claim):
    table(0.05, rows=LADDER[1:])
    found = examine(claim)
    assert found.verdict == NOT_RUN
    assert re.search("points( gained|: AM minus softmax): no seed has all runs for it", found.reason)
