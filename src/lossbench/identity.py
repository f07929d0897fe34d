"""What makes two runs the same run: a digest of everything that can change their numbers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lossbench.config import PARTS, knobs
from lossbench.naming import part_name

_OURS = ("lossbench", "torch")

RECIPE = 2
"""Raised by hand whenever the same configuration and data would give other numbers."""


def run_id(config: Mapping[str, Any], fingerprint: str, code: Mapping[str, str] | None = None) -> str:
    """Hex sha256 of the parts and the seed of a resolved config, the data's fingerprint and RECIPE.

    Top-level knobs act only through the parts that refer to them, so the parts alone are hashed. Key order
    and null entries do not count: an option added later as null keeps the ids of older runs.

    code: ``foreign_code(config)``, where it is known already.
    """
    parts = {name: config.get(name) for name in (*PARTS, "seed")}
    # Where the teacher lies does not matter, which run it is does.
    parts["teacher"] = (config.get("teacher") or {}).get("id")
    # Nor where the data lies: the fingerprint of a source of ours says what it is.
    parts["dataset"] = _without_path(config.get("dataset") or {})
    content = {"config": _canonical(parts), "data": fingerprint, "recipe": RECIPE}
    if code := foreign_code(config) if code is None else code:
        content["code"] = dict(code)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def foreign_code(config: Mapping[str, Any]) -> dict[str, str]:
    """Digest of the code behind each part from elsewhere, so that editing it makes another run."""
    targets = {path for name in PARTS for path in _targets(config.get(name) or {})}
    found = {path: _digest_of_code(path) for path in sorted(targets)}
    return {path: digest for path, digest in found.items() if digest}


_PLACES = {"CsvList": {"root"}, "Embeddings": {"labels", "split"}, "CJKGlyphs": {"fonts"}}
"""Options that say where files lie, beside ``path``, of sources that know them by their contents."""


def _without_path(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    source = dataset.get("source") or {}
    module, _, name = str(source.get("_target_")).rpartition(".")
    if module.partition(".")[0] != "lossbench":
        return dataset
    places = {"path"} | _PLACES.get(name, set())
    source = {key: value for key, value in source.items() if key not in places}
    return {key: value for key, value in dataset.items() if key not in places} | {"source": source}


def _targets(node: Any) -> Iterator[str]:
    """What every part, and every part of a part, is made of."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from [value] if key == "_target_" and isinstance(value, str) else _targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _targets(value)


def _digest_of_code(target: str) -> str | None:
    """Of the module that ``target`` is in, or of its whole package, unless that is an installed one."""
    top, *below = target.split(".")[:-1] or [""]
    try:
        found = importlib.util.find_spec(top) if top and top not in _OURS else None
    except (ImportError, ValueError):
        return None  # making the part says what is wrong with it
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return None
    files = [Path(found.origin)]
    if found.submodule_search_locations:
        folder = files[0].parent
        if {"site-packages", "dist-packages"} & set(folder.parts):
            path = folder.joinpath(*below)
            files += [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
        else:
            files = sorted(folder.rglob("*.py"))
    total = hashlib.sha256()
    for file in files:
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _canonical(node: Any) -> Any:
    """Drop nulls and empty groups; write 1 and 1.0 alike."""
    if isinstance(node, Mapping):
        items = {str(key): _canonical(value) for key, value in node.items()}
        return {key: value for key, value in items.items() if value is not None and value != {}}
    if isinstance(node, list | tuple):
        return [_canonical(value) for value in node]
    if isinstance(node, int | float) and not isinstance(node, bool):
        return float(node)
    return node


def run_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Names for tables, folders and trackers, from the resolved parts."""
    names: dict[str, Any] = {
        part: part_name(part, config[part]) for part in ("dataset", "backbone", "head", "loss")
    }
    if config.get("regularizer"):
        names["loss"] += "+" + part_name("regularizer", config["regularizer"])
    return names | {"knobs": {key: value for key, value in knobs(config).items() if key != "lr"}}


def run_folder(config: Mapping[str, Any], identity: str) -> Path:
    """<run_root>/<group>/<dataset>-<head>-<loss>-<knobs>-seed<seed>-<first eight digits of the id>."""
    names = run_names(config)
    words = [names["dataset"], names["head"], names["loss"]]
    words += [f"{key}{_short(value)}" for key, value in knobs(config).items()]
    words += [f"seed{config['seed']}", identity[:8]]
    name = "-".join(re.sub(r"[^\w.]+", "_", str(word)) for word in words)
    return Path(config["run_root"]).expanduser() / str(config["group"]) / name


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
