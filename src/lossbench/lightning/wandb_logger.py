"""Weights & Biases as a mirror of the run folder: online if logged in, else offline, and never in the way."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from lossbench.lightning.wandb_session import finish_run, open_run, reason, say

if TYPE_CHECKING:
    from wandb.wandb_run import Run

STEP = "trainer/global_step"
CURVE_POINTS = 200
# Chart: the arrays of x and y in curves.npz, and their names on the axes.
CHARTS = {"roc": ("roc_far", "roc_tar", "log10 FAR", "TAR"), "cmc": ("cmc_rank", "cmc_rate", "rank", "rate")}


class WandbMirror(WandbLogger):
    """Lightning's logger around a run that is already open; its failure never stops a training."""

    def __init__(self, run: "Run", folder: Path, project: str) -> None:
        super().__init__(experiment=run, project=project, save_dir=folder, id=run.id)
        self._lost = False

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self._lost:
            return
        try:
            super().log_metrics(metrics, step)
        # Whatever breaks in there (service killed, disk full), metrics.csv has the numbers.
        except Exception as error:
            self._lost = True
            say(f"stopped ({reason(error)}); metrics.csv goes on")


def start_wandb(
    folder: str | Path,
    *,
    project: str,
    name: str,
    run_id: str,
    config: dict[str, Any],
    group: str | None = None,
    tags: Sequence[str] = (),
    notes: str | None = None,
    resume: bool = False,
) -> WandbMirror:
    """Open one W&B run with its files in `folder/wandb`; close it with `finish`.

    The mode is WANDB_MODE if set, else online for people who are logged in, else offline. A server that
    does not answer within 5 s, or refuses, makes this and the process's later runs offline, said in one line.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {
        "project": project,
        "group": group,
        "name": name,
        "id": run_id,
        "config": config,
    }
    options |= {"tags": list(tags), "notes": notes, "resume": "allow" if resume else None, "dir": str(folder)}
    run = open_run(folder, options)
    run.define_metric(STEP, hidden=True)
    run.define_metric("*", step_metric=STEP)
    return WandbMirror(run, folder, project)


def log_curves(run: "Run", curves: Mapping[str, np.ndarray], figures: Mapping[str, Path]) -> None:
    """Log the curves of curves.npz as custom charts `roc` and `cmc`, and PNG files as `figures/<name>`."""
    import wandb

    with _never_fatal("curves"):
        media: dict[str, Any] = {f"figures/{name}": wandb.Image(str(path)) for name, path in figures.items()}
        for chart, (x_key, y_key, x_name, y_name) in CHARTS.items():
            if x_key not in curves:
                continue
            x, y = log_spaced(curves[x_key], curves[y_key])
            # W&B draws line series on linear axes only, where a low FAR cannot be seen.
            x = np.log10(x) if x_name.startswith("log10") else x
            media[chart] = wandb.plot.line_series(
                x.tolist(), [y.tolist()], keys=[y_name], title=chart.upper(), xname=x_name
            )
        if media:
            run.log(media)


def log_summary(run: "Run", metrics: Mapping[str, float | None]) -> None:
    """Put the final metrics in the run's summary, where tables of runs read them; None is left out."""
    with _never_fatal("summary"):
        run.summary.update({name: value for name, value in metrics.items() if value is not None})


def finish(logger: WandbMirror, *, exit_code: int = 0) -> None:
    """Close the run, so that the next job gets its own; give up on a slow upload after 30 s."""
    finish_run(logger.experiment, exit_code)


def log_spaced(x: np.ndarray, y: np.ndarray, points: int = CURVE_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `points` of the curve's own points with x > 0, evenly spaced on a log axis, ends included."""
    x, y = x[x > 0], y[x > 0]
    if len(x) <= points:
        return x, y
    targets = np.geomspace(x[0], x[-1], points)
    # Rounding may put a target just outside the data.
    index = np.clip(np.searchsorted(x, targets, side="right") - 1, 0, len(x) - 1)
    index[-1] = len(x) - 1
    index = np.unique(index)
    return x[index], y[index]


@contextlib.contextmanager
def _never_fatal(what: str) -> Iterator[None]:
    try:
        yield
    # The record is written after this: no fault of the mirror may keep a finished run from its result.
    except Exception as error:
        say(f"{what} not logged ({reason(error)}); the run's folder has them")
