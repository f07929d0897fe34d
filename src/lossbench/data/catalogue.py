"""Every option of conf/dataset: what it is, where its files are, what the cache holds of it."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from lossbench.config import conf_dir, flatten
from lossbench.datasets.cache import cache_folder
from lossbench.datasets.known import KnownSet

# Name of a prepared folder or of a file of drawn arrays: who it is, and 16 digits of its key.
_STORED = re.compile(r"(.+)-[0-9a-f]{16}(\.npz)?")


class Entry(NamedTuple):
    """One option. names: how the cache may call it. homepage: '' where its files come from nowhere."""

    name: str
    what: str
    licence: str
    files: str
    homepage: str
    names: frozenset[str]


def catalogue() -> list[Entry]:
    """All options, by name. Reads no file of any set and asks nobody on the network."""
    return [_entry(path) for path in sorted((conf_dir() / "dataset").glob("*.yaml"))]


def cached_bytes() -> dict[str, list[int]]:
    """Bytes of each set in the cache, by the name it has there."""
    stored = defaultdict(list)
    folder = cache_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := _STORED.fullmatch(path.name):
            stored[match[1]].append(size_of(path))
    return dict(stored)


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def first_comment(path: Path) -> str:
    """What a yaml says that it is."""
    lines = (line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").splitlines())
    return next(line for line in lines if not line.startswith("@package")).rstrip(":")


def unset(config: DictConfig) -> str | None:
    """The first option that has no default and was not given."""
    written = flatten(OmegaConf.to_container(config, resolve=False))
    return next((key for key, value in written if value == "???"), None)


def _entry(path: Path) -> Entry:
    body: Any = OmegaConf.load(path)
    config = OmegaConf.create({"dataset": body.get("dataset", body)})
    entry = Entry(path.stem, first_comment(path), "", "no files needed", "", frozenset([path.stem]))
    if key := unset(config):
        return entry._replace(files=f"yours: {key}=...")
    source = _source(config)
    return entry if source is None else _known(entry, source)


def _source(config: DictConfig) -> KnownSet | None:
    """The source as configured, None if it is no known set; hydra would take half a second."""
    options: Mapping[str, Any] = OmegaConf.to_container(config, resolve=True)["dataset"]["source"]  # type: ignore
    made = resolve_name(options["_target_"])
    if not issubclass(made, KnownSet):
        return None
    return made(**{name: value for name, value in options.items() if not name.startswith("_")})


def _known(entry: Entry, source: KnownSet) -> Entry:
    facts = source.facts
    entry = entry._replace(licence=facts.licence, homepage=facts.homepage, names=entry.names | {facts.name})
    try:
        found = source.places()
    except ValueError:
        return entry._replace(files=f"not here: put them into {facts.folders()[0]}")
    if None in found:
        size = sum(remote.size for remote in facts.remotes.values())
        return entry._replace(files=f"would be downloaded, {megabytes(size)}")
    here = [path for path in found if path is not None]
    stems = {re.sub(r"(\.tar)?\.\w+$", "", path.name) for path in here}
    return entry._replace(
        files=f"here: {os.path.commonpath(here)}", names=entry.names | stems | {source.name}
    )


def megabytes(size: float) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.{int(size < 1e7)}f} MB"
