"""Do the identity records agree with the labels of the images?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossbench.readers.recordio.payload import EXACT


def identity_ranges(
    keys: np.ndarray,
    claims: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    locate: Callable[[int], str],
) -> np.ndarray:
    """Return (m, 2) int64, start and end (exclusive) of the keys of each identity's images.

    keys: (m,) of the identity records. claims: (m, 2) float64, start and end as they stand there in float32.
    images, labels: (n,) int64, all keys of images, ascending, and their classes. locate: names the file and
    byte of a key in errors.

    Beyond 2**24 a claim may be off by the rounding of float32; the exact ranges are then the runs of equal
    labels. Raises ValueError where a claim is not the rounded range of one such run, where images belong to
    no record, where a key is missing between images, and where two identities have one class.
    """
    gap = np.flatnonzero(np.diff(images) != 1)
    if len(gap):
        raise ValueError(f"{locate(int(images[gap[0]]))}: key {images[gap[0]] + 1}, the next one, is missing")
    runs, classes = _runs(images, labels)
    empty = (claims[:, 0] == claims[:, 1]) & (claims[:, 0] < EXACT)
    order = np.lexsort((keys, claims[:, 0]))
    order = order[~empty[order]]
    both = min(len(order), len(runs))
    differ = (runs[:both].astype(np.float32) != claims[order[:both]]).any(1)
    if differ.any() or len(order) > both:
        row = int(differ.argmax()) if differ.any() else both
        start, end = claims[order[row]]
        found = f"are {runs[row, 0]} to {runs[row, 1] - 1}" if row < len(runs) else "do not exist"
        key = int(keys[order[row]])
        raise ValueError(
            f"{locate(key)}: identity {key} claims the images {start:.0f} to {end - 1:.0f},"
            f" the next ones of one class {found}"
        )
    if len(runs) > both:
        first = int(runs[both, 0])
        raise ValueError(f"{locate(first)}: the image with key {first} belongs to no identity record")
    _check_distinct(classes, keys[order], locate)
    ranges = claims.astype(np.int64)
    ranges[order] = runs
    return ranges


def _runs(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and end (r, 2) of the keys of neighbours with one label, and that label (r,)."""
    if not len(images):
        return np.empty((0, 2), dtype=np.int64), labels
    first = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    ends = np.append(images[first[1:]], images[-1] + 1)
    return np.stack([images[first], ends], axis=1), labels[first]


def _check_distinct(classes: np.ndarray, keys: np.ndarray, locate: Callable[[int], str]) -> None:
    order = np.argsort(classes, kind="stable")
    twice = np.flatnonzero(np.diff(classes[order]) == 0)
    if len(twice):
        one, other = keys[order[twice[0]]], keys[order[twice[0] + 1]]
        raise ValueError(
            f"{locate(int(other))}: identities {one} and {other} both have class {classes[order[twice[0]]]}"
        )
