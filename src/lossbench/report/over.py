"""Metrics over one setting of a sweep: the curve of a margin, a scale, a learning rate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from lossbench.report.groups import Group, format_differs, varying_keys
from lossbench.report.interval import Estimate
from lossbench.report.names import format_knobs, format_setting, is_rate, pretty_name
from lossbench.report.style import COLOURS, house_style

Series = Mapping[str, Mapping[float, Group]]
_LINES = ("-", "--", ":")
_SHORT = 44
"""Letters of a label of which two fit beside each other."""


def series_over(groups: Sequence[Group], name: str) -> dict[str, dict[float, Group]]:
    """Label -> value of a setting -> group, of groups that are alike in all else.

    name: a knob (m), or a key of the configuration or its end (optimizer.lr, lr). Groups without a number
    there are left out. Raises ValueError where no two groups differ in it; names what they differ in.
    """
    key = _key(groups, name)
    meant = _followers(groups, key)
    found: dict[str, dict[float, Group]] = {}
    for group in groups:
        value = {**group.settings, **group.knobs}.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(json.dumps(_others(group, meant), sort_keys=True), {})[float(value)] = group
    if not found:
        raise ValueError(f"{name!r}: must be a number; runs differ in it, but it is none")
    labels = _labels([next(iter(row.values())) for row in found.values()], key, meant)
    rows = (dict(sorted(row.items())) for row in found.values())
    return dict(zip(labels, rows, strict=True))


def over_figure(series: Series, name: str, metrics: Sequence[str]) -> Figure:
    """A panel for each metric: mean over seeds, with the 95 % interval as a band where there is one."""
    columns = min(len(metrics), 2)
    rows = -(-len(metrics) // columns)
    beside = columns if max(map(len, series), default=0) <= _SHORT else 1
    lines = -(-len(series) // beside)
    with house_style():
        figure = Figure(figsize=(4.2 * columns + 0.4, 3.0 * rows + 0.22 * lines + 0.2), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, metric in zip(panels, metrics, strict=False):
            _draw(axes, series, metric)
        for axes in panels[len(metrics) :]:
            axes.remove()
        for axes in figure.axes:
            axes.set_xlabel(name)
            _scale(axes, sorted({value for row in series.values() for value in row}))
        handles = figure.axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=beside)
    return figure


def _key(groups: Sequence[Group], name: str) -> str:
    """The knob or the key of the configuration that is meant."""
    varying = varying_keys([{**group.settings, **group.knobs} for group in groups])
    meant = [key for key in varying if key == name] or [key for key in varying if key.endswith(f".{name}")]
    if len(meant) != 1:
        told = ", ".join(sorted(meant or varying)) or "nothing"
        raise ValueError(f"{name!r}: must be what runs differ in: {told}")
    return meant[0]


def _followers(groups: Sequence[Group], key: str) -> set[str]:
    """The settings that are the one meant by another name: the knob m is head.margin.m, too."""
    values = [{**group.settings, **group.knobs}.get(key) for group in groups]
    names = {name for group in groups for name in group.settings}
    return {
        name
        for name in names
        if all(
            group.settings[name] == value
            for group, value in zip(groups, values, strict=True)
            if name in group.settings
        )
    }


def _others(group: Group, meant: set[str]) -> dict[str, Any]:
    """All settings but those meant."""
    settings = {name: value for name, value in group.settings.items() if name not in meant}
    return settings | {name: group.part(name) for name in ("dataset", "backbone", "head", "loss")}


def _labels(groups: Sequence[Group], key: str, meant: set[str]) -> list[str]:
    """Head and loss with their knobs, data sets where there are several, then what tells twins apart."""
    labels = []
    for group in groups:
        knobs = {name: value for name, value in group.knobs.items() if name != key}
        words = [group.part("dataset")] * (len({each.part("dataset") for each in groups}) > 1)
        words += [group.part("head")]
        words += [f"+ {group.part('loss')}"] * (len({each.part("loss") for each in groups}) > 1)
        labels.append(" ".join(filter(None, [*words, format_knobs(knobs)])))
    for label in {label for label in labels if labels.count(label) > 1}:
        twins = [place for place, each in enumerate(labels) if each == label]
        settings = [_others(groups[place], meant) for place in twins]
        telling = varying_keys(settings)
        for place, each in zip(twins, settings, strict=True):
            told = format_differs({name: each[name] for name in telling if name in each})
            labels[place] = f"{label} {told}".rstrip()
    return labels


def _draw(axes: Axes, series: Series, metric: str) -> None:
    factor = 100 if is_rate(metric) else 1
    for place, (label, row) in enumerate(series.items()):
        colour, line = COLOURS[place % len(COLOURS)], _LINES[place // len(COLOURS) % len(_LINES)]
        known = {
            value: each for value, group in row.items() if (each := group.estimate(metric)).mean is not None
        }
        means = [factor * (each.mean or 0.0) for each in known.values()]
        axes.plot(list(known), means, f"o{line}", markersize=3.5, color=colour, label=label)
        _band(axes, known, factor, colour)
    axes.set_title(pretty_name(metric) + (" (%)" if is_rate(metric) else ""))


def _band(axes: Axes, known: Mapping[float, Estimate], factor: int, colour: str) -> None:
    bounds = {value: each.interval for value, each in known.items()}
    ends = [
        (value, low, high) for value, (low, high) in bounds.items() if low is not None and high is not None
    ]
    if ends:
        values, low, high = zip(*((v, factor * a, factor * b) for v, a, b in ends), strict=True)
        axes.fill_between(values, low, high, color=colour, alpha=0.15, linewidth=0)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where values span more than a decade; a tick at each of a few."""
    if values[0] > 0 and values[-1] > 10 * values[0]:
        axes.set_xscale("log")
    if len(values) <= 12:
        axes.set_xticks(values, [format_setting(value) for value in values])
        axes.xaxis.set_minor_locator(NullLocator())
