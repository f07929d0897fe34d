"""Embeddings in files -> the record of their evaluation, beside those of runs."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossbench.config import ConfigError
from lossbench.embeddings import Embeddings, read, read_rows
from lossbench.environment import environment, peak_memory_mb
from lossbench.identity import RECIPE
from lossbench.protocols import Evaluation, blufr, draw_trials, joined, lfw, megaface
from lossbench.protocols.labelled import Labelled, difference, labelled
from lossbench.readers import file_stem, image_positions, read_blufr, read_pairs, sha256_of
from lossbench.records import RESULT, Record, read_record, write_curves, write_record
from lossbench.report.figures import run_figures

FEWEST = 200
"""Replicates below which the ends of a 95 % interval are left to chance."""

_BLOCK = 2**24


@dataclass(frozen=True)
class Request:
    """What to evaluate, on which rules, and where to write it.

    protocols: of PROTOCOLS in lossbench.evaluate. against: embeddings of the same rows by another system.
    pairs, trials, distractors: files that the protocols lfw, blufr and megaface (or identification) read.
    rule, flip: of lfw; how its threshold is chosen, and how rows came from an image and its mirror image.
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
    rule: str = "exact"
    flip: str | None = None
    figures: bool = True
    force: bool = False


def evaluate_files(request: Request) -> tuple[Record, bool]:
    """The record of a request, and whether it was there before; DIR/result.json is written last."""
    started = time.perf_counter()
    _check(request)
    given = read(request.embeddings, request.labels)
    other = _other(request, given)
    lists = {path.name: sha256_of(path) for path in (request.pairs, request.trials) if path}
    asked = {"names": list(request.protocols), "bootstrap": request.bootstrap, "seed": request.seed}
    rules = {"cleaned": request.cleaned, "rule": request.rule, "flip": request.flip}
    config = {"protocol": {**asked, **rules, "lists": lists}}
    strangers = read_rows(request.distractors) if request.distractors else None
    identity = _digest(config, given, other, strangers)
    if (request.out / RESULT).exists() and not request.force:
        before = read_record(request.out)
        if before.id == identity:
            return before, True
        raise ConfigError(
            f"{request.out}: holds the result of something else; choose another --out, or --force"
        )
    request.out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(request.out / "figures", ignore_errors=True)
    found = _evaluate(request, given, strangers)
    against = _against(request, found, other)
    record = Record(
        id=identity,
        config=config,
        metrics=found.evaluation.metrics,
        details=_names(request) | found.evaluation.details | {"without_interval": found.without} | against,
        intervals=found.intervals,
        cost={
            "seconds": time.perf_counter() - started,
            "peak_memory_mb": peak_memory_mb(torch.device("cpu")),
        },
        split={"roles": {"test": given.facts()}, "sha256": identity},
        environment=environment(torch.device("cpu"), str(given.rows.dtype)),
    )
    _write_hardest(request.out / "hardest.csv", found, given)
    write_curves(request.out, **found.evaluation.curves)
    if request.figures:
        run_figures(request.out / "figures", record, found.evaluation.curves, [])
    write_record(request.out, record)
    return record, False


def _check(request: Request) -> None:
    """Refuse options that the protocols asked for would not read."""
    readers = {
        "pairs": ("lfw",),
        "trials": ("blufr",),
        "distractors": ("megaface", "identification"),
        "cleaned": ("megaface",),
        "flip": ("lfw",),
        "against": ("verification",),
    }
    for option, protocols in readers.items():
        if getattr(request, option) and not set(protocols) & set(request.protocols):
            raise ConfigError(f"--{option}: only --protocol {' or '.join(protocols)} reads it")
    if request.against and not request.bootstrap:
        raise ConfigError("--against: needs --bootstrap of at least 200")
    if 0 < request.bootstrap < FEWEST:
        raise ConfigError(f"--bootstrap {request.bootstrap}: give {FEWEST} or more, or 0 for no intervals")
    if request.out.exists() and not request.out.is_dir():
        raise ConfigError(f"--out {request.out}: is a file; give a folder")


def _names(request: Request) -> dict[str, Any]:
    dataset = (request.labels or request.embeddings).stem
    names = {"dataset": dataset, "head": request.name or request.embeddings.stem, "knobs": {}}
    return names | {"embeddings": str(request.embeddings)}


def _evaluate(request: Request, given: Embeddings, strangers: Any) -> Labelled:
    rows, labels = torch.from_numpy(given.rows), torch.from_numpy(given.labels)
    ours = [name for name in request.protocols if name in ("verification", "identification")]
    others = None if strangers is None else torch.from_numpy(strangers)
    found = labelled(
        rows, labels, protocols=ours, distractors=others, replicates=request.bootstrap, seed=request.seed
    )
    parts: dict[str, Evaluation] = {}
    if "lfw" in request.protocols:
        parts["lfw"] = _lfw(request, given, rows)
    if "blufr" in request.protocols:
        parts["blufr"] = _blufr(request, given, rows, labels)
    if "megaface" in request.protocols:
        if others is None:
            raise ConfigError("--protocol megaface: needs --distractors FILE")
        parts["megaface"] = megaface(rows, labels, others, cleaned=request.cleaned)
    return replace(found, evaluation=found.evaluation | joined("test", parts))


def _write_hardest(path: Path, found: Labelled, given: Embeddings) -> None:
    """The pairs to look at first: impostors that score highest, genuine pairs that score lowest."""
    rows = [
        (kind, f"{score:.6f}", a, b, given.names[given.labels[a]], given.names[given.labels[b]])
        for kind, pairs in found.hardest.items()
        for score, a, b in ((pair[0], int(pair[1]), int(pair[2])) for pair in pairs)
    ]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["kind", "score", "row", "other_row", "label", "other_label"])
        writer.writerows(rows)


def _lfw(request: Request, given: Embeddings, rows: Tensor) -> Evaluation:
    if request.pairs is None:
        raise ConfigError("--protocol lfw: needs --pairs pairs.txt, and LABELS naming each row's image")
    listed = read_pairs(request.pairs)
    images = image_positions([file_stem(given.names[label]) for label in given.labels])
    pairs, same, fold = (torch.from_numpy(part) for part in (listed.rows(images), listed.same, listed.fold))
    found = lfw(rows, pairs, same, fold, rule=request.rule, flip=request.flip or "none")
    # What nobody told is not known to be none.
    return replace(found, details=found.details | {"flip": request.flip})


def _blufr(request: Request, given: Embeddings, rows: Tensor, labels: Tensor) -> Evaluation:
    if request.trials is None:
        return blufr(rows, labels, draw_trials(labels, seed=request.seed))
    official = read_blufr(request.trials)
    if len(official.images) != len(rows):
        raise ConfigError(
            f"{request.trials}: names {len(official.images)} images, there are {len(rows)} rows"
        )
    both = np.unique(np.stack([given.labels, official.labels]), axis=1).shape[1]
    if not both == len(given.names) == len(np.unique(official.labels)):
        raise ConfigError(f"{request.trials}: groups the rows otherwise than LABELS; put rows in its order")
    return blufr(rows, torch.from_numpy(official.labels), official.trials)


def _other(request: Request, given: Embeddings) -> Embeddings | None:
    if request.against is None:
        return None
    other = read(request.against, request.labels)
    if other.names != given.names or (other.labels != given.labels).any():
        raise ConfigError(
            f"--against {request.against}: has other labels; rows must belong together one by one"
        )
    return other


def _against(request: Request, found: Labelled, other: Embeddings | None) -> dict[str, Any]:
    if other is None:
        return {}
    rows, labels = torch.from_numpy(other.rows), torch.from_numpy(other.labels)
    asked = {"replicates": request.bootstrap, "seed": request.seed}
    theirs = labelled(rows, labels, protocols=["verification"], **asked)  # type: ignore[arg-type]
    differences = difference(found, theirs)
    return {"against": {"embeddings": str(request.against), "differences": differences}}


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
