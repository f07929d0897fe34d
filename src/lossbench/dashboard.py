"""python -m lossbench.dashboard: the W&B view of a project's runs, kept as code."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lossbench.command import finish
from lossbench.report.names import pretty_name

STEP = "trainer/global_step"
RANKED_BY = "test/tar_far_1e_3"

# Section -> metrics of finished runs, as bars.
BARS = {
    "accuracy": ("test/accuracy", "test/accuracy_top5", "val/accuracy"),
    "verification": ("test/tar_far_1e_2", RANKED_BY, "test/tar_far_1e_4", "test/eer", "test/auc"),
    "identification": ("test/cmc_1", "test/cmc_5", "test/cmc_20"),
    "calibration": ("test/nll", "test/ece", "test/nll_scaled", "test/ece_scaled"),
}
# Section -> what is logged while training, as lines over steps.
LINES = {
    "verification": ("val/tar_far_1e_2", "val/eer"),
    "diagnostics": (
        *("train/loss", "train/target_cosine", "train/cosine_gap", "train/margin_satisfied"),
        *("train/grad_norm", "train/lr"),
    ),
}
# Section -> title and x axis of a chart; W&B keeps the table of a chart under the chart's name + "_table".
CHARTS = {"verification": ("roc", "log10 FAR"), "identification": ("cmc", "rank")}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 where the view could not be saved, 2 for a wrong option; the reason is one line."""
    options = _parser().parse_args(argv)
    if not options.project:
        return _fail("--project is missing: name the W&B project of the runs, as in --project lossbench", 2)
    # Read when wandb starts: a silent one asks for no key on the terminal.
    os.environ.setdefault("WANDB_SILENT", "true")
    try:
        view = workspace(options.project, options.entity or "", options.name)
    except ImportError as error:
        return _fail(f"wandb-workspaces: {error}: pip install 'lossbench[dashboard]'", 1)
    if options.out:
        try:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(serialised(view), encoding="utf-8", newline="\n")
        except OSError as error:
            return _fail(f"--out {options.out}: cannot be written ({error.strerror})", 1)
        print(f"wrote {options.out}")
        return 0
    return _save(view, options.entity)


def workspace(project: str, entity: str = "", name: str = "lossbench") -> Any:
    """The view, a wandb_workspaces Workspace: runs grouped by head, loss and m, the best group first.

    Neither asks a server nor needs an account.
    """
    with warnings.catch_warnings():
        # Raised at its import by the package itself, which nobody here can mend.
        warnings.simplefilter("ignore")
        from wandb_workspaces import workspaces as ws
    names = ("accuracy", "verification", "identification", "calibration", "diagnostics")
    sections = [ws.Section(name=one, panels=_panels(one), is_open=one != "diagnostics") for one in names]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[*sections, ws.Section(name="(s, m) grid", panels=_grid(), is_open=True)],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=100),
        runset_settings=ws.RunsetSettings(
            groupby=[ws.Config("names.head"), ws.Config("names.loss"), ws.Config("m")],
            order=[ws.Ordering(ws.Summary(RANKED_BY), ascending=False)],
        ),
    )


def serialised(view: Any) -> str:
    """The view as JSON, without the ids that are drawn anew for every panel."""
    # Private, and the only way to see a view without saving it.
    content = view._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps(_without_ids(content), indent=1) + "\n"


def _panels(section: str) -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    panels: list[Any] = []
    if section in CHARTS:
        chart, x = CHARTS[section]
        panels.append(
            wr.CustomChart(
                query={"summaryTable": {"tableKey": f"{chart}_table"}},
                chart_name="wandb/lineseries/v0",
                chart_fields={"step": "step", "lineKey": "lineKey", "lineVal": "lineVal"},
                chart_strings={"title": chart.upper(), "xname": x},
            )
        )
    panels += [wr.BarPlot(title=pretty_name(name), metrics=[name]) for name in BARS.get(section, ())]
    panels += [wr.LinePlot(title=pretty_name(name), x=STEP, y=[name]) for name in LINES.get(section, ())]
    if section == "diagnostics":
        panels.append(wr.MediaBrowser(media_keys=["figures/training"]))
    return panels


def _grid() -> list[Any]:
    """What scale and margin do, alone and together."""
    from wandb_workspaces.reports import v2 as wr

    knobs: list[Any] = [wr.Config("s"), wr.Config("m")]
    results: list[Any] = [wr.SummaryMetric(name) for name in ("test/accuracy", RANKED_BY, "test/cmc_1")]
    columns = [wr.ParallelCoordinatesPlotColumn(metric) for metric in [*knobs, *results]]
    return [
        wr.ScatterPlot(title=f"{pretty_name(RANKED_BY)} over m and s", x=knobs[1], y=knobs[0], z=results[1]),
        wr.ScatterPlot(title=f"{pretty_name(RANKED_BY)} over m", x=knobs[1], y=results[1]),
        wr.ScatterPlot(title="accuracy over m", x=knobs[1], y=results[0]),
        wr.ParallelCoordinatesPlot(title="s and m", columns=columns),
    ]


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key != "__id__"}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value


def _save(view: Any, entity: str | None) -> int:
    hint = "--out FILE.json writes the view without an account"
    if os.environ.get("WANDB_MODE") in ("offline", "dryrun", "disabled"):
        return _fail(f"WANDB_MODE={os.environ['WANDB_MODE']}: a view is saved on the server; {hint}", 1)
    if not entity:
        return _fail(f"--entity is missing: your W&B user or team, or set WANDB_ENTITY; {hint}", 2)
    try:
        view.save()
    # No key, no answer, no such project: wandb's own errors, which have no common class.
    except Exception as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return _fail(f"not saved: {told.rstrip('.')}; {hint}", 1)
    print(f"saved {view.url}")
    return 0


def _fail(reason: str, status: int) -> int:
    print(f"lossbench.dashboard: error: {reason}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.dashboard",
        description="Save a view of a W&B project: accuracy, ROC, CMC, calibration, training, (s, m) grid.",
    )
    parser.add_argument("--project", metavar="P", help="W&B project that the runs log to")
    parser.add_argument(
        "--entity",
        metavar="E",
        default=os.environ.get("WANDB_ENTITY"),
        help="W&B user or team (default: WANDB_ENTITY)",
    )
    parser.add_argument("--name", default="lossbench", help="of the view (default: lossbench)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the view as JSON instead: no account, no network"
    )
    return parser


if __name__ == "__main__":
    finish(main, "lossbench.dashboard")
