"""The wheel, built and installed beside this environment, runs from another folder with its own conf/."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD = """
import sys
from hatchling.builders.wheel import WheelBuilder
print(next(WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], versions=["standard"])))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("wheel"))
    command = [sys.executable, "-c", BUILD, str(ROOT), folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (path,) = Path(folder).glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder to put before everything else on the path."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*command, "--target", str(folder), str(wheel)], check=True, timeout=120)
    return folder


def call(installed, cwd, *arguments):
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_the_wheel_holds_the_package_its_conf_and_its_licence_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    packaged = {name.removeprefix("lossbench/conf/") for name in names if name.startswith("lossbench/conf/")}
    assert packaged == {
        path.relative_to(ROOT / "conf").as_posix() for path in (ROOT / "conf").rglob("*.yaml")
    }
    source = ROOT / "src" / "lossbench"
    modules = {path.relative_to(source.parent).as_posix() for path in source.rglob("*.py")}
    assert modules <= set(names)
    assert "lossbench/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"lossbench"}


def test_the_installed_package_and_its_conf_are_the_ones_used(installed, tmp_path):
    program = "import lossbench.config as c; print(c.__file__); print(c.conf_dir())"
    done = call(installed, tmp_path, "-c", program)
    file, conf = done.stdout.splitlines()
    assert Path(file) == installed / "lossbench" / "config.py"
    assert Path(conf) == installed / "lossbench" / "conf"


def test_the_installed_command_helps_and_trains_from_another_folder(installed, tmp_path):
    helped = call(installed, tmp_path, "-m", "lossbench", "--help")
    assert helped.returncode == 0, helped.stderr
    assert "which head and loss should I train with?" in helped.stdout
    options = ["trainer=smoke", "dataset=digits", "backbone=mlp", "loss=amsoftmax", "m=0.2", "logger=none"]
    done = call(installed, tmp_path, "-m", "lossbench", *options)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("runs/adhoc/*/result.json")
    record = json.loads(path.read_text())
    assert record["config"]["head"]["margin"]["m"] == 0.2
    assert record["environment"]["commit"] is None
    assert record["environment"]["lossbench"] in os.fspath(next(installed.glob("lossbench-*")))
    report = call(installed, tmp_path, "-m", "lossbench.report", "runs")
    assert report.returncode == 0, report.stderr


def test_a_mistake_is_one_line_there_too(installed, tmp_path):
    done = call(installed, tmp_path, "-m", "lossbench", "loss=ce", "m=0.35")
    assert done.returncode == 1
    assert done.stderr.startswith("lossbench: error: m: the chosen head and loss take no m")
    assert len(done.stderr.splitlines()) == 1
