"""What every protocol returns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_REASONS = ("undefined", "without_interval")


@dataclass(frozen=True)
class Evaluation:
    """Results of one protocol on one split, ready for json (metrics, details) and npz (curves).

    metrics: name without the split's prefix -> number, None where undefined.
    details: what the numbers rest on; ``details["undefined"]`` gives the reason for each None, and
    ``details["cautions"]``, where there are any, a line for each reason to doubt the numbers.
    ``details["without_interval"]`` says why a metric that could have replicates has none.
    curves: name -> (points,) array.
    replicates: name of a metric -> (r,) float64, what it would be with other identities; empty unless asked.
    """

    metrics: dict[str, float | None]
    details: dict[str, Any]
    curves: dict[str, np.ndarray]
    replicates: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = {name for name, value in self.metrics.items() if value is None}
        if missing != set(self.details.get("undefined", {})):
            raise ValueError(f"undefined metrics {sorted(missing)} and the reasons given do not agree")

    def __or__(self, other: Evaluation) -> Evaluation:
        """Both, the other's facts where both have one."""
        details = self.details | other.details | _cautions([self, other])
        for name in _REASONS:
            if reasons := self.details.get(name, {}) | other.details.get(name, {}):
                details[name] = reasons
        curves, replicates = self.curves | other.curves, self.replicates | other.replicates
        return Evaluation(self.metrics | other.metrics, details, curves, replicates)

    def under(self, name: str) -> Evaluation:
        """The same with ``name/`` before every metric, wherever it is named."""

        def named(values: Mapping[str, Any]) -> dict[str, Any]:
            return {f"{name}/{key}": value for key, value in values.items()}

        details = {
            f"{name}/{key}" if key in self.metrics else key: told for key, told in self.details.items()
        }
        details |= {kind: named(self.details[kind]) for kind in _REASONS if kind in self.details}
        return Evaluation(named(self.metrics), details, self.curves, named(self.replicates))


def joined(role: str, parts: Mapping[str, Evaluation]) -> Evaluation:
    """One evaluation of several protocols on a split, metrics named ``role/metric``.

    Facts about one metric stand under its full name, facts about a protocol under ``role/protocol``.
    """
    metrics: dict[str, float | None] = {}
    details: dict[str, Any] = {"undefined": {}, **_cautions(parts.values())}
    curves: dict[str, np.ndarray] = {}
    replicates: dict[str, np.ndarray] = {}
    for name, part in ((name, part.under(role)) for name, part in parts.items()):
        metrics |= part.metrics
        for kind in _REASONS:
            if told := part.details.get(kind):
                details[kind] = details.get(kind, {}) | told
        facts = {key: value for key, value in part.details.items() if key not in (*_REASONS, "cautions")}
        details |= {key: facts.pop(key) for key in part.metrics if key in facts}
        details[f"{role}/{name}"] = facts
        curves |= part.curves
        replicates |= part.replicates
    return Evaluation(metrics, details, curves, replicates)


def _cautions(parts: Iterable[Evaluation]) -> dict[str, list[str]]:
    """The lines of all parts under their name, each once; empty where there are none."""
    lines = dict.fromkeys(line for part in parts for line in part.details.get("cautions", []))
    return {"cautions": list(lines)} if lines else {}


def finite(value: float) -> float | None:
    """Return ``value``, or None where json has no word for it (NaN, infinity)."""
    return value if math.isfinite(value) else None


def defined(values: Mapping[str, tuple[float, str | None]]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Split name -> (number, reason) into metrics, None where there is a reason, and the reasons."""
    metrics = {name: value if reason is None else None for name, (value, reason) in values.items()}
    return metrics, {name: reason for name, (_, reason) in values.items() if reason is not None}
