"""Claims on the printed tables, and that other numbers in them are caught."""

from __future__ import annotations

import pytest

from lossbench.chapter import tables
from lossbench.chapter.printed import printed
from tests.chapter.checking import comes_out, every_claim, fails


@every_claim(tables)
def test_claims_come_out(claim):
    comes_out(claim)


@pytest.mark.parametrize(
    ("row", "column", "value", "names"),
    [
        ("amsoftmax_035", "tar_far_1e_6", "83.44", ["label", "without_normalisation"]),
        ("amsoftmax_035", "dir_far_1e_2", "72.47", ["label"]),
        ("amsoftmax_035", "lfw", "99.50", ["gains", "pairs", "depth"]),
        ("amsoftmax_040", "tar_far_1e_3", "98.00", ["bold"]),
        ("asoftmax", "tar_far_1e_4", "92.00", ["gains"]),
        ("normface", "tar_far_1e_6", "90.00", ["depth"]),
        ("overlap_removal", "megaface_vr", "86.00", ["overlap", "label"]),
        ("amsoftmax_no_fn_040", "rank1", "75.00", ["without_normalisation"]),
    ],
)
def test_another_printed_number_is_caught(monkeypatch, row, column, value, names):
    def changed(table):
        rows = printed(table)
        for one in rows:
            if row in (one.get("row"), one.get("setting")) and column in one:
                one[column] = value
        return rows

    monkeypatch.setattr(tables, "printed", changed)
    for name in names:
        fails(getattr(tables, name))
