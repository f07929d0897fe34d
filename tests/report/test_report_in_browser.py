"""The page's script in a browser: it sorts, it draws what Python drew, and it says nothing on the console."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossbench.records import Record
from lossbench.report.groups import group_records
from lossbench.report.page import report_page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium to open the page in"),
]

# Acts as a reader would and leaves what it saw where --dump-dom shows it.
READER = """
const seen = {}, all = (where, what) => [...where.querySelectorAll(what)];
const click = element => element.dispatchEvent(new MouseEvent("click", {bubbles: true}));
const results = document.querySelector("#results table"), roc = document.querySelector("#roc-0");
const knobs = () => [...results.tBodies[0].rows].map(row => row.cells[3].textContent);
const legend = () => all(roc, ".legend tbody tr").filter(row => !row.hidden).map(row => row.textContent);
const buttons = all(results, "thead button");
const labels = all(document, "#choices label");
const choose = text => click(labels.find(label => label.textContent.trim() === text).firstChild);
click(buttons[2]); seen.byKnobs = knobs();
click(buttons[4]); seen.byAccuracy = knobs();
click(buttons[4]); seen.byAccuracyUp = knobs();
seen.sorted = all(results, "[aria-sort]").map(heading => heading.getAttribute("aria-sort"));
seen.choices = all(document, "#choices fieldset").map(field => field.textContent.replace(/\\s+/g, " "));
seen.legend = legend();
choose("0.1"); seen.without = legend();
choose("1"); seen.oneSeed = legend(); choose("1");
const slider = roc.querySelector("input");
slider.value = slider.max; slider.dispatchEvent(new Event("input"));
seen.last = [roc.querySelector("output").textContent, slider.getAttribute("aria-valuetext"), ...legend()];
document.body.dataset.seen = JSON.stringify(seen);
"""


def opened(path: Path) -> str:
    """The document after its scripts have run; whatever the console said is an AssertionError."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += ["--virtual-time-budget=2000", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture
def page(record: Callable[..., Record], curves: Callable[..., dict[str, np.ndarray]]) -> str:
    runs = [
        record(seed=seed, knobs={"m": m}, metrics={"test/accuracy": 1 - m + seed / 100})
        for m in (0.05, 0.1, 0.4)
        for seed in range(2)
    ]
    groups = group_records(runs)
    history = [{"step": float(step), "train/loss": 1 / (1 + step)} for step in range(9)]
    return report_page(
        groups,
        ["test/accuracy"],
        [],
        curves=[[curves(seed) for seed in range(2)]] * 3,
        histories=[[history] * 2] * 3,
    )


def test_the_script_runs_under_the_pages_policy_and_draws_what_python_drew(page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    dom = opened(path)
    assert "<fieldset>" in dom
    drawn, redrawn = (re.findall(r'class="(?:band|line) [^"]*" d="([^"]*)"', text) for text in (page, dom))
    assert len(drawn) == len(redrawn) == 3 * 3 * 3 + 3
    for one, other in zip(drawn, redrawn, strict=True):
        assert re.sub(r"[\d.]+", "", one) == re.sub(r"[\d.]+", "", other)
        numbers = (np.array(re.findall(r"[\d.]+", outline), float) for outline in (one, other))
        np.testing.assert_allclose(*numbers, atol=0.11)
    legends = [re.findall(r"<td>([^<]*)</td>", text[text.index("<figure") :]) for text in (page, dom)]
    assert legends[0] == legends[1]


def test_a_reader_can_sort_choose_and_read_values(page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    # The policy would rightly refuse a second script.
    driven = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    path.write_text(driven.replace("</body>", f"<script>{{{READER}}}</script></body>"), encoding="utf-8")
    found = re.search(r'data-seen="([^"]*)"', opened(path))
    assert found
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    assert seen["byKnobs"] == ["m=0.05", "m=0.1", "m=0.4"]
    assert seen["byAccuracy"] == ["m=0.05", "m=0.1", "m=0.4"]
    assert seen["byAccuracyUp"] == ["m=0.4", "m=0.1", "m=0.05"]
    assert seen["sorted"] == ["ascending"]
    assert seen["choices"] == ["m 0.05 0.1 0.4", "seed 0 1"]
    assert len(seen["legend"]) == 3
    assert len(seen["without"]) == 2
    assert all(" to " in line for line in seen["without"])
    assert not any(" to " in line for line in seen["oneSeed"])
    assert seen["last"][:2] == ["1", "1"]
    assert all("100.00 %" in line for line in seen["last"][2:])
