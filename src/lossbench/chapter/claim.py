"""A claim of the chapter: what is said, how it is checked, and what the check found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from matplotlib.figure import Figure

from lossbench.report.style import house_style

VERDICTS = (
    *("holds", "holds with a condition", "overstated", "conflict", "slip", "wrong", "note"),
    *("reproduced", "not reproduced here", "not resolved", "contradicted", "mixed"),
)
"""The last five: outcomes of trainings. What each means: MEANINGS."""

NOT_CONFIRMED = "not confirmed"
NOT_RUN = "not run"

MEANINGS = {
    "holds": "as written",
    "holds with a condition": "in the case the text has in mind; the condition is named",
    "overstated": "true under a condition that the text leaves out",
    "conflict": "two places of the chapter disagree",
    "slip": "typing or label, the idea is right",
    "wrong": "false as written",
    "note": "no mistake, a caution",
    "reproduced": "a training shows it, beyond chance where an interval or p is given",
    "not reproduced here": "our trainings or data do not show it, which does not refute it",
    "not resolved": "the differences are within chance",
    "contradicted": "a training shows the opposite, beyond chance",
    "mixed": "its metrics, or pairs of rows, differ in that: so many have which outcome",
    NOT_CONFIRMED: "our check did not come out, whatever the text says",
    NOT_RUN: "the data or the runs it needs are not there",
}
"""Verdict -> what it means, for the reader."""


class Missing(Exception):  # noqa: N818
    """What a check needs is not there: the message says what, and where to put it."""


@dataclass
class Working:
    """A check being carried out: its steps as a student would write them down, its figures and its pages.

    expected, measured: cells of the table, one entry for each ``number`` or ``true`` that is no mere step.
    pages: stem -> Markdown of a page of its own. verdict: where trained runs or a criterion decide it.
    """

    steps: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    verdict: str = ""

    def let(self, text: str) -> None:
        """Write down a step that decides nothing."""
        self.steps.append(text)

    def number(
        self, what: str, measured: float, expected: float, *, within: float = 1e-4, step: bool = False
    ) -> None:
        """Compare a number with what it should be, to ``within``; a ``step`` stays out of the table.

        Raises:
            ValueError: if ``within`` is so wide that 0 would pass for ``expected``.
        """
        if 0 < abs(expected) <= within:
            raise ValueError(f"within={within:g}: would take 0 for {what} = {expected:g}; make it smaller")
        found = f"{measured + 0.0:.6g}"  # 0 and not -0
        self._check(abs(measured - expected) <= within, f"{what} = {found}", f"{expected:.6g}")
        if not step:
            self.expected.append(f"{what} = {expected:.6g}{_loose(within, [expected])}")
            self.measured.append(found)

    def numbers(
        self, what: str, measured: Sequence[float], expected: Sequence[float], *, within: float = 1e-4
    ) -> None:
        """Compare a row of numbers, each to ``within``."""
        pairs = zip(measured, expected, strict=True)
        right = all(abs(one - other) <= within for one, other in pairs)
        found, wanted = (", ".join(f"{value + 0.0:.5g}" for value in row) for row in (measured, expected))
        self._check(right, f"{what} = {found}", wanted)
        self.expected.append(f"{what} = {wanted}{_loose(within, expected)}")
        self.measured.append(found)

    def true(self, what: str, condition: bool, measured: str = "", *, step: bool = False) -> None:
        """State what must be so; ``measured`` shows by how much it is."""
        self._check(bool(condition), what + (f": {measured}" if measured else ""), "")
        if not step:
            self.expected.append(what)
            self.measured.append(measured or ("yes" if condition else "no"))

    def criterion(self, what: str, met: bool, measured: str = "") -> None:
        """State what was to come out, declared before the measurement: it decides the verdict.

        All met: "reproduced"; else "not reproduced here".
        """
        self.let(f"criterion: {what}: {measured}: {'met' if met else 'not met'}")
        self.expected.append(f"criterion: {what}")
        self.measured.append(f"{'met' if met else 'not met'}: {measured}")
        if not met or not self.verdict:
            self.verdict = "reproduced" if met else "not reproduced here"

    def figure(self, stem: str, width: float = 6.4, height: float = 4.0) -> Figure:
        """Return a figure to draw on; it is written as ``stem``."""
        with house_style():
            self.figures[stem] = Figure(figsize=(width, height), layout="constrained")
        return self.figures[stem]

    def _check(self, right: bool, told: str, wanted: str) -> None:
        if not right:
            self.failed.append(told + (f", not {wanted}" if wanted else ""))
        self.steps.append(told if right else f"NOT AS EXPECTED: {self.failed[-1]}")


def _loose(within: float, expected: Sequence[float]) -> str:
    """A tolerance that a reader should know of: more than 2 in 1000 of the least number, 0 taken as 0.1."""
    least = min((abs(value) or 0.1 for value in expected), default=0.1)
    return f" ± {within:.2g}" if within > 0.002 * least else ""


@dataclass(frozen=True)
class Claim:
    """What the chapter says, in our words, and the check that decides what to think of it.

    id: as C-3.6.4-ex; X-.. for an erratum. verdict: one of VERDICTS, given only when every number and
    statement of the check came out as expected. otherwise: the verdict when one did not.
    correct: what should stand there instead, or the condition, shown beside that verdict alone; empty where
    the claim holds, and may be where it is reproduced.
    note: what a reader should know whatever the verdict.
    """

    id: str
    says: str
    verdict: str
    check: Callable[[Working], None]
    correct: str = ""
    otherwise: str = NOT_CONFIRMED
    note: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"{self.id}: verdict={self.verdict!r}: must be one of {', '.join(VERDICTS)}")
        wanted = {"holds": (False,), "reproduced": (False, True)}.get(self.verdict, (True,))
        if bool(self.correct) not in wanted:
            raise ValueError(f"{self.id}: say what is correct where the claim does not simply hold")


@dataclass(frozen=True)
class Finding:
    """A claim after its check; ``reason`` says why it was not run, and is None otherwise."""

    claim: Claim
    work: Working
    verdict: str
    seconds: float
    reason: str | None = None

    @property
    def as_expected(self) -> bool:
        """Whether the check was run and everything came out."""
        return self.reason is None and not self.work.failed

    @property
    def remark(self) -> str:
        """What belongs beside the verdict: what is correct, what did not come out, or why it was not run."""
        if told := self.reason or "; ".join(self.work.failed):
            return told
        correct = self.claim.correct if self.verdict.split(":")[0] == self.claim.verdict else ""
        return " ".join(filter(None, [correct, self.claim.note]))


def claim(
    id: str, *, says: str, verdict: str, correct: str = "", otherwise: str = NOT_CONFIRMED, note: str = ""
) -> Callable[[Callable[[Working], None]], Claim]:
    """Make a claim of the function that checks it."""
    return lambda check: Claim(id, says, verdict, check, correct, otherwise, note)


def examine(one: Claim) -> Finding:
    """Carry out the check of a claim, from the same random state whatever ran before."""
    work, started = Working(), time.perf_counter()
    try:
        with house_style(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            one.check(work)
    except Missing as missing:
        return Finding(one, work, NOT_RUN, time.perf_counter() - started, str(missing))
    if not work.expected:
        raise ValueError(f"{one.id}: its check states nothing, so it could not fail")
    verdict = one.otherwise if work.failed else work.verdict or one.verdict
    return Finding(one, work, verdict, time.perf_counter() - started)
