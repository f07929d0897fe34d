"""The run record: what a finished run says about itself, on disk as json, npz and csv (no torch)."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 1
RESULT, CURVES, HISTORY = "result.json", "curves.npz", "metrics.csv"
REPLICATES = "replicates.npz"


class RecordError(ValueError):
    """A record that cannot be read. The message is one line and begins with the path."""


@dataclass(frozen=True)
class Record:
    """One trained and evaluated configuration.

    ``metrics`` maps a name such as ``test/tar_far_1e_3`` to a number, or to None where it is undefined; the
    reason then stands in ``details["undefined"][name]``. Rates are fractions in [0, 1].
    ``details`` also holds the names of the parts (``dataset``, ``backbone``, ``head``, ``loss``), the
    ``knobs`` and, under a metric's own name, the facts beside it (``{"achieved_far": ..., ...}``).
    ``intervals`` maps a metric's name to ``{"low": ..., "high": ...}``, a 95 % interval within this run.
    ``cost`` is in seconds and megabytes. ``environment`` says where it ran and is never part of the id.
    """

    id: str
    config: dict[str, Any]
    metrics: dict[str, float | None]
    details: dict[str, Any] = field(default_factory=dict)
    intervals: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)


def write_record(folder: Path | str, record: Record) -> Path:
    """Write ``folder/result.json`` in one step: a reader sees the whole file or none.

    NaN metrics become null. Raises ValueError for an undefined metric without a reason, and for any other
    number that JSON does not have.
    """
    metrics = {name: _number_or_none(value) for name, value in record.metrics.items()}
    reasons = record.details.get("undefined", {})
    for name, value in metrics.items():
        if value is None and not reasons.get(name):
            raise ValueError(f'{name} is undefined: say why in details["undefined"]["{name}"]')
    for name, interval in record.intervals.items():
        if not isinstance(interval, Mapping) or not {"low", "high"} <= set(interval):
            raise ValueError(f'intervals["{name}"]={interval!r}: must be {{"low": ..., "high": ...}}')
    content = _plain({"schema": SCHEMA, **asdict(record), "metrics": metrics}, "")
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    return _replace(Path(folder) / RESULT, lambda path: path.write_text(text, encoding="utf-8"))


def read_record(folder_or_file: Path | str) -> Record:
    """Read a record from its folder or its ``result.json``; raises RecordError."""
    path = Path(folder_or_file)
    path = path / RESULT if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise RecordError(f"{path}: not there: the run is unfinished, or this is not a run folder") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RecordError(f"{path}: not valid JSON, torn or edited: {error}") from None
    return _parse(content, path)


def run_folder_of(path: Path) -> Path:
    """The folder of a run, given it or its ``result.json``."""
    return path.parent if path.name == RESULT else path


def read_records(
    paths: Iterable[Path | str], *, on_broken: Callable[[RecordError], object] | None = None
) -> list[tuple[Path, Record]]:
    """Read every record at or below the given folders, as (run folder, record), sorted by folder.

    A broken record or a path that is not there goes to ``on_broken`` (default: a logged warning) and is left
    out; it never stops the others.
    """
    report = on_broken or (lambda error: logging.getLogger(__name__).warning("%s", error))
    files: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            report(RecordError(f"{path}: no such file or folder"))
        for file in path.rglob(RESULT) if path.is_dir() else [path] * path.exists():
            files.setdefault(file.resolve(), file)
    found = []
    for file in sorted(files.values()):
        try:
            found.append((file.parent, read_record(file)))
        except RecordError as error:
            report(error)
    return found


def write_curves(folder: Path | str, **curves: np.ndarray) -> Path:
    """Write ``folder/curves.npz``: roc_far, roc_tar, roc_threshold (k,); cmc_rank, cmc_rate (r,)."""
    return write_arrays(Path(folder) / CURVES, curves)


def write_replicates(folder: Path | str, replicates: Mapping[str, np.ndarray]) -> Path:
    """Write ``folder/replicates.npz``: by metric (r,) float32, what it is with other identities."""
    arrays = {name: values.astype(np.float32) for name, values in replicates.items()}
    return write_arrays(Path(folder) / REPLICATES, arrays)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write an ``.npz`` in one step: a reader sees the whole file or none."""

    def write(place: Path) -> None:
        with place.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    return _replace(path, write)


def read_curves(folder: Path | str) -> dict[str, np.ndarray]:
    """Read ``folder/curves.npz``; empty where the run has none. Raises RecordError when it is torn."""
    return read_arrays(Path(folder) / CURVES)


def read_replicates(folder: Path | str) -> dict[str, np.ndarray]:
    """Read ``folder/replicates.npz``, (r,) by metric; else as ``read_curves``."""
    return read_arrays(Path(folder) / REPLICATES)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an ``.npz``; empty where there is none. Raises RecordError when it is torn."""
    try:
        # numpy leaves a torn file open when it is handed the name.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RecordError(f"{path}: not a readable npz file: {error}".splitlines()[0]) from None


def read_history(folder: Path | str) -> list[dict[str, float]]:
    """Read ``folder/metrics.csv``: one dict a row, without the blanks; empty where the run has none.

    Columns: ``step``, ``epoch``, then ``train/...`` and ``val/...``. Raises RecordError for a cell that
    is not a number.
    """
    path = Path(folder) / HISTORY
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        return [{name: float(cell) for name, cell in row.items() if name and cell} for row in rows]
    except (ValueError, csv.Error) as error:
        raise RecordError(f"{path}: not a table of numbers: {error}") from None


def _parse(content: Any, path: Path) -> Record:
    if not isinstance(content, dict) or "schema" not in content:
        raise RecordError(f"{path}: not a run record: it names no schema")
    if content["schema"] != SCHEMA:
        raise RecordError(
            f"{path}: schema={content['schema']!r}: this lossbench reads schema {SCHEMA}; update it"
        )
    groups = ("config", "metrics", "details", "intervals", "cost", "split", "environment")
    wrong = [name for name in groups if not isinstance(content.get(name), dict)]
    if wrong or not isinstance(content.get("id"), str):
        raise RecordError(f"{path}: missing or of the wrong type: {', '.join(wrong or ['id'])}")
    odd = [name for name, value in content["metrics"].items() if not _is_number(value) and value is not None]
    if odd:
        raise RecordError(f"{path}: metrics that are neither a number nor null: {', '.join(odd)}")
    return Record(id=content["id"], **{name: content[name] for name in groups})


def _replace(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a neighbour of ``path``, then move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Same folder: a rename is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        # Without this a power cut may leave the new name on an empty file.
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _number_or_none(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _plain(value: Any, where: str) -> Any:
    """Copy of ``value`` in JSON's own types; ValueError names the place of what JSON cannot hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}={value}: JSON has no such number; leave it out or write None")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise ValueError(f"{where} is a {type(value).__name__}: a record holds text, numbers, lists, dicts")
