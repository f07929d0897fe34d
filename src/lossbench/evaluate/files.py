"""Embeddings in files -> the record of their evaluation, beside those of runs."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lossbench.config import ConfigError
from lossbench.embeddings import Embeddings, read, read_rows
from lossbench.environment import environment, peak_memory_mb
from lossbench.evaluate.folder import FIGURES, HARDEST, foreign_file, holds_runs, written_at_once
from lossbench.evaluate.labelled import Labelled, difference, labelled
from lossbench.evaluate.listed import listed
from lossbench.evaluate.request import LABELLED, Request, asked_rules, check_request
from lossbench.identity import RECIPE
from lossbench.protocols import Evaluation, identity_intervals, joined
from lossbench.records import RESULT, Record, read_record, write_curves, write_record

_CPU = torch.device("cpu")
_BLOCK = 2**24
_SAMPLE, _TIMED = 1024, 5


def evaluate_files(
    request: Request, tell: Callable[[str], object] = lambda line: None
) -> tuple[Record, bool]:
    """The record of a request, and whether it was there before; DIR/result.json is written last.

    tell: called with what is at work, whenever that changes.
    """
    started = time.perf_counter()
    check_request(request)
    if holds_runs(request.out):
        raise ConfigError(f"--out {request.out}: holds a training run, or folders of results; choose another")
    tell(f"reading {request.embeddings}")
    given = read(request.embeddings, request.labels) if request.labelled else read_rows(request.embeddings)
    other, strangers = _other(request, given), _strangers(request, given)
    config = {"protocol": asked_rules(request)}
    identity = _digest(config, given, other, strangers)
    if (request.out / RESULT).exists() and not request.force:
        before = read_record(request.out)
        if before.id != identity:
            raise ConfigError(
                f"{request.out}: holds the result of something else; choose another --out, or --force"
            )
        drawn = (request.out / FIGURES).exists() or not request.figures
        if drawn and all(before.details.get(key) == _names(request)[key] for key in ("head", "dataset")):
            return before, True
    elif not request.force and (foreign := foreign_file(request.out)):
        raise ConfigError(f"{foreign}: was not written by an evaluation; choose another --out, or --force")
    with written_at_once(request.out) as place:
        found = _evaluate(request, given, strangers, tell)
        facts = given.facts()
        details = _names(request) | found.evaluation.details | {"without_interval": found.without}
        details |= _against(request, found, other, tell)
        if cautions := _cautions(request, facts, given, strangers) + details.get("cautions", []):
            details["cautions"] = cautions
        cost = {"seconds": time.perf_counter() - started, "peak_memory_mb": peak_memory_mb(_CPU)}
        record = Record(
            id=identity,
            config=config,
            metrics=found.evaluation.metrics,
            details=details,
            intervals=found.intervals,
            cost=cost,
            split={"roles": {"test": facts}, "sha256": identity},
            environment=environment(_CPU, str(given.rows.dtype)),
        )
        _write(place, request, found, given, record, tell)
    return record, False


def _write(
    place: Path,
    request: Request,
    found: Labelled,
    given: Embeddings,
    record: Record,
    tell: Callable[[str], object],
) -> None:
    if found.hardest:
        _write_hardest(place / HARDEST, found, given)
    write_curves(place, **found.evaluation.curves)
    if request.figures:
        # matplotlib takes half a second to import.
        from lossbench.report.figures import run_figures

        tell("drawing figures")
        run_figures(place / FIGURES, record, found.evaluation.curves, [])
    write_record(place, record)


def _names(request: Request) -> dict[str, Any]:
    rows = request.labels or request.media or request.pairs or request.embeddings
    names = {
        "dataset": request.dataset or rows.stem,
        "head": request.name or request.embeddings.stem,
        "knobs": {},
    }
    return names | {"embeddings": str(request.embeddings)}


def _cautions(
    request: Request, facts: Mapping[str, int], given: Embeddings, strangers: Embeddings | None
) -> list[str]:
    where = "their label" if request.labelled else "the file"
    counts = {
        "rows that are zero": (facts["zero_rows"], "their cosine with everything counts as 0"),
        f"rows that equal an earlier row of {where}": (facts["repeated"], "images there twice?"),
        "rows that equal a row of another label": (facts["shared"], "mislabelled images?"),
        "identities with one row": (facts.get("without_mate", 0), "they have no genuine pair"),
    }
    if "lfw" in request.protocols:  # labels are names of images
        counts.pop("identities with one row")
        counts["rows that equal a row of another label"] = facts["shared"], "images there twice?"
    if strangers is not None:
        known = strangers.digests[np.isin(strangers.digests, given.digests)]
        zero = int((strangers.digests == 0).sum())
        counts["distractors that are zero"] = zero, "their cosine with everything counts as 0"
        counts["distractors that equal a row"] = int((known != 0).sum()), "images of people in LABELS?"
    return [f"{what}: {count:,} ({why})" for what, (count, why) in counts.items() if count]


def _evaluate(
    request: Request, given: Embeddings, strangers: Embeddings | None, tell: Callable[[str], object]
) -> Labelled:
    rows, labels = torch.from_numpy(given.rows), torch.from_numpy(given.labels)
    others = None if strangers is None else torch.from_numpy(strangers.rows)
    more = 0 if others is None else len(others)
    ours = [name for name in request.protocols if name in LABELLED]
    found = Labelled(joined("test", {}))
    if ours:
        tell(f"{' and '.join(ours)}, all pairs of {len(rows):,} rows{_about(rows, len(rows) + more)}")
        found = labelled(
            rows, labels, protocols=ours, distractors=others, replicates=request.bootstrap, seed=request.seed
        )
    parts: dict[str, Evaluation] = {}
    for name in request.protocols:
        if name not in LABELLED:
            tell(f"{name}, {len(rows):,} rows{_about(rows, more)}")
            parts[name] = listed(name, request, given, others)
    evaluation = found.evaluation | joined("test", parts)
    intervals, without = identity_intervals(evaluation)
    for part in parts.values():
        own = part.details.get("intervals", {})
        intervals |= {f"test/{metric}": interval for metric, interval in own.items()}
    return Labelled(evaluation, found.hardest, intervals, without, found.identities)


def _about(rows: torch.Tensor, others: int) -> str:
    """How long scores with so many others take, where that is minutes: about as long as float32 products."""
    sample = rows[:_SAMPLE].float()
    started = time.perf_counter()
    for _ in range(_TIMED):
        sample @ sample.T
    seconds = (time.perf_counter() - started) / _TIMED * len(rows) * others / len(sample) ** 2
    return f", about {seconds / 60:,.0f} min" if len(sample) == _SAMPLE and seconds > 90 else ""


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


def _strangers(request: Request, given: Embeddings) -> Embeddings | None:
    if request.distractors is None:
        return None
    found = read_rows(request.distractors)
    if found.rows.shape[1] != given.rows.shape[1]:
        dims = f"{found.rows.shape[1]} columns, {request.embeddings} {given.rows.shape[1]}"
        raise ConfigError(f"--distractors {request.distractors}: has {dims}; they must be of one model")
    return found


def _other(request: Request, given: Embeddings) -> Embeddings | None:
    if request.against is None:
        return None
    if request.labels or request.against.suffix != ".npy":
        other = read(request.against, request.labels)
    else:  # rows alone: the labels in EMB are those of both
        other = replace(read_rows(request.against), labels=given.labels, names=given.names)
        if len(other.rows) != len(given.rows):
            raise ConfigError(f"--against {request.against}: {len(other.rows)} rows, not {len(given.rows)}")
    if other.names != given.names or not np.array_equal(other.labels, given.labels):
        raise ConfigError(
            f"--against {request.against}: has other labels; rows must belong together one by one"
        )
    return other


def _against(
    request: Request, found: Labelled, other: Embeddings | None, tell: Callable[[str], object]
) -> dict[str, Any]:
    if other is None:
        return {}
    tell(f"all of it for {request.against}")
    rows, labels = torch.from_numpy(other.rows), torch.from_numpy(other.labels)
    ours = [name for name in request.protocols if name in LABELLED]
    theirs = labelled(rows, labels, protocols=ours, replicates=request.bootstrap, seed=request.seed)
    differences = difference(found, theirs)
    return {"against": {"embeddings": str(request.against), "differences": differences}}


def _digest(
    config: Mapping[str, Any], given: Embeddings, other: Embeddings | None, strangers: Embeddings | None
) -> str:
    """Hex sha256 of every row, every label and what is asked of them."""
    digest = hashlib.sha256(json.dumps([config, RECIPE, given.names], sort_keys=True).encode())
    digest.update(given.labels.tobytes())
    for role, part in (("rows", given), ("against", other), ("distractors", strangers)):
        if part is not None:
            rows = part.rows
            digest.update(json.dumps([role, str(rows.dtype), rows.shape]).encode())
            step = max(1, _BLOCK // rows.shape[1])
            for start in range(0, len(rows), step):
                digest.update(rows[start : start + step].tobytes())
    return digest.hexdigest()
