"""Table 3.2 in small from made-up runs: the gain of a leak, and the page."""

from __future__ import annotations

import pytest

from lossbench.chapter import overlap
from lossbench.chapter.claim import NOT_RUN, examine
from lossbench.chapter.endpoints import ENDPOINTS
from lossbench.chapter.orderings import CONTRADICTED, NOT_RESOLVED, REPRODUCED
from tests.chapter.sweeping import jitter, write_runs


@pytest.fixture
def leaks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(gain, seeds=3, shares=(0, 0.1, 0.25, 0.5)):
        def scores(seed, leak):
            return {
                metric: 0.5 + 0.02 * seed + gain * leak + jitter(seed, leak, place)
                for place, metric in enumerate(ENDPOINTS)
            }

        write_runs(tmp_path, "table_3_2", {"leak": list(shares)}, scores, seeds=seeds)

    return write


@pytest.mark.parametrize(("gain", "verdict"), [(0.1, REPRODUCED), (-0.1, CONTRADICTED), (0.0, NOT_RESOLVED)])
def test_half_of_them_is_compared_with_none(leaks, gain, verdict):
    leaks(gain)
    found = examine(overlap.leak)
    assert found.verdict == verdict
    assert [cell.split(",")[0] for cell in found.work.expected] == ["rank-1", "TAR@FAR=1e-6"]
    for cell in found.work.measured:
        assert float(cell.split(",")[0]) == pytest.approx(50 * gain, abs=0.1)


def test_the_page_puts_ours_beside_the_printed_table(leaks):
    leaks(0.1)
    lines = examine(overlap.leak).work.pages["table_3_2"].splitlines()
    assert "| printed: removed | |  |  | 72.47 | 84.44 |" in lines
    assert "| printed: kept | |  |  | 75.23 | 87.06 |" in lines
    assert "| printed: kept minus removed |  |  | +2.76 | +2.62 |" in lines
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}
    assert rows["25 %"].startswith("| 25 % | 3 | 54.5")
    assert rows["25 % minus none"].startswith("| 25 % minus none | +2.5")
    assert {line.count("|") for line in lines if line.startswith("| ")} == {6, 7}


def test_shares_that_are_not_trained_have_no_rows(leaks):
    leaks(0.1, shares=(0, 0.5))
    page = examine(overlap.leak).work.pages["table_3_2"]
    assert "| 50 % minus none |" in page
    assert "| 10 %" not in page


def test_one_seed_decides_nothing_and_says_so(leaks):
    leaks(0.1, seeds=1)
    found = examine(overlap.leak)
    assert found.verdict == NOT_RESOLVED
    assert all("1 seed: three are needed" in cell for cell in found.work.measured)


def test_without_runs_the_command_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = examine(overlap.leak)
    assert found.verdict == NOT_RUN
    assert "sweep=table_3_2 dataset=glyphs" in found.reason
