"""Runs that differ only in their seed, pooled; and what tells one pool from the next."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lossbench.config import PARTS, flatten
from lossbench.records import Record
from lossbench.report.interval import Estimate, estimate
from lossbench.report.names import MISSING, format_knobs, format_setting


@dataclass
class Group:
    """Runs of one configuration at one precision, one run a seed, sorted by seed.

    ``settings`` is the flat configuration they share, ``differs`` the part of it a reader needs beside the
    names and knobs, ``repeats`` the number of runs left out because their seed was already there.
    ``replicates`` holds (r,) by metric, the runs' mean with other test identities, where each has them.
    """

    runs: list[Record]
    settings: dict[str, Any]
    differs: dict[str, Any] = field(default_factory=dict)
    repeats: int = 0
    replicates: dict[str, np.ndarray] = field(default_factory=dict)

    def part(self, name: str) -> str:
        """Resolved name of the dataset, backbone, head or loss."""
        return str(self.runs[0].details.get(name) or MISSING)

    @property
    def knobs(self) -> dict[str, Any]:
        return self.runs[0].details.get("knobs") or {}

    @property
    def row(self) -> str:
        """What the experiments that these runs belong to call this row of their table; mostly one name."""
        return ", ".join(sorted({str(run.config["row"]) for run in self.runs if run.config.get("row")}))

    @property
    def seeds(self) -> list[Any]:
        return [run.config.get("seed") for run in self.runs]

    @property
    def label(self) -> tuple[str, ...]:
        return (*map(self.part, ("dataset", "backbone", "head", "loss")), format_knobs(self.knobs))

    def estimate(self, metric: str) -> Estimate:
        return estimate([run.metrics.get(metric) for run in self.runs])


def group_records(records: Iterable[Record]) -> list[Group]:
    """Pool the seeds of each configuration; sorted by names, knobs and settings.

    Runs at different precisions, under different recipes or on other data are never pooled. A seed counts
    once: a second run of it (a copy, a forced repeat) is no further evidence.
    """
    runs = list(records)
    linked = _linked_seeds(runs)
    pools: dict[str, Group] = {}
    for run in runs:
        settings = _settings(run, linked)
        # The names are part of the key: they may say more than the configuration (a subset, a revision).
        key = json.dumps([settings, _names(run)], sort_keys=True, default=str)
        group = pools.setdefault(key, Group([], settings))
        if run.config.get("seed") in group.seeds:
            group.repeats += 1
        else:
            group.runs.append(run)
    for group in pools.values():
        group.runs.sort(key=lambda run: _order(run.config.get("seed")))
    groups = list(pools.values())
    _tell_apart(groups)
    return sorted(groups, key=_group_order)


def curve_labels(groups: Sequence[Group]) -> list[str]:
    """One short label a group, for legends: head, loss unless all have the same, knobs and settings."""
    losses = {group.part("loss") for group in groups}
    backbones = {group.part("backbone") for group in groups}
    labels = []
    for group in groups:
        words = [group.part("head")]
        several = len(losses) > 1 or len(groups) == 1
        words += [f"+ {group.part('loss')}"] * (several and group.part("loss") != MISSING)
        words += [f"on {group.part('backbone')}"] * (len(backbones) > 1)
        words += [format_knobs(group.knobs), format_differs(group.differs)]
        labels.append(" ".join(filter(None, words)))
    return labels


def flat_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys of a nested dict, without nulls; numbers as floats, so ``s=30`` and ``s=30.0`` agree."""
    flat = {key: value for key, value in flatten(config) if value is not None}
    return {key: float(value) if _is_number(value) else value for key, value in flat.items()}


def varying_keys(settings: Sequence[Mapping[str, Any]]) -> set[str]:
    """Keys that have another value, or none, in some of several flat configurations."""
    keys = {key for each in settings for key in each}
    return {key for key in keys if len({json.dumps(each.get(key), default=str) for each in settings}) > 1}


def format_differs(differs: dict[str, Any]) -> str:
    """
    >>> format_differs({"optimizer.lr": 0.2, "optimizer._target_": "torch.optim.SGD"})
    'optimizer=torch.optim.SGD optimizer.lr=0.2'
    """
    return " ".join(
        f"{key.removesuffix('._target_')}={format_setting(value)}" for key, value in sorted(differs.items())
    )


def _settings(run: Record, linked: set[str]) -> dict[str, Any]:
    # As for the run's id: root numbers act only through the parts, or say where and how it was started.
    parts = {name: run.config[name] for name in PARTS if isinstance(run.config.get(name), dict)}
    settings = {key: value for key, value in flat_settings(parts).items() if key not in linked}
    if run.config.get("teacher"):
        settings["teacher"] = run.config["teacher"]["id"][:8]
    settings |= {f"code.{part}": digest[:8] for part, digest in (run.config.get("code") or {}).items()}
    if "sha256" in run.split:
        settings["data"] = str(run.split["sha256"])[:8]
    settings |= {key: run.environment[key] for key in ("precision", "recipe") if key in run.environment}
    if run.config.get("seed") is None:
        # Nothing says that two such runs differ by chance alone.
        settings["id"] = run.id[:8]
    return settings


def _linked_seeds(runs: Sequence[Record]) -> set[str]:
    """Nested ``seed`` keys that follow the root seed in every run; a fixed one (a split's) is a setting."""
    follows: dict[str, bool] = {}
    for run in runs:
        seed = run.config.get("seed")
        for key, value in flat_settings(run.config).items():
            if key.endswith(".seed"):
                follows[key] = follows.get(key, True) and value == seed
    return {key for key, always in follows.items() if always}


def _names(run: Record) -> list[Any]:
    return [run.details.get(name) for name in ("dataset", "backbone", "head", "loss")]


def _tell_apart(groups: Sequence[Group]) -> None:
    """Fill ``differs``: what varies within a task outside head and loss, then whatever is still needed."""
    tasks = defaultdict(list)
    for group in groups:
        tasks[group.part("dataset"), group.part("backbone")].append(group)
    for task in tasks.values():
        named = {name for group in task for name in group.knobs}
        varying = {key for key in varying_keys([each.settings for each in task]) if not _told(key, named)}
        for group in task:
            group.differs = {key: group.settings[key] for key in varying & set(group.settings)}
    same = defaultdict(list)
    for group in groups:
        same[group.label, format_differs(group.differs)].append(group)
    for twins in same.values():
        varying = varying_keys([group.settings for group in twins])
        for group in twins:
            group.differs |= {key: group.settings[key] for key in varying & set(group.settings)}


def _told(key: str, knobs: set[str]) -> bool:
    """Whether the names of head and loss, or a knob, say it already."""
    group, _, word = key.partition(".")
    return group in ("head", "loss", "regularizer") or word in knobs


def _group_order(group: Group) -> tuple[Any, ...]:
    knobs = [(name, _order(value)) for name, value in sorted(group.knobs.items())]
    differs = [(name, _order(value)) for name, value in sorted(group.differs.items())]
    return (*group.label[:4], knobs, differs)


def _order(value: Any) -> tuple[bool, float, str]:
    """Sort key that puts numbers first, by size, and text after them."""
    number = _is_number(value)
    return (not number, float(value) if number else 0.0, str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
