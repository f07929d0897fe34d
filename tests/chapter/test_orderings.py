"""Orderings of trained runs: verdicts from paired seeds, and the pages made of them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy import stats

from lossbench.chapter import miniature
from lossbench.chapter.claim import NOT_RUN, Missing, Working, examine
from lossbench.chapter.committed import committed
from lossbench.chapter.orderings import CONTRADICTED, NOT_RESOLVED, REPRODUCED, decide, orderings
from lossbench.chapter.printed import printed
from lossbench.report.paired import NOBODY, Draws, Row


def runs(**rows):
    """row -> values of metric "a" by seed."""
    return {row: {seed: {"a": value} for seed, value in enumerate(values)} for row, values in rows.items()}


def differences(known):
    return [one.difference for one in orderings(known, [("one", "other")], ["a"])]


def test_a_difference_is_the_paired_t_test_of_its_seeds():
    generator = np.random.default_rng(0)
    one, other = generator.normal(1, 1, 6), generator.normal(0, 1, 6)
    (found,) = differences(runs(one=one, other=other))
    expected = stats.ttest_rel(one, other)
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.above == int((one > other).sum())
    assert found.mean == pytest.approx(float((one - other).mean()))


def test_verdicts_need_both_the_sign_and_holms_p():
    base = [0.0, 0.01, 0.02]
    known = runs(base=base, up=[5.0, 5.02, 5.01], down=[-5.0, -5.01, -5.02], noise=[1.0, -1.0, 0.1])
    found = orderings(known, [("up", "base"), ("down", "base"), ("noise", "base")], ["a"])
    assert [one.verdict for one in found] == [REPRODUCED, CONTRADICTED, NOT_RESOLVED]


def test_a_larger_family_asks_for_more():
    known = runs(base=[0.0, 0.0, 0.0, 0.0], up=[1.0, 1.2, 0.5, 1.6], noise=[1.0, -1.0, 0.5, -0.4])
    alone = orderings(known, [("up", "base")], ["a"])[0]
    among = orderings(known, [("up", "base"), *[("noise", "base")] * 9], ["a"])[0]
    assert alone.difference.p < 0.05 < among.difference.p
    assert (alone.verdict, among.verdict) == (REPRODUCED, NOT_RESOLVED)


def test_only_seeds_that_both_rows_have_are_paired():
    known = runs(one=[1.0, 2.0, 3.0], other=[0.0, 0.5, 1.0])
    known["one"][7] = {"a": 100.0}
    (found,) = differences(known)
    assert (found.seeds, found.mean) == (3, 1.5)
    del known["other"][2]
    with pytest.raises(Missing, match="have 2 seeds with a in common: three are needed"):
        orderings(known, [("one", "other")], ["a"])


def test_equal_rows_are_not_resolved():
    (found,) = orderings(runs(one=[1.0] * 3, other=[1.0] * 3), [("one", "other")], ["a"])
    assert (found.difference.p, found.verdict) == (1.0, NOT_RESOLVED)


@pytest.mark.parametrize("gaps", [[0.5, 0.5, 0.5], [0.1 + 0.2, 0.3, 0.3]])
def test_gaps_without_a_spread_are_not_resolved(gaps):
    (found,) = orderings(runs(one=gaps, other=[0.0] * 3), [("one", "other")], ["a"])
    assert (found.difference.p, found.verdict) == (1.0, NOT_RESOLVED)


UP, DOWN, NOISE = [1.0, 1.1, 0.9], [-1.0, -1.1, -0.9], [1.0, -1.0, 0.1]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([UP, UP], REPRODUCED),
        ([NOISE, NOISE], NOT_RESOLVED),
        ([UP, NOISE], "mixed: reproduced in 1 of 2, not resolved in 1"),
        ([UP, DOWN, UP], "mixed: reproduced in 2 of 3, contradicted in 1"),
        ([NOISE, DOWN], "mixed: contradicted in 1 of 2, not resolved in 1"),
        ([DOWN, DOWN], CONTRADICTED),
        ([[1.0, 1.5, 0.7]], REPRODUCED),
        ([[1.0, 1.5, 0.7]] * 2, NOT_RESOLVED),  # p = 0.045 each: Holm doubles it
    ],
)
def test_differences_decide_together_by_sign_and_holms_p(rows, verdict):
    work = Working()
    decide(work, {f"{place}": row for place, row in enumerate(rows)})
    assert work.verdict == verdict
    assert len(work.expected) == len(work.measured) == len(rows)
    assert work.failed == []


@pytest.mark.parametrize(("few", "told"), [([1.0], "1 seed"), ([1.0, 1.1], "2 seeds")])
def test_fewer_than_three_seeds_leave_it_open_and_say_so(few, told):
    work = Working()
    decide(work, {"few": few, "enough": UP})
    assert work.verdict == "mixed: reproduced in 1 of 2, not resolved in 1"
    assert work.measured[0].endswith(f", {told}: three are needed")
    assert "Holm p" in work.measured[1]


def test_nothing_is_decided_without_runs():
    with pytest.raises(Missing, match="none: no seed has all runs for it"):
        decide(Working(), {"some": UP, "none": []})


def test_the_printed_rows_have_the_names_of_the_experiments():
    rows = [row["row"] for row in printed("table_3_1")]
    assert rows == [row["row"] for row in printed("megaface_rank1")]
    assert {*miniature.LADDER, *miniature.MARGINS} <= set(rows)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Thirteen rows that follow the printed order, three seeds each."""
    folder = tmp_path / "results" / "table_3_1"
    folder.mkdir(parents=True)
    metrics = [metric for metric, _ in miniature.COLUMNS.values()]
    with (folder / "runs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "dataset", "seed", "row", *metrics])
        for place, row in enumerate(printed("table_3_1")):
            for seed in range(3):
                value = 0.3 + 0.02 * place + 0.0001 * (seed * (place + 3) % 5)
                writer.writerow([f"{place}{seed}", "glyphs", seed, row["row"], *[value] * len(metrics)])
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_table_in_the_printed_order_is_reproduced(table):
    found = examine(miniature.ladder_glyphs)
    assert found.verdict.startswith(REPRODUCED)
    page = found.work.pages["table_3_1_glyphs"]
    assert "| Softmax |  | 3 | 97.08 / 30.0" in page
    assert "| 45.26* / " in page
    assert "| 72.47 / " in page  # seen in a source
    assert "\\* quoted from memory" in page
    assert page.count(f"| {REPRODUCED} |") == 20
    assert len([line for line in page.splitlines() if line.startswith("| AM-Softmax")]) == 8


def test_a_margin_that_never_stops_gaining_is_told(table):
    found = examine(miniature.margins_glyphs)
    assert f"{CONTRADICTED} in" in found.verdict  # 0.50 is above 0.40 in these runs
    assert "fig-m-glyphs" in found.work.figures


def test_without_runs_the_claim_says_which_sweep_makes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = examine(miniature.ladder_lfw)
    assert found.verdict == NOT_RUN
    assert "sweep=table_3_1 dataset=lfw" in found.reason
    with pytest.raises(Missing):
        committed("table_3_1", "glyphs")


def test_test_identities_widen_a_difference_and_what_rows_share_cancels():
    generator = np.random.default_rng(1)
    rows, shared = {}, generator.normal(0, 1, 400)
    values = runs(one=UP, other=[0.0, 0.02, -0.02])
    for name, own in (("one", 0.5), ("other", 0.0)):
        people = shared + own * generator.normal(0, 1, 400)
        rows[name] = Row(values[name], Draws({"a": people}, 700, "them"))
    (seeds,), (both,) = differences(values), differences(rows)
    assert (both.people, seeds.people) == (True, False)
    assert both.mean == seeds.mean
    assert both.high - both.low == pytest.approx(2 * 1.97 * 0.5, rel=0.1)
    assert both.high - both.low > 2 * (seeds.high - seeds.low)
    people = rows["one"].draws.values
    for draws in (NOBODY, Draws(people, 700, "others"), Draws({"a": shared[:200]}, 700, "them")):
        rows["other"].draws = draws
        assert differences(rows) == [seeds]


def test_few_identities_widen_a_difference_however_many_replicates_there_are():
    people = {"a": np.random.default_rng(1).normal(0, 0.5, 400)}
    zero = Draws({"a": np.zeros(400)}, 5, "them")
    rows = {
        identities: {
            "one": Row(runs(one=UP)["one"], Draws(people, identities, "them")),
            "other": Row(runs(other=[0.0] * 3)["other"], zero._replace(identities=identities)),
        }
        for identities in (5, 700)
    }
    few, many = (differences(each)[0] for each in rows.values())
    assert few.high - few.low > 1.3 * (many.high - many.low)


def test_committed_runs_carry_the_replicates_of_their_row(table):
    record = {"metric": np.array(["test/ladder/cmc_1"]), "id": np.array(["00", "01", "02"])}
    whom = {"identities": np.array([7]), "whom": np.array(["them"])}
    replicates = {"group": np.zeros(3, int), "replicates": np.full((1, 1, 5), 0.5)}
    np.savez(table / "identities.npz", **record, **whom, **replicates)
    found = committed("table_3_1", "glyphs")
    first, second = (found[row["row"]] for row in printed("table_3_1")[:2])
    assert first.draws.values["test/ladder/cmc_1"].tolist() == [0.5] * 5
    assert first.draws[1:] == (7, "them")
    assert second.draws == NOBODY
