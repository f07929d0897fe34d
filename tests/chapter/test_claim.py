"""How claims are checked, told and counted; what the command prints and returns."""

from __future__ import annotations

import csv
import math
import re

import pytest
import torch

from lossbench import chapter
from lossbench.chapter import __main__ as command
from lossbench.chapter.claim import (
    MEANINGS,
    NOT_CONFIRMED,
    NOT_RUN,
    VERDICTS,
    Claim,
    Missing,
    Working,
    claim,
    examine,
)
from lossbench.chapter.pages import page, working, write_pages

FACTS = {"torch": "2.9", "cpu": "a test's machine", "commit": "abc1234"}


def made(check, verdict="holds", correct="", id="C-1", **more):
    return claim(id, says="Two is two | always.", verdict=verdict, correct=correct, **more)(check)


def good(work):
    work.let("1 + 1")
    work.number("two", 1.0 + 1.0, 2.0)


def bad(work):
    work.number("two", 3.0, 2.0)


def missing(work):
    raise Missing("no table: put it into shared/")


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_verdict_stands_when_everything_comes_out(verdict):
    one = made(good, verdict, "" if verdict == "holds" else "Three.")
    found = examine(one)
    assert (found.verdict, found.as_expected, found.work.failed) == (verdict, True, [])


def test_a_number_that_is_off_leaves_the_claim_unconfirmed():
    found = examine(made(bad, "wrong", "Three."))
    assert found.verdict == NOT_CONFIRMED
    assert not found.as_expected
    assert found.work.failed == ["two = 3, not 2"]
    assert found.work.steps == ["NOT AS EXPECTED: two = 3, not 2"]


def test_a_claim_says_what_its_verdict_is_otherwise():
    assert examine(made(bad, otherwise="not reproduced here")).verdict == "not reproduced here"


def test_a_step_that_is_off_counts_too():
    def check(work):
        work.number("shown", 2.0, 2.0)
        work.number("a step", 3.0, 2.0, step=True)

    found = examine(made(check))
    assert found.verdict == NOT_CONFIRMED
    assert found.work.expected == ["shown = 2"]


def test_measured_verdicts_stand_only_when_nothing_failed():
    def measured(work):
        work.true("something", True)
        work.verdict = "reproduced"

    def measured_and_off(work):
        measured(work)
        work.true("something else", False)

    assert examine(made(measured)).verdict == "reproduced"
    assert examine(made(measured_and_off)).verdict == NOT_CONFIRMED


@pytest.mark.parametrize(
    ("met", "verdict"),
    [
        ([True], "reproduced"),
        ([True, True], "reproduced"),
        ([False, True], "not reproduced here"),
        ([True, False], "not reproduced here"),
    ],
)
def test_criteria_decide_and_are_shown_whatever_comes_out(met, verdict):
    def check(work):
        for one in met:
            work.criterion("it falls", one, "3 to 2")

    found = examine(made(check, "note", "Three."))
    assert (found.verdict, found.as_expected, found.remark) == (verdict, True, "")
    assert found.work.expected == ["criterion: it falls"] * len(met)
    assert found.work.measured == [f"{'met' if one else 'not met'}: 3 to 2" for one in met]


@pytest.mark.parametrize("value", [math.nan, math.inf, -2.0, 2.1])
def test_only_the_number_itself_is_the_number(value):
    work = Working()
    work.number("two", value, 2.0)
    work.numbers("a row", [1.0, value], [1.0, 2.0])
    assert len(work.failed) == 2


def test_numbers_agree_up_to_within_and_no_further():
    work = Working()
    work.number("near", 2.05, 2.0, within=0.0501)
    work.numbers("near", [2.05, 1.95], [2.0, 2.0], within=0.0501)
    work.number("nothing", 0.0, 0.0, within=0.0)
    assert work.failed == []
    work.number("far", 2.05, 2.0, within=0.0499)
    assert work.failed == ["far = 2.05, not 2"]


def test_the_table_tells_of_a_loose_tolerance():
    work = Working()
    work.number("near", 2.05, 2.0, within=0.1)
    work.numbers("near", [2.05, 0.0], [2.0, 0.0], within=0.1)
    work.number("close", 2.0, 2.0)
    work.number("nothing", 0.0, 0.0)
    work.numbers("a small one among large ones", [212.1, 0.2121], [212.1, 0.2121], within=0.05)
    assert work.expected == [
        *("near = 2 ± 0.1", "near = 2, 0 ± 0.1", "close = 2", "nothing = 0"),
        "a small one among large ones = 212.1, 0.2121 ± 0.05",
    ]


def test_a_tolerance_that_zero_would_pass_is_refused():
    with pytest.raises(ValueError, match=r"within=0.0001: would take 0 for tiny = 3e-05; make it smaller"):
        Working().number("tiny", 3e-5, 3e-5)
    work = Working()
    work.number("tiny", 3e-5, 3e-5, within=1e-8)
    assert work.failed == []


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is longer"):
        Working().numbers("row", [1.0], [1.0, 2.0])


def test_a_statement_needs_no_number_and_takes_tensors():
    work = Working()
    work.true("so it is", torch.tensor([True, True]).all())
    work.true("by how much", False, "3 %")
    assert work.measured == ["yes", "3 %"]
    assert work.failed == ["by how much: 3 %"]


def test_a_check_that_states_nothing_is_refused():
    with pytest.raises(ValueError, match="C-1: its check states nothing, so it could not fail"):
        examine(made(lambda work: work.let("words alone")))


def test_a_fault_of_the_check_itself_is_not_taken_for_a_verdict():
    with pytest.raises(ZeroDivisionError):
        examine(made(lambda work: work.number("never", 1 / 0, 1.0)))


def test_what_is_missing_is_not_run_and_told():
    found = examine(made(missing))
    assert (found.verdict, found.as_expected) == (NOT_RUN, False)
    assert found.remark == "no table: put it into shared/"


@pytest.mark.parametrize(
    ("outcome", "remark"), [("mixed: reproduced in 1 of 2", "Three. Ask."), ("contradicted", "Ask.")]
)
def test_what_is_correct_goes_with_the_declared_verdict_and_a_note_with_any(outcome, remark):
    def check(work):
        work.true("two is two", True)
        work.verdict = outcome

    found = examine(made(check, "mixed", "Three.", note="Ask."))
    assert (found.verdict, found.remark) == (outcome, remark)


def test_unknown_verdicts_and_missing_corrections_are_refused():
    with pytest.raises(ValueError, match="verdict='maybe': must be one of holds"):
        made(good, "maybe")
    with pytest.raises(ValueError, match="C-1: say what is correct"):
        made(good, "wrong")
    with pytest.raises(ValueError, match="C-1: say what is correct"):
        made(good, "holds", "but Three.")


def test_checks_draw_the_same_numbers_whatever_ran_before_and_leave_the_state_alone():
    drawn = []

    def check(work):
        drawn.append(torch.rand(1).item())
        work.true("drawn", True)

    before = torch.get_rng_state()
    examine(made(check))
    torch.rand(5)
    after = torch.get_rng_state()
    examine(made(check))
    assert drawn[0] == drawn[1]
    assert torch.equal(after, torch.get_rng_state())
    assert not torch.equal(before, after)


def test_a_check_starts_afresh_each_time():
    one = made(bad)
    assert [len(examine(one).work.failed) for _ in range(2)] == [1, 1]


def drawing(work):
    good(work)
    axes = work.figure("fig-1").subplots()
    axes.plot([0, 1])


def every():
    return {
        "One": [examine(made(drawing)), examine(made(good, "wrong", "Three.", id="X-1"))],
        "Two": [examine(made(bad, "slip", "Three.", id="X-2")), examine(made(missing, id="C-2"))],
    }


def test_the_page_counts_verdicts_and_shows_each_claim_under_its_heading():
    text = page(every(), FACTS)
    assert "2 claims (C-, D-): 1 holds, 1 not run." in text
    assert "2 errata (X-: sentences that gave cause for doubt): 1 wrong, 1 not confirmed." in text
    first, second = text.split("## One")[1].split("## Two")
    assert "| C-1 | Two is two \\| always. | two = 2 | 2 | **holds** |" in first
    assert "| X-1 | Two is two \\| always. | two = 2 | 2 | **wrong**: Three. |" in first
    assert "![C-1](fig-1.svg)" in first
    assert "**not confirmed**: two = 3, not 2 |" in second
    assert "**not run**: no table: put it into shared/ |" in second
    assert "torch 2.9 on a test's machine, commit abc1234" in text


def test_the_page_says_what_every_verdict_means():
    text = page(every(), FACTS)
    assert set(MEANINGS) == {*VERDICTS, NOT_CONFIRMED, NOT_RUN}
    for verdict, meaning in MEANINGS.items():
        assert f"- *{verdict}*: {meaning}\n" in text


def test_every_row_of_the_page_has_five_cells():
    rows = [line for line in page(every(), FACTS).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_pages_tables_and_figures_are_written(tmp_path):
    write_pages(tmp_path / "new", every(), FACTS)
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"claims.md", "claims.csv", "fig-1.png", "fig-1.svg"}
    with (tmp_path / "new" / "claims.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == ["C-1", "X-1", "X-2", "C-2"]
    assert rows[0] == {
        "id": "C-1",
        "section": "One",
        "claim": "Two is two | always.",
        "expected": "two = 2",
        "measured": "2",
        "verdict": "holds",
        "remark": "",
    }
    assert [row["verdict"] for row in rows] == ["holds", "wrong", "not confirmed", "not run"]


def test_two_figures_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="fig-1: two claims write it; choose another stem"):
        write_pages(tmp_path, {"One": [examine(made(drawing)), examine(made(drawing, id="C-2"))]}, FACTS)


def test_working_shows_every_step_and_what_is_correct():
    text = working(examine(made(good, "wrong", "Three.")))
    assert text.splitlines() == [
        "C-1: Two is two | always.", "", "  1 + 1", "  two = 2", "", "verdict: wrong", "Three."
    ]  # fmt: skip
    assert working(examine(made(good))).endswith("verdict: holds")
    off = working(examine(made(bad, "wrong", "Three.")))
    assert off.endswith("verdict: not confirmed\ntwo = 3, not 2")
    assert "Three." not in off


@pytest.fixture
def known(monkeypatch):
    """A chapter of four claims."""
    parts = {
        "One": [made(drawing), made(good, "wrong", "Three.", id="X-1")],
        "Two": [made(missing, id="C-2")],
    }
    monkeypatch.setattr(chapter, "claims", lambda: parts)
    return parts


def test_the_command_lists_every_claim(known, capsys):
    assert command.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["C-1", "X-1", "C-2"]


def test_the_command_works_through_the_claims_named(known, capsys, tmp_path):
    assert command.main(["X-1", "C-1", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.index("X-1:") < out.index("C-1:")
    assert out.splitlines()[-2:] == [str(tmp_path / "fig-1.png"), str(tmp_path / "fig-1.svg")]
    assert {path.name for path in tmp_path.iterdir()} == {"fig-1.png", "fig-1.svg"}


def test_an_unknown_id_is_refused_with_what_comes_near(known, capsys):
    assert command.main(["C-3"]) == 1
    assert "C-3: no such claim; did you mean C-" in capsys.readouterr().err
    assert command.main(["zebra"]) == 1
    assert "zebra: no such claim; --list shows all" in capsys.readouterr().err


def test_the_command_writes_the_page_and_tells_what_was_not_run(known, capsys, tmp_path):
    assert command.main(["--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "C-2: not run: no table: put it into shared/" in out
    assert "3 claims in " in out
    assert str(tmp_path / "claims.md") in out
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    assert "2 claims (C-, D-): 1 holds, 1 not run." in text
    assert "1 errata (X-: sentences that gave cause for doubt): 1 wrong." in text


def test_the_command_fails_where_a_claim_is_not_confirmed(known, capsys, tmp_path):
    known["Two"].append(made(bad, id="C-3"))
    assert command.main(["C-3"]) == 1
    assert command.main(["--out", str(tmp_path)]) == 1
    assert "C-3: not confirmed: two = 3, not 2" in capsys.readouterr().out


def test_an_experiment_with_another_outcome_is_told_by_the_exit_status_too(known, capsys, tmp_path):
    known["Two"].append(made(bad, id="C-3", otherwise="not reproduced here"))
    assert command.main(["C-3"]) == 1
    assert command.main(["--out", str(tmp_path)]) == 1
    assert "C-3: not reproduced here: two = 3, not 2" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--nonsense"], ["--out"]])
def test_options_that_make_no_sense_exit_with_two(options):
    with pytest.raises(SystemExit) as stopped:
        command.main(options)
    assert stopped.value.code == 2


def test_every_id_of_the_chapter_is_used_once_and_every_claim_is_told_briefly():
    found = [one for part in chapter.claims().values() for one in part]
    assert all(isinstance(one, Claim) for one in found)
    ids = [one.id for one in found]
    assert len(ids) == len(set(ids))
    for one in found:
        assert re.fullmatch(r"(C|X|D|B|T)-[\w.-]+", one.id), one.id
        assert 10 < len(one.says) <= 200, one.id
        assert len(one.correct) <= 350, one.id
        assert one.says.endswith((".", "?")), one.id
