"""report.html: what stands in it, that it needs nothing else, and that no name can break out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossbench.records import Record
from lossbench.report.groups import Group, group_records
from lossbench.report.page import report_page

MakeRecord = Callable[..., Record]
MakeCurves = Callable[..., dict[str, np.ndarray]]

METRICS = ("test/accuracy", "test/tar_far_1e_2", "test/eer")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&<!--`{{7*7}}\u2028\x00"
VOID = {"meta", "img", "line", "path"}


class Page(HTMLParser):
    """Elements and text as a browser's parser sees them; a tag closed wrongly is an AssertionError."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def having(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [given for name, given in self.elements if name == tag and wanted.items() <= given.items()]

    @property
    def numbers(self) -> dict[str, Any]:
        """The data that the script reads."""
        found = [text for text in self.texts["script"] if text.startswith("{")]
        return json.loads(found[0])


@pytest.fixture
def groups(record: MakeRecord) -> list[Group]:
    """AM-Softmax clearly above a linear head in accuracy; three seeds each."""
    runs = []
    for head, accuracy in (("amsoftmax", 0.9), ("linear", 0.8)):
        for seed in range(3):
            metrics = {"test/accuracy": accuracy + 0.001 * seed, "test/tar_far_1e_2": 0.5, "test/eer": 0.05}
            runs.append(record(head, seed, metrics=metrics))
    return group_records(runs)


def all_curves(groups: list[Group], curves: MakeCurves) -> list[list[dict[str, np.ndarray]]]:
    return [[curves(seed) for seed, _ in enumerate(group.runs)] for group in groups]


def all_histories(groups: list[Group]) -> list[list[list[dict[str, float]]]]:
    rows = [{"step": float(step), "train/loss": 1 / (step + 1), "val/eer": 0.1} for step in range(0, 500, 10)]
    return [[rows for _ in group.runs] for group in groups]


def whole_page(groups: list[Group], curves: MakeCurves) -> str:
    given = {"curves": all_curves(groups, curves), "histories": all_histories(groups)}
    return report_page(groups, METRICS, ["runs"], **given)  # type: ignore[arg-type]


def test_the_page_is_well_formed_and_complete(groups: list[Group], curves: MakeCurves) -> None:
    page = Page(whole_page(groups, curves))
    assert page.texts["h2"] == ["Results", "Curves", "Runs", "Machine and versions"]
    assert page.texts["h1"] == ["lossbench: glyphs"]
    assert [given["id"] for given in page.having("figure", **{"class": "chart"})] == [
        "roc-0",
        "cmc-0",
        "val-eer",
        "train-loss",
    ]
    assert [len(page.having("section", id=name)) for name in ("results", "curves", "runs", "machine")] == [
        1
    ] * 4
    links = [given["href"] for given in page.having("a")]
    assert links == ["#results", "#curves", "#runs", "#machine"]


def test_it_asks_the_network_for_nothing(groups: list[Group], curves: MakeCurves) -> None:
    text = whole_page(groups, curves)
    page = Page(text)
    assert not re.search(r"https?:|url\(|@import|//\w+\.", text)
    assert not [given for _, given in page.elements if given.keys() & {"src", "srcset", "action", "data"}]
    assert not page.having("link")


def test_its_policy_allows_its_own_script_and_style_alone(groups: list[Group], curves: MakeCurves) -> None:
    page = Page(whole_page(groups, curves))
    (policy,) = page.having("meta", **{"http-equiv": "Content-Security-Policy"})
    style, script = page.texts["style"][0], page.texts["script"][-1]
    for kind, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in str(policy["content"])
    # The policy would silently drop them.
    assert not [
        given for _, given in page.elements if "style" in given or any(k.startswith("on") for k in given)
    ]


@pytest.mark.parametrize(
    "place", ["dataset", "head", "loss", "knob", "row", "environment", "reason", "argument"]
)
def test_a_hostile_name_stays_text(place: str, record: MakeRecord, curves: MakeCurves) -> None:
    plain = record()
    knobs = {HOSTILE: 0.5} if place == "knob" else {"m": 0.35}
    details = plain.details | {"knobs": knobs, "undefined": {"test/eer": "too few"}}
    if place in ("dataset", "head", "loss"):
        details[place] = HOSTILE
    if place == "reason":
        details["undefined"] = {"test/eer": HOSTILE}
    environment = plain.environment | ({HOSTILE: HOSTILE} if place == "environment" else {})
    config = plain.config | ({"row": HOSTILE} if place == "row" else {})
    groups = group_records(
        [
            record(seed=seed, details=details, environment=environment, config=config | {"seed": seed},
                   metrics={"test/accuracy": 0.5, "test/eer": None})
            for seed in range(2)
        ]
    )  # fmt: skip
    arguments = [HOSTILE] if place == "argument" else ["runs"]
    given = {"curves": all_curves(groups, curves), "histories": all_histories(groups)}
    text = report_page(groups, METRICS, arguments, **given)  # type: ignore[arg-type]
    page = Page(text)
    assert len(page.having("script")) == 2
    assert not page.having("img")
    assert page.numbers["charts"]
    assert "alert(1)" in text


def test_a_hostile_seed_and_id_stay_text(record: MakeRecord, curves: MakeCurves) -> None:
    config = record().config | {"seed": HOSTILE}
    groups = group_records([record(id=HOSTILE, config=config)])
    text = report_page(groups, METRICS, [], curves=all_curves(groups, curves))
    page = Page(text)
    assert len(page.having("script")) == 2
    assert list(page.numbers["charts"][0]["lines"][0]["seeds"]) == [HOSTILE]


def test_the_table_shows_intervals_and_marks_only_what_they_resolve(groups: list[Group]) -> None:
    page = Page(report_page(groups, METRICS, []))
    # sd 0.001: half-width 4.302653 * 0.001 / sqrt(3) = 0.25 %.
    cells = [" ".join(text.split()) for text in page.texts["td"]]
    assert "★ 90.10 ± 0.2589.85 to 90.35" in cells
    assert "80.10 ± 0.2579.85 to 80.35" in cells
    assert cells.count("≈ 50.00 ± 0.0050.00 to 50.00") == 2
    assert [given["data-value"] for given in page.having("td", **{"class": "number best"})] == [
        str(groups[0].estimate("test/accuracy").mean)
    ]


def test_single_runs_are_listed_with_seed_interval_and_remarks(record: MakeRecord) -> None:
    run = record(metrics={"test/eer": 0.05, "test/tar_far_1e_6": None})
    run.intervals["test/eer"] = {"low": 0.04, "high": 0.061}
    run.details["cautions"] = ["few identities"]
    page = Page(report_page(group_records([run]), ["test/eer", "test/tar_far_1e_6"], []))
    cells = page.texts["td"]
    assert "5.004.00 to 6.10" in cells
    assert "TAR@FAR=1e-6 undefined: too few impostors; few identities" in cells
    assert page.texts["summary"] == ["1 run"]


def test_rows_of_experiments_are_named_in_both_tables(record: MakeRecord) -> None:
    runs = [record(seed=seed, config=record(seed=seed).config | {"row": "AM 0.35"}) for seed in range(2)]
    page = Page(report_page(group_records(runs), ["test/eer"], []))
    assert page.texts["th"].count("row") == 2
    assert page.texts["td"].count("AM 0.35") == 1 + 2
    without = Page(report_page(group_records([record()]), ["test/eer"], []))
    assert "row" not in without.texts["th"]


def test_environments_that_differ_are_counted(record: MakeRecord) -> None:
    runs = [record(seed=seed, environment={"cpu": cpu, "torch": "2.13"}) for seed, cpu in enumerate("aab")]
    page = Page(report_page(group_records(runs), ["test/eer"], []))
    assert "a (2 of 3 runs)b (1 of 3 runs)" in page.texts["td"]
    assert "2.13" in page.texts["td"]


def test_lines_can_be_chosen_by_every_name_knob_and_setting_that_varies(
    record: MakeRecord, curves: MakeCurves
) -> None:
    runs = [record(knobs={"m": m, "s": 30.0}) for m in (0.2, 0.35)] + [record("linear", lr=0.2)]
    groups = group_records(runs)
    page = Page(report_page(groups, METRICS, [], curves=all_curves(groups, curves)))
    assert page.numbers["groups"] == [
        {"head and loss": "amsoftmax + ce", "m": "0.2", "optimizer.lr": "0.1"},
        {"head and loss": "amsoftmax + ce", "m": "0.35", "optimizer.lr": "0.1"},
        {"head and loss": "linear + ce", "m": "none", "optimizer.lr": "0.2"},
    ]


def test_training_on_two_datasets_says_which(record: MakeRecord) -> None:
    groups = group_records([record(), record(details=record().details | {"dataset": "lfw"})])
    page = Page(report_page(groups, METRICS, [], histories=all_histories(groups)[:2]))
    assert page.numbers["groups"] == [{"dataset": "glyphs"}, {"dataset": "lfw"}]
    assert "amsoftmax m=0.35 s=30, lfw" in page.texts["th"]


def test_without_curves_it_has_tables_only(groups: list[Group]) -> None:
    page = Page(report_page(groups, METRICS, []))
    assert page.texts["h2"] == ["Results", "Runs", "Machine and versions"]
    assert page.numbers["charts"] == []
    assert not page.having("svg")


def test_the_same_records_in_any_order_give_the_same_bytes(groups: list[Group], curves: MakeCurves) -> None:
    runs = [run for group in groups for run in group.runs]
    again = group_records(runs[::-1])
    assert whole_page(groups, curves) == whole_page(again, curves)


def test_sixty_runs_fit_into_one_megabyte(record: MakeRecord) -> None:
    far = np.geomspace(1e-7, 1, 400)
    generator = np.random.default_rng(0)
    runs = [record(seed=seed, knobs={"m": m / 100, "s": 30.0}) for m in range(20) for seed in range(3)]
    groups = group_records(runs)
    train = ("loss", "grad_norm", "target_cosine", "margin_satisfied")
    names = [*(f"train/{name}" for name in train), "val/eer", "val/tar_far_1e_2"]

    def curve() -> dict[str, np.ndarray]:
        tar, rate = np.sort(generator.random(400)), np.sort(generator.random(1000))
        return {"roc_far": far, "roc_tar": tar, "cmc_rank": np.arange(1, 1001), "cmc_rate": rate}

    def history() -> list[dict[str, float]]:
        return [{"step": 50.0 * i} | {name: generator.random() for name in names} for i in range(400)]

    curves, histories = ([[draw() for _ in group.runs] for group in groups] for draw in (curve, history))
    text = report_page(groups, METRICS, [], curves=curves, histories=histories)  # type: ignore[arg-type]
    assert len(Page(text).having("figure")) == 8
    assert len(text.encode()) < 1_000_000


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_and_lines_can_be_seen_in_light_and_in_dark() -> None:
    import lossbench.report

    css = (Path(lossbench.report.__path__[0]) / "page.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in css.split("@media")[:2])
    assert light.keys() == dark.keys() >= {f"c{i}" for i in range(7)}
    for theme in (light, dark):
        assert all(contrast(theme[text], theme["paper"]) >= 4.5 for text in ("ink", "quiet"))
        assert contrast(theme["ink"], theme["mark"]) >= 4.5
        assert all(contrast(theme[f"c{i}"], theme["paper"]) >= 3 for i in range(7))
