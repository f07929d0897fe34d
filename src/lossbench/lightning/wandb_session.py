"""Opening and closing W&B runs within time limits: online if logged in and answered, else offline."""

import contextlib
import netrc
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from wandb import Settings
    from wandb.wandb_run import Run

INIT_LIMIT_S = 5
FINISH_LIMIT_S = 30

# A server that did not answer one run would cost every later job of the process the same wait.
server_lost = threading.Event()


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
            say("WANDB_MODE=online, but not logged in (wandb login): logging offline")
        return "offline"
    return "offline" if mode == "online" and server_lost.is_set() else mode


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


def open_run(folder: Path, options: dict[str, Any]) -> "Run":
    """Open a run in the mode asked for; failing that offline, and failing that one that keeps nothing."""
    # Read when the service starts: its reports of its own errors can hold up the exit for 20 s.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    if wandb.run is not None:
        # Left open by a job that crashed: wandb.init would hand that run out again.
        finish_run(wandb.run, exit_code=1)
    mode = _mode()
    if mode == "disabled":
        return _open_disabled()

    if mode != "offline":
        started = time.monotonic()
        try:
            return wandb.init(settings=_settings(), **options | {"mode": mode})
        except Exception as error:
            slow = time.monotonic() - started >= INIT_LIMIT_S
            why = f"no answer in {INIT_LIMIT_S} s" if slow else reason(error)
        server_lost.set()
        _drop_failed_attempt(folder, options["id"])
    try:
        run = wandb.init(mode="offline", settings=_settings(), **options)
    except Exception as error:
        say(f"not available ({reason(error)}); this run is in {folder} only")
        return _open_disabled()
    if mode != "offline":
        say(f"{why}, logging offline; upload later with: wandb sync {Path(run.dir).parent}")
    return run


def _open_disabled() -> "Run":
    import wandb

    # Without a dir: wandb would make that folder even so.
    return wandb.init(mode="disabled")


def _settings() -> "Settings":
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        save_code=False,
        disable_code=True,
        disable_git=True,
        init_timeout=INIT_LIMIT_S,
        # At the exit of a process that never called finish, too.
        finish_timeout=FINISH_LIMIT_S,
        finish_timeout_raises=True,
    )


def _drop_failed_attempt(folder: Path, run_id: str) -> None:
    """Stop the service, which goes on trying, and remove the empty run that viewers would list."""
    import wandb

    wandb.teardown()
    wandb.setup(wandb.Settings(silent=True))
    newest = max((folder / "wandb").glob(f"run-*-{run_id}*"), default=None)
    if newest is not None:
        shutil.rmtree(newest, ignore_errors=True)


def finish_run(run: "Run", exit_code: int) -> None:
    import wandb

    place = Path(run.dir).parent
    failure: list[BaseException] = []

    def close() -> None:
        try:
            run.finish(exit_code=exit_code)
        except Exception as error:
            failure.append(error)

    # A daemon, because a limit that wandb forgot must not hold up the next job.
    closing = threading.Thread(target=close, daemon=True, name="wandb finish")
    closing.start()
    # A second more than wandb's own limit, which leaves its files in order.
    closing.join(FINISH_LIMIT_S + 1)
    if closing.is_alive() or (failure and isinstance(failure[0], TimeoutError)):
        server_lost.set()
        say(f"upload not done in {FINISH_LIMIT_S} s; complete it later with: wandb sync {place}")
    elif failure:
        say(f"the run did not close ({reason(failure[0])})")
        # A dead service would fail every later job of the process too.
        with contextlib.suppress(Exception):
            wandb.teardown()


def reason(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def say(line: str) -> None:
    print(f"W&B: {line}", file=sys.stderr, flush=True)
