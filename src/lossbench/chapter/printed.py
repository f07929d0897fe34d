"""The tables of the chapter as they are printed, as data."""

from __future__ import annotations

import csv
from importlib import resources


def printed(name: str) -> list[dict[str, str]]:
    """Rows of ``data/<name>.csv`` (table_3_1, table_3_2, megaface_rank1), cells as text.

    >>> [row["megaface_rank1"] for row in printed("table_3_2")]
    ['75.23', '72.47']
    """
    text = resources.files("lossbench.chapter").joinpath("data", f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
