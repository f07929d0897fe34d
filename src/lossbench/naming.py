"""What the parts of a resolved configuration are called."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lossbench.config import conf_dir, flatten, read_yaml


def part_name(group: str, part: Mapping[str, Any]) -> str:
    """Name of a resolved part: the yaml of conf/<group>/ that it agrees with, else its function's name.

    Resolved parts decide, not the option that was typed: ``head=amsoftmax loss=ce`` and
    ``loss=amsoftmax`` are one and the same run and must carry one name.
    """
    given = _naming(group, part)
    matches = [(len(fixed), name) for name, body, fixed in _yaml_parts(group) if _agrees(given, body, fixed)]
    if matches:
        name = max(matches, key=lambda match: (match[0], match[1]))[1]
        # Of a family of losses, the one it is.
        return f"{name} {part['name']}" if "name" in part else name
    return str(part.get("_target_", given.get("source._target_", group))).rpartition(".")[2]


def _naming(group: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted entries that a part is named by: of a data set those of its source, however it is augmented."""
    return {key: value for key, value in flatten(part) if group != "dataset" or key.startswith("source.")}


def _agrees(given: dict[str, Any], body: dict[str, Any], fixed: dict[str, Any]) -> bool:
    own = {key: value for key, value in given.items() if key.endswith("_target_") and body.get(key) != "???"}
    # A knob of the yaml may be a schedule here: code, too, but not what names the part.
    named = {key: value for key, value in own.items() if not _below(key, body)}
    targets = {key: value for key, value in body.items() if key.endswith("_target_") and value != "???"}
    return named == targets and all(given.get(key) == value for key, value in fixed.items())


def _below(key: str, body: dict[str, Any]) -> bool:
    parents = key.split(".")[:-1]
    return any(".".join(parents[: depth + 1]) in body for depth in range(len(parents)))


@lru_cache
def _yaml_parts(group: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(name, all entries, string and number entries without interpolation) per yaml file."""
    parts = []
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        body = read_yaml(path)
        flat = _naming(group, body.get(group, body))
        kind = {key: value for key, value in flat.items() if not _tunable(group, key, value)}
        if any(key.endswith("_target_") for key in flat):
            parts.append((path.stem, flat, kind))
    return parts


def _tunable(group: str, key: str, value: object) -> bool:
    # Constants of losses and margins tell ce from temperature; elsewhere numbers are options of one part.
    constant = group == "loss" or key.startswith("margin.")
    typed = value == "???" or "${" in str(value) or key == "name"
    return typed or not (constant or isinstance(value, str))
