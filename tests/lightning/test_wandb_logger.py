"""W&B runs on disk, in every mode, with silent servers on 127.0.0.1; no network is needed."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import wandb

import lossbench
from lossbench.lightning import wandb_session
from lossbench.lightning.wandb_logger import (
    WandbMirror,
    finish,
    log_curves,
    log_spaced,
    log_summary,
    start_wandb,
)

FAKE_KEY = "0" * 40


@pytest.fixture(autouse=True)
def nobody_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty home and cwd; a service of its own per test, as wandb reads its variables once per service."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(home))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(home))
    monkeypatch.setenv("WANDB_DATA_DIR", str(home))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    wandb_session.server_lost.clear()
    yield
    wandb.teardown()
    wandb_session.server_lost.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def start(folder: Path, run_id: str, **options: Any) -> WandbMirror:
    config = {"m": 0.35, "loss": {"name": "ce"}}
    return start_wandb(folder, project="test", name=f"name {run_id}", run_id=run_id, config=config, **options)


def run_folders(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "wandb").glob("*run-*"))


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [record for record in map(json.loads, lines) if record["type"] == kind]


def test_two_jobs_of_a_process_give_two_offline_runs_in_their_folders_and_nothing_elsewhere(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for run_id in ("first", "second"):
        logger = start(folder / run_id, run_id, group="g", tags=["t"], notes="n")
        logger.log_metrics({"train/loss": 1.5}, step=10)
        log_summary(logger.experiment, {"test/eer": 0.25, "test/tar_far_1e_6": None})
        finish(logger)
        assert logger.version == run_id
        assert wandb.run is None
    for run_id in ("first", "second"):
        (name,) = run_folders(folder / run_id)
        assert re.fullmatch(rf"offline-run-\d+_\d+-{run_id}", name)
    assert list(Path.cwd().iterdir()) == []
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_the_file_holds_config_steps_and_summary(folder: Path) -> None:
    logger = start(folder, "abc")
    for step in (0, 50):
        logger.log_metrics({"train/loss": 1 / (step + 1)}, step=step)
    log_summary(logger.experiment, {"test/eer": 0.25, "test/tar_far_1e_6": None})
    finish(logger)
    text = json.dumps(records(folder / "wandb" / run_folders(folder)[0], "history"))
    assert '"trainer/global_step": ' in text
    assert str(1 / 51) in text
    everything = (folder / "wandb" / run_folders(folder)[0] / "run-abc.wandb").read_bytes()
    assert b"test/eer" in everything
    assert b"test/tar_far_1e_6" not in everything
    assert b"0.35" in everything


def test_curves_become_charts_of_few_points_and_images(folder: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    picture = folder / "roc.png"
    folder.mkdir()
    Figure(figsize=(1, 1)).savefig(picture)
    far = np.concatenate([[0.0], np.geomspace(1e-6, 1, 5000)])
    curves = {"roc_far": far, "roc_tar": far**0.1, "roc_threshold": -far, "cmc_rank": np.arange(1, 1001)}
    curves["cmc_rate"] = 1 - 1 / (1 + curves["cmc_rank"])
    logger = start(folder, "abc")
    log_curves(logger.experiment, curves, {"roc": picture})
    finish(logger)
    media = folder / "wandb" / run_folders(folder)[0] / "files" / "media"
    assert len(list((media / "images" / "figures").glob("roc_*.png"))) == 1
    (roc,) = (media / "table").glob("roc_table_*.json")
    (cmc,) = (media / "table").glob("cmc_table_*.json")
    points = json.loads(roc.read_text())["data"]
    assert 150 < len(points) <= 200
    assert points[0][0] == pytest.approx(-6)
    assert points[-1][0] == 0
    assert 50 < len(json.loads(cmc.read_text())["data"]) <= 200


def test_thinned_points_are_points_of_the_curve_and_keep_its_ends() -> None:
    x = np.geomspace(1e-5, 1, 3000)
    thin_x, thin_y = log_spaced(x, x**2)
    assert len(thin_x) == 200
    assert np.isin(thin_x, x).all()
    np.testing.assert_array_equal(thin_y, thin_x**2)
    assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])
    few = np.array([0.0, 0.5, 1.0])
    np.testing.assert_array_equal(log_spaced(few, few)[0], [0.5, 1.0])
    assert len(log_spaced(few[:1], few[:1])[0]) == 0


def test_a_resumed_run_keeps_its_id_and_its_first_file(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for resume in (False, True):
        logger = start(folder, "abc", resume=resume)
        logger.log_metrics({"train/loss": 1.0}, step=0)
        finish(logger)
        assert logger.version == "abc"
    assert len(run_folders(folder)) == 2
    assert all("-abc" in name for name in run_folders(folder))
    assert len(list((folder / "wandb").glob("*run-*/run-abc.wandb"))) == 2
    assert capfd.readouterr().err == ""


def test_a_run_left_open_by_a_crashed_job_is_not_handed_to_the_next(folder: Path) -> None:
    start(folder / "a", "crashed")
    logger = start(folder / "b", "next")
    assert logger.experiment.id == "next"
    finish(logger)


def test_disabled_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = start(folder, "abc")
    logger.log_metrics({"train/loss": 1.0}, step=0)
    log_summary(logger.experiment, {"test/eer": 0.25})
    log_curves(logger.experiment, {"roc_far": np.ones(2), "roc_tar": np.ones(2)}, {})
    finish(logger)
    assert list(folder.iterdir()) == []
    assert list(Path.cwd().iterdir()) == []


def test_online_without_a_key_is_offline_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    finish(start(folder, "abc"))
    assert run_folders(folder)[0].startswith("offline-run-")
    assert (
        capfd.readouterr().err == "W&B: WANDB_MODE=online, but not logged in (wandb login): logging offline\n"
    )


def test_a_malformed_key_is_offline_and_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    finish(start(folder, "abc"))
    (name,) = run_folders(folder)
    line = capfd.readouterr().err
    assert line.startswith("W&B: WANDB_API_KEY invalid")
    assert line.endswith(f"logging offline; upload later with: wandb sync {folder / 'wandb' / name}\n")


@pytest.mark.parametrize("machine", ["api.wandb.ai", "default"])
def test_a_key_in_netrc_counts_as_logged_in(tmp_path: Path, machine: str) -> None:
    settings = wandb.Settings()
    assert not wandb_session._logged_in(settings)
    entry = "default" if machine == "default" else f"machine {machine}"
    (tmp_path / "home" / "netrc").write_text(f"{entry}\n  login user\n  password {FAKE_KEY}\n")
    assert wandb_session._logged_in(settings)


def test_a_broken_netrc_counts_as_not_logged_in(tmp_path: Path) -> None:
    (tmp_path / "home" / "netrc").write_text("machine\nnonsense [\n")
    assert not wandb_session._logged_in(wandb.Settings())


def test_a_failure_while_logging_is_said_once_and_stops_only_the_mirror(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = start(folder, "abc")

    def broken(*args: object, **kwargs: object) -> None:
        raise ConnectionResetError("Connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(logger.experiment, "log", broken)
        for step in range(3):
            logger.log_metrics({"train/loss": 1.0}, step=step)
        log_curves(logger.experiment, {"roc_far": np.ones(2), "roc_tar": np.ones(2)}, {})
    finish(logger)
    assert capfd.readouterr().err.splitlines() == [
        "W&B: stopped (Connection lost); metrics.csv goes on",
        "W&B: curves not logged (Connection lost); the run's folder has them",
    ]


def test_a_silent_server_costs_the_limit_once_and_no_wait_at_exit(folder: Path) -> None:
    program = f"""
from lossbench.lightning import wandb_session
from lossbench.lightning.wandb_logger import finish, start_wandb
import time
wandb_session.INIT_LIMIT_S = 2
started = time.monotonic()
for run_id in ("first", "second"):
    logger = start_wandb({str(folder)!r}, project="p", name="n", run_id=run_id, config={{}})
    logger.log_metrics({{"train/loss": 1.0}}, step=0)
    finish(logger)
    print(time.monotonic() - started, flush=True)
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.listen(50)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = os.environ | {"WANDB_API_KEY": FAKE_KEY, "WANDB_BASE_URL": url}
        environment["PYTHONPATH"] = str(Path(lossbench.__path__[0]).parent)
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        times = [float(process.stdout.readline()) for _ in range(2)]
        last_line = time.monotonic()
        err = process.communicate(timeout=60)[1]
        exit_seconds = time.monotonic() - last_line
    assert process.returncode == 0
    assert times[0] < 7
    assert times[1] - times[0] < 2
    assert exit_seconds < 5
    assert [name.rsplit("-")[-1] for name in run_folders(folder)] == ["first", "second"]
    place = folder / "wandb" / run_folders(folder)[0]
    assert err == f"W&B: no answer in 2 s, logging offline; upload later with: wandb sync {place}\n"
    assert list(Path.cwd().iterdir()) == []


@pytest.fixture
def server_that_falls_silent() -> Iterator[str]:
    """Answers as far as the start of a run, then lets every request wait."""
    released = threading.Event()
    started = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path != "/graphql" or started.is_set():
                released.wait()
                return
            if b"UpsertBucket" in body:
                started.set()
            self.answer()

        def answer(self) -> None:
            project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}
            bucket = {"id": "b", "name": "abc", "displayName": "n", "config": "{}", "project": project}
            content = json.dumps({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_upload_that_stalls_is_given_up_and_the_next_job_is_offline(
    folder: Path,
    server_that_falls_silent: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("WANDB_BASE_URL", server_that_falls_silent)
    monkeypatch.setattr(wandb_session, "FINISH_LIMIT_S", 2)
    logger = start(folder, "abc")
    (name,) = run_folders(folder)
    assert re.fullmatch(r"run-\d+_\d+-abc", name)
    logger.log_metrics({"train/loss": 1.0}, step=0)
    started = time.monotonic()
    finish(logger)
    assert time.monotonic() - started < 5
    place = folder / "wandb" / name
    assert (
        capfd.readouterr().err == f"W&B: upload not done in 2 s; complete it later with: wandb sync {place}\n"
    )
    assert (place / "run-abc.wandb").stat().st_size > 0
    finish(start(folder, "next"))
    assert len(run_folders(folder)) == 2
