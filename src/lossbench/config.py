"""Where the configuration lives, and what its parts are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

PARTS = ("dataset", "backbone", "head", "loss", "regularizer", "protocol", "optimizer", "schedule", "trainer")
"""Groups that make a run what it is. Everything else says where and how to run it."""

CAUTIONS = ("label_noise", "long_tail", "leak")
"""Knobs of any data set, set below ``dataset``."""

_SETTINGS = (
    *("seed", "run_root", "group", "force", "device", "precision", "log_every", "checkpoint_every"),
    *("keep_checkpoints", "figures", "progress", "logger", "teacher", "reuse", "dry", "row"),
)


class ConfigError(ValueError):
    """A configuration that cannot run: one line per fault, each with its cure."""


def conf_dir() -> Path:
    """The folder of yaml files: inside an installed package, or beside src/ in a checkout."""
    package = Path(__file__).resolve().parent
    packaged = package / "conf"
    return packaged if (packaged / "config.yaml").is_file() else package.parents[1] / "conf"


def contradictions(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[str]:
    """Choices that undo each other: a preset such as loss=amsoftmax whose head was overridden.

    choices: option chosen per group; the resolved config alone no longer shows what was asked for.
    """
    yield from _not_boolean(config, choices)
    yield from _unheard(config, choices)
    yield from _unscheduled(config, choices)
    loss = choices.get("loss")
    for group, wanted in (config.get("preset") or {}).items():
        chosen = choices.get(group)
        if group in choices and chosen != wanted:
            yield (
                f"loss={loss} {group}={chosen}: the preset {loss} stands for {group}={wanted}; "
                f"a loss that is no preset goes with it, e.g. loss=ce {group}={chosen}"
            )


def _not_boolean(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[str]:
    """``no`` and ``off`` where true or false belongs: they are words, which count as true."""
    known = dict(flatten(_read_yaml(conf_dir() / "config.yaml")))
    for group, body in _chosen(choices):
        known |= {f"{group}.{key}": value for key, value in flatten(body.get(group, body))}
    for key, value in flatten(config):
        if isinstance(known.get(key), bool) and not isinstance(value, bool):
            yield f"{key}={value}: must be true or false"


def _unheard(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[str]:
    """Options set past their knob (head.s=50), which names and tables would go on calling s=30."""
    settings = dict(flatten(config))
    for group, body in _chosen(choices):
        given = dict(flatten(config.get(group) or {}))  # without those that a schedule took the place of
        for key, value in flatten(body.get(group, {})):
            knob = str(value).removeprefix("${").removesuffix("}")
            if f"${{{knob}}}" == value and key in given and str(given[key]) != str(settings.get(knob)):
                yield f"{group}.{key}={given[key]}: set the knob, {knob}={given[key]}"


def _chosen(choices: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The yaml of each part that was chosen from conf/."""
    for group in PARTS:
        path = conf_dir() / group / f"{choices.get(group)}.yaml"
        if path.is_file():
            yield group, _read_yaml(path)


def _unscheduled(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[str]:
    """A schedule for a knob that the margin of the chosen head does not have, or not from 0."""
    margin = (config["head"] or {}).get("margin") or {}
    target = str(margin.get("_target_", "")).rpartition(".")[2]
    for knob, value in margin.items():
        if isinstance(value, Mapping) and target in _NO_RAMP and (knob == "m" or not target):
            schedule, head = choices.get("margin_schedule"), choices.get("head")
            yield f"margin_schedule={schedule}: head={head} {_NO_RAMP[target]}"


_NO_RAMP = {
    "": "has no margin that a schedule could change",
    "multiplicative_angle": "multiplies the angle by m >= 1, which cannot rise from 0",
    "clipped_angle": "multiplies the angle by m >= 1, which cannot rise from 0",
    "combined": "has no m of its own",
}


def knobs(config: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that tell runs apart: top-level ones (m, s, tau, lr, ...) and cautions; nulls are left out."""
    top = {
        key: value for key, value in config.items() if key not in _SETTINGS and not isinstance(value, dict)
    }
    cautions = {key: (config.get("dataset") or {}).get(key) for key in CAUTIONS}
    return {key: value for key, value in (top | cautions).items() if value is not None}


def knob_owners() -> dict[str, list[str]]:
    """Top-level names that can be set, each with the options (``head=amsoftmax``) that bring it."""
    owners: dict[str, list[str]] = {name: ["any run"] for name in (*_SETTINGS, "samples_per_class")}
    presets = []
    for path in sorted(conf_dir().glob("*/*.yaml")):
        body = _read_yaml(path)
        named = path.parent.name in ("experiment", "sweep")  # these set knobs and bring none
        if named or not path.read_text().startswith("# @package _global_"):
            continue
        option = f"{path.parent.name}={path.stem}"
        if isinstance(body.get("preset"), dict):
            presets += [(option, f"{group}={name}") for group, name in body["preset"].items()]
        for key in (key for key, value in body.items() if value is None or isinstance(value, int | float)):
            owners.setdefault(key, []).append(option)
    for name, options in owners.items():
        of_presets = [preset for preset, part in presets if part in options]
        owners[name] = list(dict.fromkeys([*options, *of_presets]))
    return owners


def part_options(group: str) -> list[str]:
    """Dotted names of the options that the yaml files of conf/<group>/ have."""
    bodies = [_read_yaml(path) for path in sorted((conf_dir() / group).glob("*.yaml"))]
    bodies.append({group: _read_yaml(conf_dir() / "config.yaml").get(group, {})})
    keys = {key for body in bodies for key, _ in flatten(body.get(group, body)) if "_target_" not in key}
    return sorted(f"{group}.{key}" for key in keys if key.split(".")[-1] not in ("_partial_", "defaults"))


def part_owners(key: str) -> list[str]:
    """The options (``backbone=convnet``) whose yaml has a dotted name such as ``backbone.dim``."""
    group = key.partition(".")[0]
    bodies = {path.stem: _read_yaml(path) for path in sorted((conf_dir() / group).glob("*.yaml"))}
    own = key.removeprefix(f"{group}.")
    return [f"{group}={name}" for name, body in bodies.items() if own in dict(flatten(body.get(group, body)))]


def _read_yaml(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.load(path), resolve=False) or {}  # type: ignore[return-value]


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
        body = _read_yaml(path)
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


def flatten(node: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node
