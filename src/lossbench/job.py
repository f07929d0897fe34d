"""Carry out one run in its folder: train, evaluate, write everything, the record last."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossbench import build
from lossbench.config import ConfigError
from lossbench.diagnostics import infeasible_margin
from lossbench.environment import environment, peak_memory_mb, reset_peak_memory
from lossbench.evaluate_splits import evaluate_splits
from lossbench.heads import CosineHead
from lossbench.identity import run_names
from lossbench.lightning.checkpoints import checkpoint_step, load_weights
from lossbench.lightning.datamodule import DeviceData, InMemory
from lossbench.lightning.fit import Fitted, fit
from lossbench.lightning.module import Training
from lossbench.lightning.tracking import Tracking
from lossbench.protocols import Evaluation, identity_intervals
from lossbench.records import Record, write_curves, write_record, write_replicates
from lossbench.report.figures import run_figures
from lossbench.trained import make_teacher

log = logging.getLogger(__name__)


def execute(config: Mapping[str, Any], identity: str, folder: Path) -> Record:
    """Train (or resume) and evaluate a checked configuration; returns the record it wrote."""
    started = time.perf_counter()
    reset_peak_memory()
    resume = checkpoint_step(folder)
    device = build.pick_device(config["device"])
    data = build.make_data(config, device)
    teacher = make_teacher(config, data) if config.get("teacher") else None
    counts = data.dataset.counts()
    module = build.make_training(config, shape=data.shape, counts=counts, teacher=teacher).to(device)
    _warn_of_infeasible_margin(module, data.dataset.classes)
    precision = build.pick_precision(config["precision"], device, module.backbone)
    names = run_names(config) | {"dataset": data.dataset.name}
    resume_step = None if resume is None else resume[1] - 1
    with Tracking(folder, config, names, identity, resume_step) as tracking:
        fitted, train_seconds = _train(module, data, folder, config, precision, tracking, resume)
        tau = float(config["loss"].get("tau", 1.0))
        val, test = evaluate_splits(module, data, protocol=config["protocol"], tau=tau, precision=precision)
        intervals, without = identity_intervals(test)
        record = Record(
            id=identity,
            config=dict(config),
            metrics=val.metrics | test.metrics,
            details=names | _details(fitted, val, test) | ({"without_interval": without} if without else {}),
            intervals=intervals,
            cost={
                "seconds": time.perf_counter() - started + fitted.seconds_before,
                "train_seconds": train_seconds + fitted.seconds_before,
                "peak_memory_mb": peak_memory_mb(device),
            },
            split=_split(data),
            environment=environment(device, precision) | {"resumed": resume is not None},
        )
        write_curves(folder, **test.curves)
        if test.replicates:
            write_replicates(folder, test.replicates)
        figures = _figures(folder, record, test, tracking) if config["figures"] else {}
        tracking.log_result(record.metrics, test.curves, figures)
    write_record(folder, record)
    if not config["keep_checkpoints"]:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return record


def _warn_of_infeasible_margin(module: Training, classes: int) -> None:
    if not isinstance(module.head, CosineHead):
        return
    for part in module.paced:
        part.at(1, 1)  # the margin that training ends with
    told = infeasible_margin(module.head, dim=module.backbone.dim, classes=classes)  # type: ignore[arg-type]
    for part in module.paced:
        part.at(0, 1)
    if told:
        log.warning(told)


def _train(
    module: Training,
    data: DeviceData,
    folder: Path,
    config: Mapping[str, Any],
    precision: str,
    tracking: Tracking,
    resume: tuple[Path, int] | None,
) -> tuple[Fitted, float]:
    started = time.perf_counter()
    trainer = config["trainer"]
    fitted = fit(
        module,
        InMemory(
            data,
            batch_size=trainer["batch_size"],
            seed=config["seed"],
            samples_per_class=trainer["samples_per_class"],
        ),
        folder,
        steps=trainer["steps"],
        validations=trainer["validations"],
        precision=precision,
        seed=config["seed"],
        loggers=tracking.loggers,
        log_every=config["log_every"],
        checkpoint_every=config["checkpoint_every"],
        progress=config["progress"],
        resume=None if resume is None else resume[0],
    )
    best = folder / "checkpoints" / "best.ckpt"
    if trainer["weights"] == "best":
        if not best.exists():
            raise ConfigError("trainer.weights=best: this data set has no validation split; use last")
        load_weights(module, best)
    module.to(data.device).eval()
    return fitted, time.perf_counter() - started


def _figures(folder: Path, record: Record, test: Evaluation, tracking: Tracking) -> dict[str, Path]:
    paths = run_figures(folder / "figures", record, test.curves, tracking.history)
    return {path.stem: path for path in paths if path.suffix == ".png"}


def _details(fitted: Fitted, val: Evaluation, test: Evaluation) -> dict[str, Any]:
    expected = fitted.expected_loss
    return {
        **val.details,
        **test.details,
        "undefined": val.details["undefined"] | test.details["undefined"],
        "steps": fitted.steps,
        "initial_loss": {
            "measured": fitted.initial_loss,
            "expected": None if expected is None else expected.mean,
            "spread": None if expected is None else expected.spread,
        },
    }


def _split(data: DeviceData) -> dict[str, Any]:
    """Who was in which role: identity names, or their number and digest where they are many."""
    roles = {role: split.describe() for role, split in data.dataset.splits.items()}
    facts = {"sha256": data.dataset.sha256, "open_set": data.dataset.open_set, "shape": list(data.shape)}
    if data.dataset.facts:
        facts["facts"] = dict(data.dataset.facts)
    return {**facts, "roles": roles}
