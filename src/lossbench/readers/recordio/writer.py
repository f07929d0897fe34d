"""Write images and labels as an InsightFace training set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lossbench.readers.list_files import Location
from lossbench.readers.recordio.framing import framed
from lossbench.readers.recordio.payload import EXACT, packed


def write_records(
    path: Location,
    images: Iterable[bytes],
    labels: Sequence[int],
    *,
    height: int,
    width: int,
    identities: bool = True,
) -> None:
    """Write ``path`` (.rec), the .idx beside it and ``property``.

    images: encoded, one after the other; all of them are never held. labels: their classes, 0 or more.
    height, width: in pixels, for ``property``, whose number of classes is the largest label + 1.
    identities: begin with a header and end with one record per identity, which needs images of one class to
    stand together. Without them keys count from 0, with them from 1.

    Raises ValueError for labels that are negative or 2**24 and more, for classes whose images do not stand
    together, and for other numbers of images than labels.
    """
    path = Path(path)
    if not len(labels) or min(labels) < 0 or max(labels) >= EXACT:
        raise ValueError(f"labels: expected one or more integers in 0..{EXACT - 1}")
    ranges = _ranges(labels) if identities else []
    first = 1 if identities else 0
    with path.open("wb") as record_file, path.with_suffix(".idx").open("w", newline="\n") as index:

        def add(key: int, labels: float | Sequence[float], image: bytes = b"") -> None:
            index.write(f"{key}\t{record_file.tell()}\n")
            record_file.write(framed(packed(labels, key, image)))

        end = first + len(labels)
        if identities:
            add(0, [end, end + len(ranges)])
        for key, (label, image) in enumerate(zip(labels, images, strict=True), first):
            add(key, label, image)
        for key, (begin, stop) in enumerate(ranges, end):
            add(key, [begin, stop])
    path.with_name("property").write_text(f"{max(labels) + 1},{height},{width}\n")


def _ranges(labels: Sequence[int]) -> list[tuple[int, int]]:
    """Return start and end of the keys, from 1, of each run of equal labels."""
    starts = [i for i in range(len(labels)) if i == 0 or labels[i] != labels[i - 1]]
    if len({labels[i] for i in starts}) < len(starts):
        raise ValueError("labels: images of one class do not stand together: sort them, or identities=False")
    stops = [*starts[1:], len(labels)]
    return [(start + 1, stop + 1) for start, stop in zip(starts, stops, strict=True)]
