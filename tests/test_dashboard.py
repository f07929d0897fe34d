"""The W&B view: it shows what runs log, needs no server to be written down, and fails in one line."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lossbench.config import conf_dir
from lossbench.dashboard import BARS, CHARTS, LINES, RANKED_BY, STEP, main
from lossbench.diagnostics import cosine_statistics
from lossbench.lightning import wandb_logger
from lossbench.metrics import VerificationROC
from lossbench.protocols import classification

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("wandb_workspaces") is None, reason="wandb-workspaces is not installed"
)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, whoever runs the tests."""
    for name in ("WANDB_ENTITY", "WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.fixture
def view(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "deep" / "view.json"
    assert main(["--project", "faces", "--entity", "lab", "--out", str(path)]) == 0
    return json.loads(path.read_text(encoding="utf-8"))


def sections(view: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found = view["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in found}


@needs_package
def test_the_view_has_its_sections_in_order(view: dict[str, Any]) -> None:
    assert (view["entity"], view["project"], view["displayName"]) == ("lab", "faces", "lossbench")
    names = ["accuracy", "verification", "identification", "calibration", "diagnostics", "(s, m) grid"]
    assert list(sections(view)) == names
    assert all(sections(view).values())


@needs_package
def test_runs_are_grouped_by_head_loss_and_margin_the_best_first(view: dict[str, Any]) -> None:
    (runs,) = view["spec"]["section"]["runSets"]
    # W&B keeps a nested setting a.b under a.value.b.
    assert [by["name"] for by in runs["grouping"]] == ["names.value.head", "names.value.loss", "m.value"]
    assert runs["sort"]["keys"] == [{"key": {"section": "summary", "name": RANKED_BY}, "ascending": False}]


@needs_package
def test_curves_and_the_grid_are_read_where_runs_put_them(view: dict[str, Any]) -> None:
    charts = [panel for panels in sections(view).values() for panel in panels if panel["viewType"] == "Vega2"]
    assert [re.findall(r"'(\w+)_table'", str(chart))[0] for chart in charts] == list(wandb_logger.CHARTS)
    scatter, *_ = sections(view)["(s, m) grid"]
    axes = [scatter["config"][axis] for axis in ("xAxis", "yAxis", "zAxis")]
    assert axes == ["config:m.value", "config:s.value", f"summary:{RANKED_BY}"]


@needs_package
def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        main(["--project", "faces", "--out", str(tmp_path / name)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_bar_is_a_metric_of_the_standard_protocol() -> None:
    settings = yaml.safe_load((conf_dir() / "protocol" / "standard.yaml").read_text())
    rows, target = torch.randn(40, 8), torch.arange(40) % 8
    known = set(classification(rows, target, fitted_tau=1.0).metrics)
    known |= set(VerificationROC(fars=[float(far) for far in settings["fars"]]).fars) | {"auc", "eer"}
    known |= {f"cmc_{rank}" for rank in settings["ranks"]}
    shown = {name for names in BARS.values() for name in names}
    assert shown <= {f"{split}/{name}" for split in ("val", "test") for name in known}


def test_every_line_is_logged_while_training() -> None:
    cosine, target = torch.rand(6, 3), torch.arange(6) % 3
    train = {*cosine_statistics(cosine, cosine, target), "loss", "grad_norm", "lr"}
    val = {"auc", "eer", *VerificationROC(fars=(1e-2,)).fars}
    shown = {name for names in LINES.values() for name in names}
    assert shown <= {f"train/{name}" for name in train} | {f"val/{name}" for name in val}


def test_charts_and_steps_are_those_of_the_logger() -> None:
    assert wandb_logger.STEP == STEP
    logged = {chart: x for chart, (_, _, x, _) in wandb_logger.CHARTS.items()}
    assert dict(CHARTS.values()) == logged


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--project is missing"),
        pytest.param(["--project", "p"], "--entity is missing", marks=needs_package),
    ],
)
def test_a_missing_option_is_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@needs_package
def test_offline_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert main(["--project", "p", "--entity", "e"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lossbench.dashboard: error: WANDB_MODE=offline")


@needs_package
def test_a_refusal_by_the_server_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wandb_workspaces.workspaces import Workspace

    def refuse(view: Workspace) -> None:
        raise RuntimeError("No API key configured. Use `wandb login` to log in.\nmore")

    monkeypatch.setattr(Workspace, "save", refuse)
    assert main(["--project", "p", "--entity", "e"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "not saved: No API key configured. Use `wandb login` to log in; --out FILE.json" in line


def test_without_the_package_the_answer_is_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert main(["--project", "p", "--out", "view.json"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'lossbench[dashboard]'")
