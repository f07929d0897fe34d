"""Imports go downwards only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "lossbench"

LAYERS = [
    {"", "validate", "command"},
    {
        "losses",
        "margins",
        "embedding_losses",
        "pml",
        "functional",
        "records",
        "schedules",
        "augment",
        "config",
        "feasibility",
        "intervals",
    },
    {"readers", "embeddings", "contradictions", "naming"},
    {
        "heads",
        "regularizers",
        "backbones",
        "datasets",
        "metrics",
        "identity",
        "report",
        "mistakes",
    },
    {"protocols", "diagnostics", "fusion", "environment", "data"},
    {"lightning", "suggest", "dashboard"},
    {"build", "evaluate_splits"},
    {"check", "trained"},
    {"job"},
    {"run", "embed", "evaluate", "chapter"},
    {"cli"},
    {"__main__"},
]
RANK = {module: rank for rank, modules in enumerate(LAYERS) for module in modules}
FILES = sorted(SOURCE.rglob("*.py"))


def imports(path):
    """Every module a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "lossbench":
                yield from (f"lossbench.{alias.name}" for alias in node.names)


def part(module):
    """First name below lossbench: "losses" of "lossbench.losses.hinge"."""
    names = module.split(".")
    return names[1] if len(names) > 1 and not names[1].startswith("__version") else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_downwards_only(path):
    own = path.relative_to(SOURCE).with_suffix("").parts[0].replace("__init__", "")
    for module in imports(path):
        if module.split(".")[0] == "lossbench" and part(module) != own:
            assert RANK[part(module)] < RANK[own], f"{own} imports {module}"


def test_only_the_lightning_layer_imports_lightning_and_wandb():
    for path in FILES:
        tops = {module.split(".")[0] for module in imports(path)}
        if path.parent.name != "lightning":
            assert not tops & {"pytorch_lightning", "wandb"}, path


def test_functional_imports_torch_alone():
    allowed = set(sys.stdlib_module_names) | {"torch"}
    for path in (SOURCE / "functional").glob("*.py"):
        for module in imports(path):
            top = module.split(".")[0]
            assert top in allowed or part(module) in ("functional", "validate"), (
                f"{path.name} imports {module}"
            )


@pytest.mark.parametrize(
    "module",
    ["cli", "run", "records", "report", "report.summary", "datasets", "identity", "readers", "data.__main__"]
    + [f"data.{name}" for name in ("listing", "preparing", "sheet", "checking")],
)
def test_nothing_a_finished_run_needs_imports_torch(module):
    heavy = ("torch", "pytorch_lightning", "wandb")
    code = f"import sys, lossbench.{module}; print([name for name in {heavy} if name in sys.modules])"
    environment = {"PYTHONPATH": str(SOURCE.parent), "PATH": ""}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert found.stdout.strip() == "[]"
