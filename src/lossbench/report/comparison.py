"""By how much each configuration differs from a baseline: paired by seed and by test identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lossbench.intervals import MeanTest, holm, mean_test
from lossbench.records import read_arrays
from lossbench.report.groups import Group, curve_labels
from lossbench.report.names import format_p, is_rate, pretty_name

COMPARISON, IDENTITIES = "comparison.md", "identities.npz"
FEWEST = 3
"""Seeds in common without which no difference is told."""


class Gap(NamedTuple):
    """How far a configuration lies above the baseline in one metric.

    people: whether the chance is that of test identities too. p_holm: over all gaps of the page.
    """

    label: str
    metric: str
    test: MeanTest
    above: int
    seeds: int
    people: bool
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
    found: list[tuple[str, Gap]] = []
    for group in groups:
        task = group.part("dataset")
        if task in base and group is not base[task]:
            for metric in metrics:
                if gap := _gap(names[id(group)], group, base[task], metric):
                    found.append((task, gap))
    adjusted = holm([gap.test.p for _, gap in found])
    tasks: dict[str, list[Gap]] = {}
    for (task, gap), p in zip(found, adjusted, strict=True):
        tasks.setdefault(task, []).append(gap._replace(p_holm=p))
    return tasks


def _gap(label: str, upper: Group, lower: Group, metric: str) -> Gap | None:
    seeds, people = _in_each_seed(upper, lower, metric), paired_replicates(upper, lower, metric)
    if len(seeds) < FEWEST:
        return None
    test = mean_test(seeds, replicates=people, identities=_tested(upper).get("identities"))
    return Gap(label, metric, test, sum(each > 0 for each in seeds), len(seeds), len(people) > 0, test.p)


def paired_replicates(upper: Group, lower: Group, metric: str) -> Sequence[float]:
    """The difference of both with the same other identities; empty where either has none, or draws others.

    They are means over all seeds of a row, also of those that the other row lacks.
    """
    one, other = upper.replicates.get(metric), lower.replicates.get(metric)
    if one is None or other is None or len(one) != len(other) or _drawn(upper) != _drawn(lower):
        return ()
    return (one - other).tolist()


def _drawn(group: Group) -> tuple[Any, ...]:
    """What decides whom replicates draw."""
    return (group.runs[0].config.get("protocol") or {}).get("seed"), _tested(group)


def _tested(group: Group) -> Mapping[str, Any]:
    """Rows, number and names of the test identities."""
    roles = group.runs[0].split.get("roles") or {}
    return roles.get("test_open") or roles.get("test") or {}


def _in_each_seed(upper: Group, lower: Group, metric: str) -> list[float]:
    """The difference in each seed that both have."""
    known: Mapping[Any, Any] = {run.config.get("seed"): run.metrics.get(metric) for run in lower.runs}
    pairs = [(run.metrics.get(metric), known.get(run.config.get("seed"))) for run in upper.runs]
    return [one - other for one, other in pairs if one is not None and other is not None]


def comparison_markdown(
    groups: Sequence[Group], baseline: Sequence[Group], metrics: Sequence[str], name: str
) -> str:
    """Text of ``comparison.md``."""
    gaps = compare(groups, baseline, metrics)
    lines = [
        f"# Above or below {name}",
        "",
        "Difference to it in the same seeds and, where a column says so, with the same other test "
        "identities drawn (bootstrap); rates in points. p is adjusted by Holm for all "
        f"{sum(map(len, gaps.values()))} comparisons of this page; resolved: p < 0.05.",
    ]
    columns = ("row", "metric", "difference", "95 % interval", "chance of", "seeds above", "p", "")
    for task, rows in gaps.items():
        lines += ["", f"## {task}", "", f"| {' | '.join(columns)} |"]
        lines += ["|:---|:---|---:|---:|:---|---:|---:|:---|", *map(_line, rows)]
    if not gaps:
        lines += ["", f"Nothing has {FEWEST} seeds in common with it."]
    return "\n".join([*lines, ""])


def _line(gap: Gap) -> str:
    factor = 100 if is_rate(gap.metric) else 1
    mean, low, high = (f"{factor * value:+.2f}" for value in gap.test[:3])
    cells = [gap.label, pretty_name(gap.metric), mean, f"{low} to {high}"]
    cells += ["seeds and identities" if gap.people else "seeds", f"{gap.above} of {gap.seeds}"]
    verdict = "resolved" if gap.p_holm < 0.05 else "not resolved"
    return f"| {' | '.join([*cells, format_p(gap.p_holm), verdict])} |"


def replicate_arrays(groups: Sequence[Group], metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """What ``identities.npz`` holds: metric (m,) and id (n,) text, group (n,), replicates (g, m, r) float32.

    group: the place in replicates of the run ``id``. NaN where a group has no replicates of a metric; empty
    where none has any, or where they differ in number.
    """
    known = [metric for metric in metrics if any(metric in group.replicates for group in groups)]
    sizes = {len(values) for group in groups for values in group.replicates.values()}
    if not known or len(sizes) > 1:
        return {}
    blank = np.full(sizes.pop(), np.nan)
    runs = [(run.id, place) for place, group in enumerate(groups) for run in group.runs]
    values = [[group.replicates.get(metric, blank) for metric in known] for group in groups]
    return {
        "metric": np.array(known),
        "id": np.array([identity for identity, _ in runs]),
        "group": np.array([place for _, place in runs]),
        "replicates": np.array(values, dtype=np.float32),
    }


def read_people(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Run id -> metric -> (r,) of an ``identities.npz``; empty where there is none. Raises RecordError."""
    arrays = read_arrays(path)
    if not arrays:
        return {}
    metrics = arrays["metric"].tolist()
    rows = [
        {metric: each for metric, each in zip(metrics, values, strict=True) if not np.isnan(each).any()}
        for values in arrays["replicates"]
    ]
    return {run: rows[place] for run, place in zip(arrays["id"].tolist(), arrays["group"], strict=True)}
