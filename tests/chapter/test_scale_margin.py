"""The grid of s and m from made-up runs: what the default and the rule of tuning miss."""

from __future__ import annotations

import math
from itertools import product

import pytest

from lossbench.chapter import scale_margin
from lossbench.chapter.claim import NOT_RUN, examine
from lossbench.chapter.orderings import CONTRADICTED, NOT_RESOLVED, REPRODUCED
from lossbench.chapter.scale_margin import CHOSEN_BY, CONVERGED, JUDGED_BY, by_the_grid, by_the_rule
from tests.chapter.checking import every_claim, names_the_sweep
from tests.chapter.sweeping import write_runs


def known(best=(30, 0.35), stalls=1.0, loss=0.02, noise=0.0):
    """Scores of a seed that fall by ``loss`` for each step from the best cell; training stalls from an m."""

    def scores(seed, s, m):
        steps = abs(math.log2(s / best[0])) + abs(m - best[1]) / 0.05
        value = 0.5 - loss * steps + noise * seed * steps
        return {CHOSEN_BY: value, JUDGED_BY: value - 0.1, CONVERGED: 0.9 if m < stalls - 1e-6 else 0.8}

    return scores


def of_seed(scores):
    cells = product(scale_margin.SCALES, scale_margin.MARGINS)
    return {(s, m): scores(0, s, m) for s, m in cells}


@pytest.mark.parametrize(
    ("best", "stalls", "chosen", "runs"),
    [
        ((30, 0.35), 1.0, (30, 0.45), 5),  # as far as it converges, better or not
        ((30, 0.35), 0.4, (30, 0.35), 4),
        ((64, 0.25), 0.45, (64, 0.40), 5),
        ((16, 0.45), 1.0, (16, 0.45), 5),
    ],
)
def test_the_rule_raises_m_while_training_converges_and_then_tries_the_other_scales(
    best, stalls, chosen, runs
):
    assert by_the_rule(of_seed(known(best, stalls))) == (chosen, runs)
    assert by_the_grid(of_seed(known(best, stalls))) == (best, 15)


def test_the_choice_is_made_on_validation_identities_and_judged_on_the_test_ones():
    cells = of_seed(known((64, 0.4)))
    flipped = {cell: {**row, JUDGED_BY: -row[JUDGED_BY]} for cell, row in cells.items()}
    assert by_the_grid(flipped).cell == (64, 0.4)


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(scores, seeds=3):
        setting = {"s": scale_margin.SCALES, "m": scale_margin.MARGINS}
        return write_runs(tmp_path, "scale_margin", setting, scores, seeds=seeds)

    return write


@pytest.mark.parametrize(
    ("scores", "default", "tuned"),
    [
        (known(), REPRODUCED, CONTRADICTED),  # raising m to 0.45 costs 4 points, the same in each seed
        (known(stalls=0.4), REPRODUCED, REPRODUCED),
        (known((16, 0.45)), CONTRADICTED, REPRODUCED),
        (known((30, 0.45), loss=0.005, noise=0.004), NOT_RESOLVED, NOT_RESOLVED),
    ],
)
def test_a_choice_is_right_when_its_interval_stays_within_a_point(grid, scores, default, tuned):
    grid(scores)
    assert examine(scale_margin.default).verdict == default
    assert examine(scale_margin.tuned).verdict == tuned


def test_points_below_the_grid_are_told(grid):
    grid(known((16, 0.45)))
    found = examine(scale_margin.default)
    assert found.work.measured == [
        "+5.81, 95 % +5.81 to +5.81 over 3 seeds"
    ]  # 2 points for each of two steps and log2 30/16
    assert any("(30, 0.35) of 1 trained, (16, 0.45) of 15: +5.81" in step for step in found.work.steps)


def test_cells_show_mean_and_spread_and_a_dash_where_one_seed_has_none(grid):
    path = grid(known(noise=0.001))
    texts = [[text.get_text() for text in axes.texts] for axes in drawn()]
    assert texts[0][7] == "40.00"
    assert "-" not in texts[0] + texts[1]
    assert texts[1][:2] == ["0.29", "0.19"]  # of s = 16, m = 0.25 and 0.30
    without(path, "'s': 16.0, 'm': 0.25}1", "'s': 16.0, 'm': 0.25}2")
    assert drawn()[1].texts[0].get_text() == "-"


def without(path, *ids):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not any(each in line for each in ids)))


def drawn():
    return examine(scale_margin.default).work.figures["fig-3.6-scale-margin"].axes


@every_claim(scale_margin)
def test_one_seed_decides_nothing_and_says_so(grid, claim):
    grid(known(), seeds=1)
    found = examine(claim)
    assert found.verdict == NOT_RESOLVED
    assert "1 of three seeds" in found.work.measured[0]


@every_claim(scale_margin)
def test_an_unfinished_grid_is_not_judged(grid, claim):
    path = grid(known())
    without(path, "'s': 64.0, 'm': 0.4}")
    found = examine(claim)
    assert (found.verdict, found.reason) == (
        NOT_RUN,
        "no seed has all 15 runs of the grid: let the sweep finish",
    )


@every_claim(scale_margin)
def test_without_runs_the_command_is_told(tmp_path, monkeypatch, claim):
    monkeypatch.chdir(tmp_path)
    names_the_sweep(claim, "sweep=scale_margin dataset=glyphs")
