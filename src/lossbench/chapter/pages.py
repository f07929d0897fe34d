"""Findings as a page of Markdown, as a table for programs, and as the working of one claim."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lossbench.chapter.claim import MEANINGS, Finding
from lossbench.chapter.endpoints import CHANCE
from lossbench.report.style import save


def write_pages(folder: Path, found: Mapping[str, Sequence[Finding]], facts: Mapping[str, object]) -> None:
    """Write claims.md, claims.csv and every figure into ``folder``."""
    write_drawn(folder, [finding for findings in found.values() for finding in findings])
    (folder / "claims.md").write_text(page(found, facts), encoding="utf-8")
    with (folder / "claims.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "section", "claim", "expected", "measured", "verdict", "remark"])
        writer.writerows(
            [one.claim.id, heading, one.claim.says, *_cells(one, "; "), one.verdict, one.remark]
            for heading, findings in found.items()
            for one in findings
        )


def write_drawn(folder: Path, findings: Sequence[Finding]) -> list[Path]:
    """Write the figures of findings, and the pages they bring along, into ``folder``; return the files.

    Raises:
        ValueError: if two of them have the same name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stems = Counter(stem for one in findings for stem in (*one.work.figures, *one.work.pages))
    if twice := [stem for stem, count in stems.items() if count > 1]:
        raise ValueError(f"{', '.join(twice)}: two claims write it; choose another stem")
    written = []
    for one in findings:
        for stem, figure in one.work.figures.items():
            written += save(figure, folder, stem)
        for stem, text in one.work.pages.items():
            written.append(folder / f"{stem}.md")
            written[-1].write_text(text, encoding="utf-8")
    return written


def page(found: Mapping[str, Sequence[Finding]], facts: Mapping[str, object]) -> str:
    """All findings as Markdown: the verdicts counted, then a table for each section with its figures."""
    every = [finding for findings in found.values() for finding in findings]
    errata = [finding for finding in every if finding.claim.id.startswith("X-")]
    claims = [finding for finding in every if finding not in errata]
    lines = [
        "# What the chapter claims, and what we measured",
        "",
        _counted(claims, "claims (C-, D-)"),
        "",
        _counted(errata, "errata (X-: sentences that gave cause for doubt)"),
        "",
        "A verdict is given only where every number of its check came out as expected: to within 0.2 % (0: "
        "to 0.0002), or what ± says. For trainings the limits were set after a first run: they guard the "
        "result, they did not predict it. Where a criterion is shown, it was written down before.",
        "",
        *(f"- *{verdict}*: {meaning}" for verdict, meaning in MEANINGS.items()),
        "",
        f"Of trained sweeps: {CHANCE} Each claim is a family of its own: its p are adjusted for their number "
        "by Holm, its intervals are not.",
        "",
        f"`python -m lossbench.chapter ID` shows the working of one. {_machine(facts)}",
        "",
    ]
    for heading, findings in found.items():
        lines += [f"## {heading}", "", *_table(findings), ""]
        stems = [(one.claim.id, stem) for one in findings for stem in one.work.figures]
        lines += [line for name, stem in stems for line in (f"![{name}]({stem}.svg)", "")]
        pages = [stem for one in findings for stem in one.work.pages]
        lines += [line for stem in pages for line in (f"[{stem}]({stem}.md)", "")]
    return "\n".join(lines)


def _counted(findings: Sequence[Finding], what: str) -> str:
    found = Counter(finding.verdict.split(":")[0] for finding in findings)
    order = [*MEANINGS, *sorted(set(found) - set(MEANINGS))]
    told = ", ".join(f"{found[verdict]} {verdict}" for verdict in order if found[verdict])
    return f"{len(findings)} {what}" + (f": {told}." if told else ".")


def _table(findings: Sequence[Finding]) -> list[str]:
    lines = ["| id | claim | expected | measured | verdict |", "|---|---|---|---|---|"]
    for one in findings:
        verdict = f"**{one.verdict}**" + (f": {one.remark}" if one.remark else "")
        cells = (one.claim.id, one.claim.says, *_cells(one, "<br>"), verdict)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _cells(one: Finding, between: str) -> tuple[str, str]:
    return between.join(one.work.expected), between.join(one.work.measured)


def _machine(facts: Mapping[str, object]) -> str:
    return f"Made with torch {facts['torch']} on {facts['cpu']}, commit {facts['commit']}."


def working(one: Finding) -> str:
    """The claim, every step of its check, and the verdict, for a terminal."""
    lines = [f"{one.claim.id}: {one.claim.says}", ""]
    lines += [f"  {step}" for step in one.work.steps]
    lines += ["", f"verdict: {one.verdict}"]
    return "\n".join([*lines, one.remark] if one.remark else lines)
