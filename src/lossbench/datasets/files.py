"""Where the files of known sets are: under LOSSBENCH_DATA, where a system package has them, or downloaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lossbench.datasets.cache import cache_folder
from lossbench.datasets.download import Remote, download
from lossbench.datasets.folders import content_key
from lossbench.readers.archives import list_files


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a set before it is read.

    name: also its folder under LOSSBENCH_DATA. homepage: where its files are to be had by hand.
    remotes: files that can be downloaded, by name. system: folder in which a package of the system has them.
    common_names: other sets have files of the same names, so that they are not looked for beside others'.
    """

    name: str
    licence: str
    homepage: str
    citation: str
    remotes: Mapping[str, Remote] = field(default_factory=dict)
    system: str | None = None
    common_names: bool = False

    def folders(self) -> list[Path]:
        """Folders in which its files are looked for, in this order; downloads go to the last."""
        data = os.environ.get("LOSSBENCH_DATA")
        given = [Path(data).expanduser()] if data else []
        beside = [] if self.common_names else given
        system = [Path(self.system)] if self.system else []
        return [*(folder / self.name for folder in given), *beside, *system, _downloads() / self.name]


def _downloads() -> Path:
    return cache_folder() / "downloads"


def find_file(facts: Facts, *names: str, path: str | None = None) -> Path | None:
    """Where the first of ``names`` lies that is there: files, or folders with the files in them.

    path: the file itself, or the one folder to look in; None: ``facts.folders()``.

    Raises:
        ValueError: in one line, if there is nothing at ``path``.
    """
    given = None if path is None else Path(path).expanduser()
    if given is not None and not given.exists():
        raise ValueError(f"dataset.path={path}: there is nothing")
    if given is not None and not given.is_dir():
        return given
    folders = facts.folders() if given is None else [given]
    places = [folder / name for name in names for folder in folders]
    return next((place for place in places if place.exists()), None)


def fetch_file(facts: Facts, name: str) -> Path:
    """Download one of ``facts.remotes`` to where ``find_file`` looks for it.

    Raises:
        ValueError: in one line, with what to do by hand.
    """
    place = _downloads() / facts.name / name
    download(facts.remotes[name], place)
    return place


def missing(facts: Facts, *names: str, path: str | None = None) -> ValueError:
    """The error for a set whose files are not there and cannot be downloaded."""
    folders = facts.folders() if path is None else [Path(path)]
    hint = "" if path or os.environ.get("LOSSBENCH_DATA") else "; LOSSBENCH_DATA=FOLDER is looked in, too"
    wanted, looked = " or ".join(names), ", ".join(map(str, folders))
    return ValueError(f"{facts.name}: no {wanted} in {looked}: put it there ({facts.homepage}){hint}")


def file_key(path: Path | None, remote: Remote | None = None) -> str:
    """Digest (hex) of a file or a folder; of ``remote`` if it holds the same or is still to be downloaded."""
    if path is None:
        assert remote is not None  # what cannot be downloaded has been found or refused
        return remote.sha256
    found = content_key(path, list_files(path).names if path.is_dir() else ())
    return remote.sha256 if remote is not None and found in remote.also else found
