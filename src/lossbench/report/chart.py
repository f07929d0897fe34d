"""Interactive charts: lines with bands as inline SVG, and the numbers from which page.js draws them anew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lossbench.report.markup import Markup, tag
from lossbench.report.ticks import decade_ticks, round_ticks, tick_text

COLOURS, DASHES = 7, 4  # classes c0.. and d0.. of page.css
WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 10, 40


@dataclass(frozen=True)
class Line:
    """One configuration: its place in the table, and for each seed its values on the chart's grid (n,)."""

    group: int
    label: str
    seeds: Mapping[str, np.ndarray]

    @property
    def mean(self) -> np.ndarray:
        return np.mean(list(self.seeds.values()), axis=0)

    @property
    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """(lowest, highest) over seeds."""
        values = list(self.seeds.values())
        return np.min(values, axis=0), np.max(values, axis=0)


@dataclass(frozen=True)
class Chart:
    """Lines over a common grid (n,), increasing; NaN where a line has no value.

    at: index of the grid at which the legend's values are read until a reader points elsewhere.
    log, log_y: which axes are logarithmic; their values are above 0. percent: the values are fractions in
    [0, 1]. steps: right-continuous steps, as a ROC is.
    """

    name: str
    title: str
    x_name: str
    grid: np.ndarray
    lines: Sequence[Line]
    at: int
    log: bool = False
    log_y: bool = False
    percent: bool = False
    steps: bool = False

    def figure(self) -> Markup:
        """The chart with its legend, complete without any script."""
        picture = tag(
            "svg",
            *self._axes(),
            *(piece for line in self.lines for piece in self._line(line)),
            tag("line", class_="cursor", y1=_TOP, y2=HEIGHT - _BOTTOM),
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            role="img",
            aria_label=f"{self.title} over {self.x_name}: {len(self.lines)} lines; values in the legend",
        )
        return tag("figure", tag("h3", self.title), picture, self._legend(), class_="chart", id=self.name)

    def numbers(self) -> dict[str, Any]:
        """What page.js needs to draw the lines again, with the frame's ranges in data and in pixels."""
        return {
            "name": self.name,
            "x": [_short(x) for x in self.grid],
            "at": self.at,
            "log": self.log,
            "logY": self.log_y,
            "percent": self.percent,
            "steps": self.steps,
            "range": [*self._x_range, *self._y_range],
            "frame": [_LEFT, WIDTH - _RIGHT, HEIGHT - _BOTTOM, _TOP],
            "lines": [
                {
                    "group": line.group,
                    "seeds": {seed: [_short(y) for y in values] for seed, values in line.seeds.items()},
                }
                for line in self.lines
            ],
        }

    @cached_property
    def _x_range(self) -> tuple[float, float]:
        first, last = float(self.grid[0]), float(self.grid[-1])
        # One point has no width.
        return first, last if last > first else first + 1

    @cached_property
    def _y_range(self) -> tuple[float, float]:
        values = np.concatenate([y for line in self.lines for y in line.seeds.values()])
        values = values[np.isfinite(values)]
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        if self.log_y:
            return low / 1.2, high * 1.2
        margin = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
        low, high = low - margin, high + margin
        return (max(0.0, low), min(1.0, high)) if self.percent else (low, high)

    def _x(self, value: float) -> float:
        return _LEFT + _part(value, *self._x_range, self.log) * (WIDTH - _RIGHT - _LEFT)

    def _y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - _part(value, *self._y_range, self.log_y) * (HEIGHT - _BOTTOM - _TOP)

    def _axes(self) -> Iterator[Markup]:
        for value in decade_ticks(*self._y_range) if self.log_y else round_ticks(*self._y_range):
            y = f"{self._y(value):.1f}"
            yield tag("line", class_="grid", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y)
            text = f"{100 * value:.4g} %" if self.percent else f"{value:.4g}"
            yield tag("text", text, x=_LEFT - 5, y=y, dy="0.35em", text_anchor="end")
        for value in decade_ticks(*self._x_range) if self.log else round_ticks(*self._x_range):
            x = f"{self._x(value):.1f}"
            yield tag("line", class_="grid", x1=x, x2=x, y1=_TOP, y2=HEIGHT - _BOTTOM)
            yield tag("text", tick_text(value), x=x, y=HEIGHT - _BOTTOM + 15, text_anchor="middle")
        yield tag("text", self.x_name, x=(_LEFT + WIDTH - _RIGHT) / 2, y=HEIGHT - 6, text_anchor="middle")

    def _line(self, line: Line) -> Iterator[Markup]:
        known = np.isfinite(line.mean)
        xs = [self._x(x) for x in self.grid[known]]
        mean, low, high = ([self._y(y) for y in values[known]] for values in (line.mean, *line.band))
        if len(line.seeds) > 1:
            yield tag("path", class_=f"band {style(line.group)}", d=_band(xs, low, high, self.steps))
        yield tag("path", class_=f"line {style(line.group)}", d=_path(xs, mean, self.steps))

    def _legend(self) -> Markup:
        rows = []
        for line in self.lines:
            mean, low, high = (values[self.at] for values in (line.mean, *line.band))
            several = len(line.seeds) > 1 and np.isfinite(mean)
            band = f"{self._text(low)} to {self._text(high)}" if several else ""
            swatch = tag("td", swatch_svg(line.group))
            rows.append(
                tag(
                    "tr",
                    swatch,
                    tag("th", line.label, scope="row"),
                    tag("td", self._text(mean)),
                    tag("td", band),
                )
            )
        name = tag("output", tick_text(self.grid[self.at]))
        heading = tag(
            "tr",
            tag("td"),
            tag("th", self.x_name, " = ", name, scope="col"),
            tag("th", "mean", scope="col"),
            tag("th", "range over seeds", scope="col"),
        )
        return tag("table", tag("thead", heading), tag("tbody", *rows), class_="legend")

    def _text(self, value: float) -> str:
        if not np.isfinite(value):
            return "–"  # noqa: RUF001
        return f"{100 * value:.2f} %" if self.percent else f"{value:.4g}"


def style(group: int) -> str:
    """Classes of a line: colours first, then the same colours dashed."""
    return f"c{group % COLOURS} d{group // COLOURS % DASHES}"


def swatch_svg(group: int) -> Markup:
    line = tag("path", class_=f"line {style(group)}", d="M0 6H26")
    return tag("svg", line, viewBox="0 0 26 12", class_="swatch", aria_hidden="true")


def _part(value: float, first: float, last: float, log: bool) -> float:
    """Where a value stands between the ends of its axis, 0 to 1."""
    return math.log(value / first) / math.log(last / first) if log else (value - first) / (last - first)


def _path(xs: Sequence[float], ys: Sequence[float], steps: bool) -> str:
    between = "H{0:.1f}V{1:.1f}" if steps else "L{0:.1f} {1:.1f}"
    points = list(zip(xs, ys, strict=True))
    start = [f"M{x:.1f} {y:.1f}" for x, y in points[:1]]
    return "".join(start + [between.format(*point) for point in points[1:]])


def _band(xs: Sequence[float], low: Sequence[float], high: Sequence[float], steps: bool) -> str:
    """Along the highest values and back along the lowest."""
    if not xs:
        return ""
    between = "V{1:.1f}H{0:.1f}" if steps else "L{0:.1f} {1:.1f}"
    back = [between.format(x, y) for x, y in zip(xs[-2::-1], low[-2::-1], strict=True)]
    return "".join([_path(xs, high, steps), f"V{low[-1]:.1f}", *back, "Z"])


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
