"""The facts recorded about machine and code."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import lossbench
from lossbench.environment import environment, peak_memory_mb, reset_peak_memory
from lossbench.identity import RECIPE

CPU = torch.device("cpu")


def test_the_environment_names_versions_threads_and_precision(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lossbench", "loss=ce", "seed=3"])
    found = environment(CPU, "bf16")
    assert found["precision"] == "bf16"
    assert found["threads"] == torch.get_num_threads()
    assert found["device"] == "cpu"
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"] == torch.__version__
    assert found["numpy"] == np.__version__
    assert found["pytorch_lightning"] == version("pytorch-lightning")
    assert found["lossbench"] == lossbench.__version__
    assert found["recipe"] == RECIPE
    assert found["system"].startswith(platform.system())
    assert found["command"] == "python -m lossbench loss=ce seed=3"
    assert json.loads(json.dumps(found)) == found


@pytest.mark.skipif(platform.system() != "Linux", reason="/proc is Linux's")
def test_the_processor_is_named_on_linux():
    assert environment(CPU, "fp32")["cpu"] in Path("/proc/cpuinfo").read_text()


def _git(folder, *words):
    name = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *name, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_checkout_with_a_plus_where_files_differ(tmp_path, monkeypatch):
    module = tmp_path / "src" / "lossbench" / "environment.py"
    module.parent.mkdir(parents=True)
    module.write_text("one")
    monkeypatch.setattr("lossbench.environment.__file__", str(module))
    assert environment(CPU, "fp32")["commit"] is None  # no checkout
    _git(tmp_path, "init", "-q")
    assert environment(CPU, "fp32")["commit"] is None  # no commit yet
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "first")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert environment(CPU, "fp32")["commit"] == commit
    (tmp_path / "untracked").write_text("")
    assert environment(CPU, "fp32")["commit"] == commit
    module.write_text("two")
    assert environment(CPU, "fp32")["commit"] == commit + "+"


def test_a_machine_without_git_records_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment(CPU, "fp32")["commit"] is None


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="/proc is Linux's")
def test_peak_memory_is_that_of_the_run_and_not_of_the_one_before():
    large = np.ones(200_000_000 // 8)  # 200 MB
    high = peak_memory_mb(CPU)
    del large
    reset_peak_memory()
    low = peak_memory_mb(CPU)
    assert low < high - 150
    again = np.ones(200_000_000 // 8)
    assert peak_memory_mb(CPU) == pytest.approx(low + 200, abs=40)
    del again


def test_peak_memory_is_known_without_proc(monkeypatch):
    before = peak_memory_mb(CPU)

    def missing(*_):
        raise OSError

    monkeypatch.setattr(Path, "read_text", missing)
    assert peak_memory_mb(CPU) == pytest.approx(before, rel=5)
    assert peak_memory_mb(CPU) > 20  # megabytes, whatever the unit of the system call
