"""By how much each configuration differs from a baseline: paired by seed and by test identity."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lossbench.records import Record, RecordError, read_arrays
from lossbench.report.groups import Group, curve_labels
from lossbench.report.names import format_p, is_rate, pretty_name
from lossbench.report.paired import FEWEST, Difference, Draws, Gaps, Row, contrast, family

COMPARISON, IDENTITIES = "comparison.md", "identities.npz"
_DRAWS = ("replicates", "identities", "whom")


class Gap(NamedTuple):
    """How far a configuration lies above the baseline in one metric."""

    label: str
    metric: str
    difference: Difference


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
    """The row of each group in its experiment's table; where it has none of its own, its label in figures."""
    rows = Counter((group.part("dataset"), group.row) for group in groups)
    alone = [group.row if rows[group.part("dataset"), group.row] == 1 else None for group in groups]
    return [row or label for row, label in zip(alone, curve_labels(groups), strict=True)]


def compare(
    groups: Sequence[Group], baseline: Sequence[Group], metrics: Sequence[str]
) -> dict[str, list[Gap]]:
    """Gaps by data set, each a family of its own, of groups with three seeds in common with a baseline."""
    base = {group.part("dataset"): group for group in baseline}
    tasks: dict[str, list[tuple[str, str, Gaps]]] = {}
    for group, label in zip(groups, group_names(groups), strict=True):
        task = group.part("dataset")
        if task in base and group is not base[task]:
            for metric in metrics:
                gaps = gaps_between(group, base[task], metric)
                if len(gaps) >= FEWEST:
                    tasks.setdefault(task, []).append((label, metric, gaps))
    return {
        task: [
            Gap(label, metric, difference)
            for (label, metric, _), difference in zip(
                found, family([gaps for *_, gaps in found]), strict=True
            )
        ]
        for task, found in tasks.items()
    }


def gaps_between(upper: Group, lower: Group, metric: str) -> Gaps:
    """How far one group lies above another in each seed that both have, and with other test identities."""
    return contrast({"upper": row_of(upper), "lower": row_of(lower)}, {"upper": 1, "lower": -1}, metric)


def row_of(group: Group) -> Row:
    """Its metrics by seed, and its replicates with whom they draw."""
    seeds = {run.config.get("seed"): run.metrics for run in group.runs}
    known = {
        seed: {metric: value for metric, value in metrics.items() if value is not None}
        for seed, metrics in seeds.items()
    }
    return Row(known, _draws(group))  # type: ignore[arg-type]


def _draws(group: Group) -> Draws:
    run = group.runs[0]
    return Draws(group.replicates, int(_tested(run).get("identities") or 0), whom(run))


def whom(run: Record) -> str:
    """The same for runs whose replicates draw the same identities."""
    drawn = json.dumps([(run.config.get("protocol") or {}).get("seed"), _tested(run)], sort_keys=True)
    return hashlib.sha256(drawn.encode()).hexdigest()[:16]


def _tested(run: Record) -> Mapping[str, Any]:
    roles = run.split.get("roles") or {}
    return roles.get("test_open") or roles.get("test") or {}


def comparison_markdown(
    groups: Sequence[Group], baseline: Sequence[Group], metrics: Sequence[str], name: str
) -> str:
    """Text of ``comparison.md``."""
    gaps = compare(groups, baseline, metrics)
    sizes = ", ".join(f"{len(rows)} on {task}" for task, rows in gaps.items())
    lines = [
        f"# Above or below {name}",
        "",
        "Difference to it in the same seeds and, where a column says so, with the same other test "
        "identities drawn (bootstrap); rates in points. p is adjusted by Holm for all comparisons on one "
        f"data set ({sizes}); resolved: p < 0.05. The intervals are not adjusted: one that leaves out 0 may "
        "still be chance among so many.",
    ]
    columns = ("row", "metric", "difference", "95 % interval", "chance of", "seeds above", "p", "")
    for task, rows in gaps.items():
        lines += ["", f"## {task}", "", f"| {' | '.join(columns)} |"]
        lines += ["|:---|:---|---:|---:|:---|---:|---:|:---|", *map(_line, rows)]
    if not gaps:
        lines += ["", f"Nothing has {FEWEST} seeds in common with it."]
    return "\n".join([*lines, ""])


def _line(gap: Gap) -> str:
    found = gap.difference
    factor = 100 if is_rate(gap.metric) else 1
    mean, low, high = (f"{factor * value:+.2f}" for value in found[:3])
    cells = [gap.label, pretty_name(gap.metric), mean, f"{low} to {high}"]
    cells += [found.chance_of, f"{found.above} of {found.seeds}", format_p(found.p)]
    return f"| {' | '.join([*cells, 'resolved' if found.p < 0.05 else 'not resolved'])} |"


def replicate_arrays(groups: Sequence[Group], metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """What ``identities.npz`` holds: metric (m,) and id (n,) text, group (n,), replicates (g, m, r) float32,
    and whom each group's draw: identities (g,) and whom (g,) text.

    group: the place in the others of the run ``id``. NaN where a group has no replicates of a metric; empty
    where none has any, or where they differ in number.
    """
    known = [metric for metric in metrics if any(metric in group.replicates for group in groups)]
    sizes = {len(values) for group in groups for values in group.replicates.values()}
    if not known or len(sizes) > 1:
        return {}
    blank = np.full(sizes.pop(), np.nan)
    runs = [(run.id, place) for place, group in enumerate(groups) for run in group.runs]
    values = [[group.replicates.get(metric, blank) for metric in known] for group in groups]
    draws = [_draws(group) for group in groups]
    return {
        "metric": np.array(known),
        "id": np.array([identity for identity, _ in runs]),
        "group": np.array([place for _, place in runs]),
        "replicates": np.array(values, dtype=np.float32),
        "identities": np.array([each.identities for each in draws]),
        "whom": np.array([each.whom for each in draws]),
    }


def read_people(path: Path) -> dict[str, Draws]:
    """Run id -> draws of its group, of an ``identities.npz``; empty where there is none.

    Raises RecordError for a torn file, and for other arrays than ``replicate_arrays`` names.
    """
    arrays = read_arrays(path)
    if not arrays:
        return {}
    if missing := {"metric", "id", "group", *_DRAWS} - arrays.keys():
        raise RecordError(f"{path}: has no {', '.join(sorted(missing))}: make it again with the report")
    metrics = arrays["metric"].tolist()
    draws = []
    for values, identities, whom in zip(*(arrays[name] for name in _DRAWS), strict=True):
        named = zip(metrics, values, strict=True)
        known = {metric: each for metric, each in named if not np.isnan(each).any()}
        draws.append(Draws(known, int(identities), str(whom)))
    return {run: draws[place] for run, place in zip(arrays["id"].tolist(), arrays["group"], strict=True)}
