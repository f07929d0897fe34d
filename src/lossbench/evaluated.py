"""Embeddings in files -> the record of their evaluation, beside those of runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossbench.config import ConfigError
from lossbench.embeddings import Embeddings, read, read_rows
from lossbench.environment import environment, peak_memory_mb
from lossbench.identity import RECIPE
from lossbench.protocols import Evaluation, blufr, draw_trials, joined, lfw, megaface
from lossbench.protocols.labelled import Labelled, difference, labelled
from lossbench.readers import image_positions, read_blufr, read_pairs, sha256_of
from lossbench.records import RESULT, Record, read_record, write_curves, write_record
from lossbench.report.figures import run_figures

_BLOCK = 2**24


@dataclass(frozen=True)
class Request:
    """What to evaluate, on which rules, and where to write it.

    protocols: of PROTOCOLS in lossbench.evaluate. against: embeddings of the same rows by another system.
    pairs, trials, distractors: files that the protocols lfw, blufr and megaface read.
    """

    embeddings: Path
    labels: Path | None
    out: Path
    protocols: tuple[str, ...]
    bootstrap: int
    seed: int
    name: str | None = None
    against: Path | None = None
    pairs: Path | None = None
    trials: Path | None = None
    distractors: Path | None = None
    cleaned: bool = False
    figures: bool = True
    force: bool = False


def evaluate_files(request: Request) -> tuple[Record, bool]:
    """The record of a request, and whether it was there before; DIR/result.json is written last."""
    started = time.perf_counter()
    given = read(request.embeddings, request.labels)
    other = _other(request, given)
    lists = {path.name: sha256_of(path) for path in (request.pairs, request.trials) if path}
    asked = {"names": list(request.protocols), "bootstrap": request.bootstrap, "seed": request.seed}
    config = {"protocol": {**asked, "cleaned": request.cleaned, "lists": lists}}
    strangers = read_rows(request.distractors) if request.distractors else None
    identity = _digest(config, given, other, strangers)
    if (request.out / RESULT).exists() and not request.force:
        before = read_record(request.out)
        if before.id == identity:
            return before, True
        raise ConfigError(
            f"{request.out}: holds the result of something else; choose another --out, or --force"
        )
    found = _evaluate(request, given, strangers)
    against = _against(request, given, other)
    request.out.mkdir(parents=True, exist_ok=True)
    record = Record(
        id=identity,
        config=config,
        metrics=found.evaluation.metrics,
        details=_names(request) | found.evaluation.details | against,
        intervals=found.intervals,
        cost={
            "seconds": time.perf_counter() - started,
            "peak_memory_mb": peak_memory_mb(torch.device("cpu")),
        },
        split={"roles": {"test": given.facts()}, "sha256": identity},
        environment=environment(torch.device("cpu"), str(given.rows.dtype)),
    )
    write_curves(request.out, **found.evaluation.curves)
    if request.figures:
        run_figures(request.out / "figures", record, found.evaluation.curves, [])
    write_record(request.out, record)
    return record, False


def _names(request: Request) -> dict[str, Any]:
    dataset = (request.labels or request.embeddings).stem
    names = {"dataset": dataset, "head": request.name or request.embeddings.stem, "knobs": {}}
    return names | {"embeddings": str(request.embeddings)}


def _evaluate(request: Request, given: Embeddings, strangers: Any) -> Labelled:
    rows, labels = torch.from_numpy(given.rows), torch.from_numpy(given.labels)
    ours = [name for name in request.protocols if name in ("verification", "identification")]
    found = labelled(rows, labels, protocols=ours, replicates=request.bootstrap, seed=request.seed)
    parts: dict[str, Evaluation] = {}
    if "lfw" in request.protocols:
        parts["lfw"] = _lfw(request, given, rows)
    if "blufr" in request.protocols:
        parts["blufr"] = _blufr(request, rows, labels)
    if "megaface" in request.protocols:
        if strangers is None:
            raise ConfigError("--protocol megaface: needs --distractors FILE")
        others = torch.from_numpy(strangers)
        parts["megaface"] = megaface(rows, labels, others, cleaned=request.cleaned)
    return Labelled(found.evaluation | joined("test", parts), found.intervals)


def _lfw(request: Request, given: Embeddings, rows: Tensor) -> Evaluation:
    if request.pairs is None:
        raise ConfigError("--protocol lfw: needs --pairs pairs.txt, and LABELS naming each row's image")
    listed = read_pairs(request.pairs)
    images = image_positions(
        [given.names[label] if label >= 0 else str(i) for i, label in enumerate(given.labels)]
    )
    pairs, same, fold = (torch.from_numpy(part) for part in (listed.rows(images), listed.same, listed.fold))
    return lfw(rows, pairs, same, fold)


def _blufr(request: Request, rows: Tensor, labels: Tensor) -> Evaluation:
    if request.trials is None:
        return blufr(rows, labels, draw_trials(labels, seed=request.seed))
    official = read_blufr(request.trials)
    if len(official.images) != len(rows):
        raise ConfigError(
            f"{request.trials}: names {len(official.images)} images, there are {len(rows)} rows"
        )
    return blufr(rows, torch.from_numpy(official.labels), official.trials)


def _other(request: Request, given: Embeddings) -> Embeddings | None:
    if request.against is None:
        return None
    if not request.bootstrap:
        raise ConfigError("--against: needs --bootstrap of at least 1")
    other = read(request.against, request.labels)
    if other.names != given.names or (other.labels != given.labels).any():
        raise ConfigError(
            f"--against {request.against}: has other labels; rows must belong together one by one"
        )
    return other


def _against(request: Request, given: Embeddings, other: Embeddings | None) -> dict[str, Any]:
    if other is None:
        return {}
    rows, others, labels = map(torch.from_numpy, (given.rows, other.rows, given.labels))
    found = difference(rows, others, labels, replicates=request.bootstrap, seed=request.seed)
    return {"against": {"embeddings": str(request.against), "differences": found}}


def _digest(config: Mapping[str, Any], given: Embeddings, other: Embeddings | None, strangers: Any) -> str:
    """Hex sha256 of every row, every label and what is asked of them."""
    digest = hashlib.sha256(json.dumps([config, RECIPE, given.names], sort_keys=True).encode())
    digest.update(given.labels.tobytes())
    for rows in (given.rows, None if other is None else other.rows, strangers):
        if rows is not None:
            digest.update(json.dumps([str(rows.dtype), rows.shape]).encode())
            step = max(1, _BLOCK // rows.shape[1])
            for start in range(0, len(rows), step):
                digest.update(rows[start : start + step].tobytes())
    return digest.hexdigest()
