"""One run: configuration -> training -> evaluation -> record. Asking twice is free, a killed run goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lossbench.config import ConfigError
from lossbench.contradictions import contradictions
from lossbench.identity import foreign_code, run_folder, run_id, run_names
from lossbench.records import Record, RecordError, read_record, run_folder_of
from lossbench.report.export import read_runs, run_numbers


@dataclass(frozen=True)
class Outcome:
    """Where a run is, its record, and whether it had been there before."""

    folder: Path
    record: Record
    reused: bool


def run(config: Mapping[str, Any], choices: Mapping[str, str] | None = None) -> Outcome:
    """Train and evaluate a resolved configuration, or return the finished result.

    choices: option chosen per group, used to refuse contradictory ones.
    """
    config, identity, folder = _named(config, choices)
    if found := _finished(config, identity, folder):
        return found
    from lossbench.check import check

    check(config, choices)
    with _locked(folder):
        if config["force"]:
            _clear(folder)
        elif (folder / "result.json").exists():  # another process finished it while this one waited
            return Outcome(folder, _own_record(folder, identity, config["precision"]), reused=True)
        OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
        from lossbench.job import execute

        return Outcome(folder, execute(config, identity, folder), reused=False)


def planned(config: Mapping[str, Any], choices: Mapping[str, str] | None = None) -> Outcome | None:
    """The result of a run if it is there; None if it could be trained. Nothing is, and no data is read.

    Raises ConfigError, as ``run`` would.
    """
    config, identity, folder = _named(config, choices)
    found = _finished(config, identity, folder)
    if found is None:
        from lossbench.check import check

        check(config, choices)
    return found


def _named(config: Mapping[str, Any], choices: Mapping[str, str] | None) -> tuple[dict[str, Any], str, Path]:
    """The configuration with its teacher known, the run's id, and its folder."""
    config = dict(config)
    if config.get("teacher"):
        config["teacher"] = _teacher(run_folder_of(Path(config["teacher"]).expanduser()))
    for fault in contradictions(config, choices or {}):
        raise ConfigError(fault)
    code = foreign_code(config)
    identity = _identify(config, choices, code)
    if code:
        config["code"] = code
    return config, identity, run_folder(config, identity)


def _finished(config: Mapping[str, Any], identity: str, folder: Path) -> Outcome | None:
    if config["force"]:
        return None
    if (folder / "result.json").exists():
        return Outcome(folder, _own_record(folder, identity, config["precision"]), reused=True)
    return _committed(config, identity) if config["reuse"] else None


def _committed(config: Mapping[str, Any], identity: str) -> Outcome | None:
    """The run as a row of a table in ``config["reuse"]``: same id, and the precision asked for."""
    tables = sorted(Path(config["reuse"]).expanduser().glob("*/runs.csv"))
    if not tables:
        raise ConfigError(f"reuse={config['reuse']}: holds no */runs.csv; name a folder such as results")
    for table in tables:
        row = read_runs(table).get(identity)
        if row and config["precision"] in ("auto", row.get("environment/precision")):
            known = {"config": config, "details": run_names(config)}
            return Outcome(table, Record(identity, **known, **run_numbers(row)), reused=True)  # type: ignore[arg-type]
    return None


def _identify(config: Mapping[str, Any], choices: Mapping[str, str] | None, code: Mapping[str, str]) -> str:
    """The run's id, without importing torch where the configuration is sound."""
    try:
        source = instantiate(config["dataset"]["source"])
        return run_id(config, source.fingerprint(), code)
    except Exception as error:
        from lossbench.check import check

        check(config, choices)  # says in one line what is wrong, if it is the configuration
        raise ConfigError(f"dataset: {error.__cause__ or error}") from error


def _teacher(folder: Path) -> dict[str, str]:
    try:
        return {"folder": str(folder), "id": read_record(folder).id}
    except (RecordError, OSError) as error:
        raise ConfigError(f"teacher={folder}: give the folder of a finished run ({error})") from error


def _own_record(folder: Path, identity: str, precision: str) -> Record:
    try:
        record = read_record(folder)
    except RecordError as error:
        raise ConfigError(f"{error}; force=true trains again") from error
    if record.id != identity:
        raise ConfigError(
            f"{folder}: holds another run (id {record.id[:16]}); move it away or change run_root"
        )
    known = record.environment.get("precision")
    if precision not in ("auto", known):
        raise ConfigError(
            f"{folder}: was computed in {known}; for precision={precision} set another group, or force=true"
        )
    return record


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep two processes out of one run folder; the lock of a killed process is gone with it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot make this folder ({error.strerror}); set run_root") from error
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ConfigError(f"{folder}: another process is at this run; wait for it or end it") from error


def _clear(folder: Path) -> None:
    # The result goes first: a forced run that is killed must not look finished.
    (folder / "result.json").unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name == ".lock":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
