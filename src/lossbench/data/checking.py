"""``python -m lossbench.data check``: every image of a set read, and what is wrong or unusual named."""

from __future__ import annotations

import csv
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.text import Text

from lossbench.data.contents import Contents, contents
from lossbench.data.examining import UNREADABLE, Examined, examined
from lossbench.datasets.decoding import Encoded, chunks
from lossbench.datasets.processes import MANY, in_processes
from lossbench.datasets.progress import bar
from lossbench.datasets.threads import in_threads

_SHOWN = 20  # cautions of a kind; faults are all shown
_LEAST = 1 << 13  # bytes that the smallest image counts for


class Finding(NamedTuple):
    """kind: of ``UNREADABLE`` or a caution. file: '' where a whole identity is meant."""

    kind: str
    identity: str
    file: str
    what: str


def check(path: Path, *, root: Path | None = None, csv_file: Path | None = None) -> int:
    """Print what is wrong or unusual in a set; 1 if an image cannot be read, else 0.

    Raises:
        ValueError: in one line, for a set that cannot be read at all.
    """
    # of damaged headers, without the name of the file
    warnings.filterwarnings("ignore", module="PIL")
    started = time.perf_counter()
    found = contents(path, root)
    findings = list(find_faults(found))
    if csv_file is not None:
        _write(csv_file, findings)
    unread = sum(finding.kind in UNREADABLE for finding in findings)
    _show(findings, csv_file)
    images, identities = len(found.files), len(set(found.identities))
    print(
        f"{path}: {images:,} images of {identities:,} identities, {unread:,} cannot be read, "
        f"{len(findings) - unread:,} cautions, {time.perf_counter() - started:.1f} s"
    )
    return int(unread > 0)


def find_faults(found: Contents) -> Iterator[Finding]:
    """Everything there is to say, in the order of the set. Keeps 16 bytes an image, no pixels."""
    pixels = np.zeros(len(found.files), "S16")
    remarks: dict[int, dict[str, str]] = {}
    with bar("reading", len(found.files)) as advance:
        for row, result in _examined(found.read(), len(found.files)):
            pixels[row] = result.pixels
            if result.remarks:
                remarks[row] = result.remarks
            advance(1)
    for row in sorted(remarks):
        for kind, what in remarks[row].items():
            yield Finding(kind, str(found.identities[row]), str(found.files[row]), what)
    yield from _copies(found, pixels)
    yield from _alone(found)
    for reason, count in found.passed_over.items():
        yield Finding("passed over", "", "", f"{count:,} files: {reason}")


def _examined(encoded: Iterable[Encoded], count: int) -> Iterator[tuple[int, Examined]]:
    share = in_processes if count >= MANY else in_threads
    for examined_chunk in share(_looked_at, chunks(encoded, least=_LEAST)):
        yield from examined_chunk


def _looked_at(chunk: list[Encoded]) -> list[tuple[int, Examined]]:
    return [
        (row, Examined({"broken": str(data)}, b"") if isinstance(data, ValueError) else examined(data))
        for row, data in chunk
    ]


def _copies(found: Contents, pixels: np.ndarray) -> Iterator[Finding]:
    """Every image that an earlier one equals: one of the same identity, if there is one."""
    _, image, count = np.unique(pixels, return_inverse=True, return_counts=True)
    firsts: dict[int, dict[str, int]] = defaultdict(dict)
    for row in np.flatnonzero((count[image] > 1) & (pixels != b"")).tolist():
        first, who, file = firsts[int(image[row])], str(found.identities[row]), str(found.files[row])
        if who in first:
            yield Finding("copy", who, file, f"equals {found.files[first[who]]}")
        elif first:
            other, earlier = next(iter(first.items()))
            what = f"equals {found.files[earlier]}, which shows {other}"
            yield Finding("copy of another identity", who, file, what)
        first.setdefault(who, row)


def _alone(found: Contents) -> Iterator[Finding]:
    counts = Counter(map(str, found.identities))
    for who, name in zip(map(str, found.identities), found.files, strict=True):
        if counts[who] == 1:
            yield Finding("identity of one image", who, str(name), "")


def _show(findings: list[Finding], csv_file: Path | None) -> None:
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        kinds[finding.kind].append(finding)
    console = Console()
    for kind, members in sorted(kinds.items(), key=lambda item: item[0] not in UNREADABLE):
        style = "bold red" if kind in UNREADABLE else "bold"
        heading = kind if kind == "passed over" else f"{kind}: {len(members):,}"
        console.print(Text(heading, style), soft_wrap=True)
        shown = members if kind in UNREADABLE else members[:_SHOWN]
        for _, _, file, what in shown:
            console.print(Text("  " + ": ".join(filter(None, (file, what)))), soft_wrap=True)
        if len(shown) < len(members):
            rest = f"are in {csv_file}" if csv_file else "--csv FILE writes all"
            console.print(Text(f"  and {len(members) - len(shown):,} more: {rest}"), soft_wrap=True)


def _write(file: Path, findings: list[Finding]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerows([Finding._fields, *findings])
