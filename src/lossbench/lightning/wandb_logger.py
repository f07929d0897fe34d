"""Weights & Biases as a mirror of the run folder: online if logged in, else offline, and never in the way."""

import netrc
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

if TYPE_CHECKING:
    from wandb import Settings
    from wandb.wandb_run import Run

INIT_LIMIT_S = 5
FINISH_LIMIT_S = 30
STEP = "trainer/global_step"
CURVE_POINTS = 200
# Chart: the arrays of x and y in curves.npz, and their names on the axes.
CHARTS = {"roc": ("roc_far", "roc_tar", "log10 FAR", "TAR"), "cmc": ("cmc_rank", "cmc_rate", "rank", "rate")}

# A server that did not answer one run would cost every later job of the process the same wait.
_server_lost = threading.Event()


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
            _say(f"stopped ({_reason(error)}); metrics.csv goes on")


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
    # Read when wandb is imported or its service started: its crash reports can hold up the exit for 20 s.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if wandb.run is not None:
        # Left open by a job that crashed: wandb.init would hand that run out again.
        _finish_run(wandb.run, exit_code=1)
    mode = _mode()
    options = {"project": project, "name": name, "id": run_id, "config": config, "group": group, "notes": notes}
    options |= {"tags": list(tags), "resume": "allow" if resume else None, "dir": str(folder)}
    run = _open_disabled() if mode == "disabled" else _open(options, mode, folder)
    run.define_metric(STEP, hidden=True)
    run.define_metric("*", step_metric=STEP)
    return WandbMirror(run, folder, project)


def log_curves(run: "Run", curves: Mapping[str, np.ndarray], figures: Mapping[str, Path]) -> None:
    """Log the curves of curves.npz as custom charts `roc` and `cmc`, and PNG files as `figures/<name>`."""
    import wandb

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
    run.summary.update({name: value for name, value in metrics.items() if value is not None})


def finish(logger: WandbMirror, *, exit_code: int = 0) -> None:
    """Close the run, so that the next job gets its own; give up on a slow upload after 30 s."""
    _finish_run(logger.experiment, exit_code)


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


def _mode() -> str:
    import wandb

    wanted = os.environ.get("WANDB_MODE")
    if wanted == "disabled":
        return wanted
    # Silent before anything else: a silent wandb neither chatters nor asks for a key on the terminal.
    settings = wandb.setup(wandb.Settings(silent=True)).settings
    mode = {"dryrun": "offline", "run": "online"}.get(settings.mode, settings.mode)
    if mode == "online" and not _logged_in(settings):
        if wanted is not None:
            _say("WANDB_MODE=online, but not logged in (wandb login): logging offline")
        return "offline"
    return "offline" if mode == "online" and _server_lost.is_set() else mode


def _logged_in(settings: "Settings") -> bool:
    """Whether a key is configured; wandb has no call for this that neither prompts nor waits."""
    if settings.api_key or os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    hosts = {urlsplit(settings.base_url).netloc}
    if settings.base_url == type(settings).model_fields["base_url"].default:
        # Keys saved before the public server was renamed stand under its old name.
        hosts.add("api.wandb.ai")
    candidates = [os.environ.get("NETRC"), "~/.netrc", "~/_netrc"]
    path = next((p for name in candidates if name and (p := Path(name).expanduser()).is_file()), None)
    try:
        return path is not None and any(netrc.netrc(path).authenticators(host) for host in hosts)
    except (netrc.NetrcParseError, OSError):
        return False


def _open(options: dict[str, Any], mode: str, folder: Path) -> "Run":
    """Open the run in `mode`; where that fails offline, and where that fails too a run that keeps nothing."""
    import wandb

    if mode != "offline":
        started = time.monotonic()
        try:
            return wandb.init(mode=mode, settings=_settings(), **options)
        except Exception as error:
            slow = time.monotonic() - started >= INIT_LIMIT_S
            why = f"no answer in {INIT_LIMIT_S} s" if slow else _reason(error)
        _server_lost.set()
        _drop_failed_attempt(folder, options["id"])
    try:
        run = wandb.init(mode="offline", settings=_settings(), **options)
    except Exception as error:
        _say(f"not available ({_reason(error)}); this run is in {folder} only")
        return _open_disabled()
    if mode != "offline":
        _say(f"{why}, logging offline; upload later with: wandb sync {Path(run.dir).parent}")
    return run


def _open_disabled() -> "Run":
    import wandb

    # Without a dir: wandb would make that folder even so.
    return wandb.init(mode="disabled")


def _settings() -> "Settings":
    import wandb

    limits: dict[str, Any] = {"init_timeout": INIT_LIMIT_S}
    if "finish_timeout" in wandb.Settings.model_fields:  # since 0.26
        # At the exit of a process that never called finish, too.
        limits |= {"finish_timeout": FINISH_LIMIT_S, "finish_timeout_raises": True}
    return wandb.Settings(
        silent=True, console="off", save_code=False, disable_code=True, disable_git=True, **limits
    )


def _drop_failed_attempt(folder: Path, run_id: str) -> None:
    """Stop the service, which goes on trying, and remove the empty run that viewers would list."""
    import wandb

    wandb.teardown()
    wandb.setup(wandb.Settings(silent=True))
    newest = max((folder / "wandb").glob(f"run-*-{run_id}*"), default=None)
    if newest is not None:
        shutil.rmtree(newest, ignore_errors=True)


def _finish_run(run: "Run", exit_code: int) -> None:
    place = Path(run.dir).parent
    failure: list[BaseException] = []

    def close() -> None:
        try:
            run.finish(exit_code=exit_code)
        except Exception as error:
            failure.append(error)

    # A daemon, because wandb before 0.26 waits for the server as long as it takes.
    closing = threading.Thread(target=close, daemon=True, name="wandb finish")
    closing.start()
    # A second more than wandb's own limit, which leaves its files in order.
    closing.join(FINISH_LIMIT_S + 1)
    if closing.is_alive() or (failure and isinstance(failure[0], TimeoutError)):
        _server_lost.set()
        _say(f"upload not done in {FINISH_LIMIT_S} s; complete it later with: wandb sync {place}")
    elif failure:
        _say(f"the run did not close ({_reason(failure[0])})")


def _reason(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _say(line: str) -> None:
    print(f"W&B: {line}", file=sys.stderr, flush=True)
