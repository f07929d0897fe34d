"""By how much each configuration differs from a baseline: paired by seed and by test identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lossbench.intervals import MeanTest, holm, mean_test
from lossbench.records import read_arrays
from lossbench.report.groups import Group, curve_labels
from lossbench.report.names import is_rate, pretty_name

FEWEST = 3
"""Seeds in common without which no difference is told."""


class Gap(NamedTuple):
    """How far a configuration lies above the baseline in one metric; p_holm over all gaps of the page."""

    label: str
    metric: str
    test: MeanTest
    above: int
    seeds: int
    p_holm: float


def find_baseline(groups: Sequence[Group], name: str) -> list[Group]:
    """The groups, one a data set, whose row or label is ``name``; ValueError names those there are."""
    named = list(zip(group_names(groups), groups, strict=True))
    found = [group for known, group in named if known == name]
    if not found:
        raise ValueError(f"no row is called {name!r}; there are: {', '.join(sorted({n for n, _ in named}))}")
    tasks = [group.part("dataset") for group in found]
    if len(set(tasks)) < len(tasks):
        raise ValueError(f"{name!r} is the name of several rows of one data set; give runs of one sweep only")
    return found


def group_names(groups: Sequence[Group]) -> list[str]:
    """The row of each group in its experiment's table, else its label in figures."""
    return [group.row or label for group, label in zip(groups, curve_labels(groups), strict=True)]


def compare(
    groups: Sequence[Group], baseline: Sequence[Group], metrics: Sequence[str]
) -> dict[str, list[Gap]]:
    """Gaps by data set, of each group with at least three seeds in common with its baseline."""
    base = {group.part("dataset"): group for group in baseline}
    names = dict(zip(map(id, groups), group_names(groups), strict=True))
    family: list[tuple[str, str, str, MeanTest, list[float]]] = []
    for group in groups:
        task = group.part("dataset")
        if task in base and group is not base[task]:
            for metric in metrics:
                gaps = _gaps(group, base[task], metric)
                if len(gaps) >= FEWEST:
                    test = mean_test(gaps, replicates=paired_replicates(group, base[task], metric))
                    family.append((task, names[id(group)], metric, test, gaps))
    adjusted = holm([test.p for *_, test, _ in family])
    found: dict[str, list[Gap]] = {}
    for (task, label, metric, test, gaps), p in zip(family, adjusted, strict=True):
        gap = Gap(label, metric, test, sum(value > 0 for value in gaps), len(gaps), p)
        found.setdefault(task, []).append(gap)
    return found


def paired_replicates(upper: Group, lower: Group, metric: str) -> Sequence[float]:
    """The difference of both with the same other identities; empty where either has none."""
    if metric not in upper.replicates or metric not in lower.replicates:
        return ()
    one, other = upper.replicates[metric], lower.replicates[metric]
    return (one - other).tolist() if len(one) == len(other) else ()


def _gaps(upper: Group, lower: Group, metric: str) -> list[float]:
    """The difference in each seed that both have."""
    known: Mapping[Any, Any] = {run.config.get("seed"): run.metrics.get(metric) for run in lower.runs}
    pairs = [(run.metrics.get(metric), known.get(run.config.get("seed"))) for run in upper.runs]
    return [one - other for one, other in pairs if one is not None and other is not None]


def comparison_markdown(
    groups: Sequence[Group], baseline: Sequence[Group], metrics: Sequence[str], name: str
) -> str:
    """Text of ``comparison.md``."""
    gaps = compare(groups, baseline, metrics)
    people = all(group.replicates for group in groups)
    chance = (
        "seeds and test identities" if people else "seeds (the test identities are the same in every run)"
    )
    lines = [
        f"# Above or below {name}",
        "",
        "Difference to it in the same seeds"
        + (" and on the same resampled identities" if people else "")
        + f", with its 95 % interval over {chance}. Rates in points. p is adjusted by Holm for all "
        f"{sum(map(len, gaps.values()))} comparisons of this page; resolved: p < 0.05.",
    ]
    for task, rows in gaps.items():
        lines += ["", f"## {task}", "", "| row | metric | difference | 95 % interval | seeds above | p | |"]
        lines += ["|:---|:---|---:|---:|---:|---:|:---|", *map(_line, rows)]
    if not gaps:
        lines += ["", f"Nothing has {FEWEST} seeds in common with it."]
    return "\n".join([*lines, ""])


def _line(gap: Gap) -> str:
    factor = 100 if is_rate(gap.metric) else 1
    mean, low, high = (f"{factor * value:+.2f}" for value in gap.test[:3])
    cells = [gap.label, pretty_name(gap.metric), mean, f"{low} to {high}", f"{gap.above} of {gap.seeds}"]
    verdict = "resolved" if gap.p_holm < 0.05 else "not resolved"
    return f"| {' | '.join([*cells, f'{gap.p_holm:.2g}', verdict])} |"


def replicate_arrays(groups: Sequence[Group], metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """What ``replicates.npz`` holds: metric (m,) and id (n,) text, group (n,), replicates (g, m, r) float32.

    group: the place in replicates of the run ``id``. Metrics are those that all groups have replicates of;
    empty where there are none, or of different numbers.
    """
    known = [metric for metric in metrics if all(metric in group.replicates for group in groups)]
    values = [[group.replicates[metric] for metric in known] for group in groups]
    if not known or len({len(each) for row in values for each in row}) > 1:
        return {}
    runs = [(run.id, place) for place, group in enumerate(groups) for run in group.runs]
    return {
        "metric": np.array(known),
        "id": np.array([identity for identity, _ in runs]),
        "group": np.array([place for _, place in runs]),
        "replicates": np.array(values, dtype=np.float32),
    }


def read_people(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Run id -> metric -> (r,) of a ``replicates.npz``; empty where there is none. Raises RecordError."""
    arrays = read_arrays(path)
    if not arrays:
        return {}
    metrics = arrays["metric"].tolist()
    rows = [dict(zip(metrics, values, strict=True)) for values in arrays["replicates"]]
    return {run: rows[place] for run, place in zip(arrays["id"].tolist(), arrays["group"], strict=True)}
