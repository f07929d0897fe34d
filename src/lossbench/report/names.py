"""How metrics, knobs and numbers are printed for people."""

from __future__ import annotations

from typing import Any

from lossbench.report.kinds import kind

MISSING = "–"  # noqa: RUF001 the dash people read as "no value"

DEFAULT_METRICS = ("test/accuracy", "test/tar_far_1e_2", "test/tar_far_1e_3", "test/eer", "test/cmc_1")


def pretty_name(metric: str) -> str:
    """The name people print; the split is named unless it is the test split.

    >>> pretty_name("test/tar_far_1e_3"), pretty_name("test/macro/cmc_1"), pretty_name("val/eer")
    ('TAR@FAR=1e-3', 'macro rank-1', 'val EER')
    >>> pretty_name("test/trials/tar_far_1e_4_mean"), pretty_name("test/ladder/cmc_1_distractors_100")
    ('trials TAR@FAR=1e-4, mean', 'ladder rank-1 of 100 distractors')
    """
    *groups, word = metric.split("/")
    prefix = " ".join(group for group in groups if group != "test")
    known = kind(metric)
    return f"{prefix} {known.printed if known else word.replace('_', ' ')}".lstrip()


def is_rate(metric: str) -> bool:
    """Whether the metric is a fraction in [0, 1], printed in percent."""
    known = kind(metric)
    return known is not None and known.rate


def format_value(metric: str, value: float | None, *, percent_sign: bool = False) -> str:
    """A rate in percent with two decimals, any other number with three decimals, None as a dash."""
    if value is None:
        return MISSING
    if is_rate(metric):
        return f"{100 * value:.2f}{' %' * percent_sign}"
    return f"{value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3g}"


def format_knobs(knobs: dict[str, Any]) -> str:
    """
    >>> format_knobs({"s": 30.0, "m": 0.35})
    'm=0.35 s=30'
    """
    return " ".join(f"{name}={format_setting(knobs[name])}" for name in sorted(knobs))


def format_setting(value: Any) -> str:
    """A knob or configuration value: shortest form of a number, text as it is."""
    if value is None:
        return "null"
    return f"{value:.10g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def format_p(p: float) -> str:
    """
    >>> format_p(0.0312), format_p(2e-50)  # of a few seeds nobody knows more than that it is small
    ('0.031', '< 1e-4')
    """
    return f"{p:.2g}" if p >= 1e-4 else "< 1e-4"
