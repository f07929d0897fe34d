"""Choices on the command line that undo each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lossbench.config import PARTS, conf_dir, flatten, read_yaml


def contradictions(config: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[str]:
    """Choices that undo each other: a preset such as loss=amsoftmax whose head was overridden.

    choices: option chosen per group; the resolved config alone no longer shows what was asked for.
    """
    bodies = dict(_chosen(choices))
    yield from _not_boolean(config, bodies)
    yield from _unheard(config, bodies)
    yield from _unscheduled(config, choices)
    loss = choices.get("loss")
    for group, wanted in (config.get("preset") or {}).items():
        chosen = choices.get(group)
        if group in choices and chosen != wanted:
            yield (
                f"loss={loss} {group}={chosen}: the preset {loss} stands for {group}={wanted}; "
                f"a loss that is no preset goes with it, e.g. loss=ce {group}={chosen}"
            )


def _not_boolean(config: Mapping[str, Any], bodies: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """``no`` and ``off`` where true or false belongs: they are words, which count as true."""
    known = dict(flatten(read_yaml(conf_dir() / "config.yaml")))
    for group, body in bodies.items():
        known |= {f"{group}.{key}": value for key, value in flatten(body.get(group, body))}
    for key, value in flatten(config):
        if isinstance(known.get(key), bool) and not isinstance(value, bool):
            yield f"{key}={value}: must be true or false"


def _unheard(config: Mapping[str, Any], bodies: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Options set past their knob (head.s=50), which names and tables would go on calling s=30."""
    settings = dict(flatten(config))
    for group, body in bodies.items():
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
            yield group, read_yaml(path)


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
