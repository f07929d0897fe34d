"""What check_range lets pass, and the one line it answers otherwise."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from lossbench.validate import check_range


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0, {"low": 0, "high": 1}),
        (1, {"low": 0, "high": 1}),
        (0.999, {"low": 0, "high": 1, "open_high": True}),
        (1e-9, {"low": 0, "open_low": True}),
        (-1e300, {}),
        (Fraction(1, 3), {"low": 0, "high": 1}),
        (np.float32(0.5), {"low": 0, "high": 1}),
        (np.int64(3), {"low": 1, "integer": True}),
        (3, {"low": 3, "high": 3, "integer": True}),
    ],
)
def test_numbers_inside_pass(value, rule):
    assert check_range("x", value, **rule) is None


@pytest.mark.parametrize(
    ("value", "rule", "line"),
    [
        # interval notation: square brackets belong to the interval, round ones do not
        (2, {"low": 0, "high": 1}, "x=2: must be a number in [0, 1]"),
        (1, {"low": 0, "high": 1, "open_high": True}, "x=1: must be a number in [0, 1)"),
        (0, {"low": 0, "high": 1, "open_low": True}, "x=0: must be a number in (0, 1]"),
        (
            1.0,
            {"low": 0, "high": 1, "open_low": True, "open_high": True},
            "x=1.0: must be a number in (0, 1)",
        ),
        (-0.5, {"low": 0}, "x=-0.5: must be a number >= 0"),
        (0, {"low": 0, "open_low": True}, "x=0: must be a number > 0"),
        (7, {"high": 5}, "x=7: must be a number in [-inf, 5]"),
        # what is no number, or none to compute with
        (True, {"low": 0, "high": 1}, "x=True: must be a number in [0, 1]"),
        (False, {"low": 0, "integer": True}, "x=False: must be a whole number >= 0"),
        (math.nan, {"low": 0}, "x=nan: must be a number >= 0"),
        (math.nan, {}, "x=nan: must be a number"),
        (math.inf, {"low": 0}, "x=inf: must be a number >= 0"),
        (-math.inf, {}, "x=-inf: must be a number"),
        ("abc", {"low": 0}, "x=abc: must be a number >= 0"),
        ("0.5", {"low": 0}, "x=0.5: must be a number >= 0"),
        (None, {}, "x=None: must be a number"),
        ([1], {}, "x=[1]: must be a number"),
        (1j, {}, "x=1j: must be a number"),
        # whole numbers
        (1.5, {"low": 1, "integer": True}, "x=1.5: must be a whole number >= 1"),
        (2.0, {"low": 1, "integer": True}, "x=2.0: must be a whole number >= 1"),
        (0, {"low": 1, "integer": True}, "x=0: must be a whole number >= 1"),
        (9, {"low": 0, "high": 5, "integer": True}, "x=9: must be a whole number in [0, 5]"),
    ],
)
def test_anything_else_is_refused_with_name_value_and_interval(value, rule, line):
    with pytest.raises(ValueError, match="must be") as found:
        check_range("x", value, **rule)
    assert str(found.value) == line


def test_the_cure_follows_the_rule():
    with pytest.raises(ValueError, match="must be") as found:
        check_range("m", 20, low=0, high=1, cure="did you pass degrees?")
    assert str(found.value) == "m=20: must be a number in [0, 1]; did you pass degrees?"
