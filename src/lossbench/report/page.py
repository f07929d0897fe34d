"""report.html: tables and charts of a report in one file that needs no network, and no script to be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from lossbench.report.chart import Chart
from lossbench.report.charts import Curves, Histories, curve_charts, training_charts
from lossbench.report.claims import Claim, claims_section
from lossbench.report.groups import Group
from lossbench.report.markup import Markup, data_block, join, source_hash, tag
from lossbench.report.names import MISSING, format_setting
from lossbench.report.page_tables import machine_table, results_table, runs_table
from lossbench.report.table import origin


def report_page(
    groups: Sequence[Group],
    metrics: Sequence[str],
    arguments: Sequence[str],
    *,
    curves: Curves = (),
    histories: Histories = (),
    claims: Sequence[Claim] = (),
) -> str:
    """The whole page.

    arguments: of the command that makes it. curves, histories: for each group, of each of its runs; empty for
    a page of tables only.
    """
    charts = curve_charts(groups, curves) if curves else []
    training = training_charts(groups, histories) if histories else []
    sections = {
        "results": ("Results", results_table(groups, metrics, bool(charts or training))),
        "curves": ("Curves", _curves(charts, training)),
        "runs": ("Runs", runs_table(groups, metrics)),
        "machine": ("Machine and versions", machine_table(groups)),
        "claims": ("Claims of the chapter", claims_section(claims)),
    }
    told = {name: section for name, section in sections.items() if section[1]}
    names = ", ".join(sorted({group.part("dataset") for group in groups} - {MISSING}))
    title = f"lossbench: {names}" if names else "lossbench"
    body = tag(
        "body",
        tag("h1", title),
        tag("p", *_with_code(origin(groups, arguments)), class_="small"),
        tag("nav", *(tag("a", heading, href=f"#{name}") for name, (heading, _) in told.items())),
        tag(
            "main",
            *(
                tag("section", tag("h2", heading), content, id=name)
                for name, (heading, content) in told.items()
            ),
        ),
        data_block(
            "data", {"groups": _facets(groups), "charts": [c.numbers() for c in (*charts, *training)]}
        ),
        tag("script", Markup(_source("page.js"))),
    )
    return f"<!DOCTYPE html>\n{tag('html', _head(title), body, lang='en')}\n"


def _head(title: str) -> Markup:
    style, script = _source("page.css"), _source("page.js")
    # Whatever else the file may hold, a browser runs this script alone and fetches nothing.
    policy = (
        f"default-src 'none'; img-src data:; style-src {source_hash(style)}; script-src {source_hash(script)}"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )


def _with_code(text: str) -> tuple[str, Markup, str]:
    """The command between the first and the last backtick set as code."""
    before, _, rest = text.partition("`")
    command, _, after = rest.rpartition("`")
    return before, tag("code", command), after


def _source(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _facets(groups: Sequence[Group]) -> list[dict[str, str]]:
    """By what each group can be hidden: its names, knobs and settings, those of them that vary."""
    told = [
        {"dataset": group.part("dataset"), "head and loss": f"{group.part('head')} + {group.part('loss')}"}
        | {name: format_setting(value) for name, value in (group.knobs | group.differs).items()}
        for group in groups
    ]
    values: dict[str, set[str]] = defaultdict(set)
    for facets in told:
        for name, value in facets.items():
            values[name].add(value)
    varying = [name for name in values if len(values[name]) > 1]
    return [{name: facets.get(name, "none") for name in varying} for facets in told]


def _curves(charts: Sequence[Chart], training: Sequence[Chart]) -> Markup | None:
    if not charts and not training:
        return None
    note = (
        "Lines: mean over seeds; bands: lowest to highest seed. The values beside the names are read at the "
        "FAR, rank or step in the legend's head."
    )
    details = tag("details", tag("summary", "Training"), _row_of(training)) if training else None
    return join(tag("p", note, class_="small"), tag("div", id="choices"), _row_of(charts), details)


def _row_of(charts: Sequence[Chart]) -> Markup:
    return tag("div", *(chart.figure() for chart in charts), class_="charts")
