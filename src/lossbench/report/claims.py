"""The chapter's claims with their verdicts and figures, as ``python -m lossbench.chapter`` leaves them."""

from __future__ import annotations

import base64
import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lossbench.report.markup import Markup, join, scrolling, tag

_FIELDS = ("id", "section", "claim", "expected", "measured", "verdict", "remark")
_FIGURE = re.compile(r"^!\[(?P<id>[^\]]+)\]\((?P<file>[^()/\\]+\.svg)\)$", re.MULTILINE)


@dataclass(frozen=True)
class Claim:
    """A row of claims.csv, and the SVG files of its figures."""

    cells: dict[str, str]
    figures: tuple[Path, ...]


def read_claims(path: Path) -> list[Claim]:
    """Rows of claims.csv; their figures are those that claims.md beside it shows.

    Raises ValueError, in one line, for a file that is no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            if missing := set(_FIELDS) - set(rows.fieldnames or ()):
                raise ValueError(f"{path}: no column {', '.join(sorted(missing))}: not a table of claims")
            cells = [{name: row[name] or "" for name in _FIELDS} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable table of claims: {error}") from None
    page = path.with_suffix(".md")
    shown = _FIGURE.findall(page.read_text(encoding="utf-8")) if page.is_file() else []
    return [
        Claim(row, tuple(path.parent / file for name, file in shown if name == row["id"])) for row in cells
    ]


def claims_section(claims: Sequence[Claim]) -> Markup | None:
    """Verdicts counted, one table, every figure below it; None without claims."""
    if not claims:
        return None
    counts = Counter(claim.cells["verdict"].split(":")[0] for claim in claims)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    header = tag("tr", *(tag("th", name, scope="col") for name in _FIELDS))
    rows = [tag("tr", *(tag("td", claim.cells[name]) for name in _FIELDS)) for claim in claims]
    table = tag("table", tag("thead", header), tag("tbody", *rows), class_="sortable text")
    figures = [
        _figure(claim.cells["id"], path) for claim in claims for path in claim.figures if path.is_file()
    ]
    return join(
        tag("p", f"{len(claims)} claims: {told}."),
        scrolling(table, "Claims"),
        tag("div", *figures, class_="charts"),
    )


def _figure(name: str, path: Path) -> Markup:
    # As an image: ids inside one figure cannot meet those of the next, and a script in it does not run.
    data = base64.b64encode(path.read_bytes()).decode()
    picture = tag("img", src=f"data:image/svg+xml;base64,{data}", alt=f"{name}: {path.stem}")
    return tag("figure", picture, tag("figcaption", name))
