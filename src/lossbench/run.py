"""One run: configuration -> training -> evaluation -> record. Asking twice is free, a killed run goes on."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lossbench.config import ConfigError
from lossbench.identity import run_folder, run_id
from lossbench.records import Record, read_record


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
    config = dict(config)
    identity = _identify(config, choices)
    folder = run_folder(config, identity)
    if not config["force"] and (folder / "result.json").exists():
        return Outcome(folder, _own_record(folder, identity), reused=True)
    from lossbench.check import check

    check(config, choices)
    with _lock(folder):
        if config["force"]:
            _clear(folder)
        elif (folder / "result.json").exists():  # another process finished it while this one waited
            return Outcome(folder, _own_record(folder, identity), reused=True)
        _write_config(folder, config)
        from lossbench.job import execute

        return Outcome(folder, execute(config, identity, folder), reused=False)


def _identify(config: Mapping[str, Any], choices: Mapping[str, str] | None) -> str:
    """The run's id, without importing torch where the configuration is sound."""
    try:
        source = instantiate(config["dataset"]["source"])
        return run_id(config, source.fingerprint())
    except Exception as error:
        from lossbench.check import check

        check(config, choices)  # says in one line what is wrong, if it is the configuration
        raise ConfigError(f"dataset: {error.__cause__ or error}") from error


def _own_record(folder: Path, identity: str) -> Record:
    record = read_record(folder)
    if record.id != identity:
        raise ConfigError(f"{folder}: holds another run (id {record.id[:16]}); move it away or change run_root")
    return record


class _lock:  # noqa: N801 - reads as the verb it is
    """Keep two processes out of one run folder."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot make this folder ({error.strerror}); set run_root") from error
        self._folder = folder
        self._file = FileLock(folder / ".lock", timeout=0)

    def __enter__(self) -> None:
        try:
            self._file.acquire()
        except Timeout as error:
            raise ConfigError(
                f"{self._folder}: another process is training this run; wait for it or end it"
            ) from error

    def __exit__(self, *exception: object) -> None:
        self._file.release()


def _clear(folder: Path) -> None:
    # The result goes first: a forced run that is killed must not look finished.
    (folder / "result.json").unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name == ".lock":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_config(folder: Path, config: Mapping[str, Any]) -> None:
    with warnings.catch_warnings():
        OmegaConf.save(OmegaConf.create(dict(config)), folder / "config.yaml")
