"""Wrong labels and rare classes from made-up runs: whether the margin gains less, and which m is better."""

from __future__ import annotations

import pytest

from lossbench.chapter import cautions
from lossbench.chapter.claim import examine
from lossbench.chapter.orderings import CONTRADICTED, NOT_RESOLVED, REPRODUCED
from tests.chapter.checking import every_claim, names_the_sweep, stays_open
from tests.chapter.sweeping import jitter, write_runs

MARGINS = [0, 0.1, 0.2, 0.35, 0.5]
SWEEPS = {
    "label_noise": (cautions.NOISE, [None, 0.1, 0.2, 0.4], cautions.noise_gain, cautions.noise_smaller),
    "long_tail": (cautions.TAIL, [None, 10, 100], cautions.tail_gain, cautions.tail_smaller),
}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Write runs: at the lowest level a parabola with its top at m = 0.5, at the others at ``top``."""
    monkeypatch.chdir(tmp_path)

    def write(name, top, seeds=3):
        _, levels, *_ = SWEEPS[name]

        def scores(seed, m, **knob):
            (level,) = knob.values()
            best = 0.5 if level is None else top
            rare = (cautions.RARE,) if level else ()
            return {
                metric: 0.6 + 0.02 * seed - (m - best) ** 2 + jitter(seed, m, level or 0, place)
                for place, metric in enumerate((*cautions.METRICS, *rare))
            }

        write_runs(tmp_path, name, {"m": MARGINS, name: levels}, scores, seeds=seeds)

    return write


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize(
    ("top", "gain", "smaller"),
    [
        (0.1, REPRODUCED, REPRODUCED),
        (0.6, CONTRADICTED, CONTRADICTED),
        (0.275, REPRODUCED, REPRODUCED),  # gains less, and 0.20 and 0.35 are equally good now
        (0.5, NOT_RESOLVED, NOT_RESOLVED),
    ],
)
def test_gains_and_margins_are_compared_between_the_levels(sweep, name, top, gain, smaller):
    sweep(name, top)
    *_, gains, smallers = SWEEPS[name]
    assert (examine(gains).verdict, examine(smallers).verdict) == (gain, smaller)


@pytest.mark.parametrize(("top", "verdict"), [(0.1, REPRODUCED), (0.275, CONTRADICTED)])
def test_what_rare_classes_lose_is_judged_by_their_own_accuracy(sweep, top, verdict):
    sweep("long_tail", top)
    found = examine(cautions.rare_classes)
    assert found.verdict == verdict
    lost = 100 * ((0.35 - top) ** 2 - top**2)
    assert float(found.work.measured[0].split(",")[0]) == pytest.approx(lost, abs=0.1)


def test_gains_of_every_level_are_told_in_points(sweep):
    sweep("label_noise", 0.1)
    found = examine(cautions.noise_gain)
    assert len([step for step in found.work.steps if ": points that m" in step]) == 3 * 4
    clean, wrong = 100 * (0.5**2 - 0.15**2), 100 * (0.1**2 - 0.25**2)
    for cell in found.work.measured:
        assert float(cell.split(",")[0]) == pytest.approx(clean - wrong, abs=0.4)


@pytest.mark.parametrize(("name", "stem", "panels", "lines"), [
    ("label_noise", "fig-3.6-label-noise", 3, 4), ("long_tail", "fig-3.6-long-tail", 3, 3)
])  # fmt: skip
def test_every_level_is_a_line(sweep, name, stem, panels, lines):
    sweep(name, 0.1)
    figure = examine(SWEEPS[name][2]).work.figures[stem]
    assert [len(one.collections) for one in figure.axes] == [lines] * panels
    first, *_, worst = figure.axes[0].lines[::2]  # means; between them the seeds
    assert [list(line.get_xdata()) for line in (first, worst)] == [MARGINS, MARGINS]
    assert [int(line.get_ydata().argmax()) for line in (first, worst)] == [4, 1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(
        SWEEPS[name][0].levels.values()
    )


@every_claim(cautions)
def test_one_seed_decides_nothing_and_says_so(sweep, claim):
    for name in SWEEPS:
        sweep(name, 0.1, seeds=1)
    stays_open(claim)


@every_claim(cautions)
def test_without_runs_the_command_is_told(tmp_path, monkeypatch, claim):
    monkeypatch.chdir(tmp_path)
    names_the_sweep(claim, "python -m lossbench sweep=l")
