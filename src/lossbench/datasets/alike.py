"""Which drawings look the same: equal up to the sub-pixel phase that a side bearing gives them."""

from __future__ import annotations

import numpy as np

TOLERANCE = 0.005  # squared difference, as a fraction of the squared ink of the darker drawing

_BLOCK = 512  # drawings compared with all others at a time


def alike_pairs(images: np.ndarray) -> np.ndarray:
    """Pairs of drawings that look the same when one is moved sideways by at most one pixel.

    Exact integer arithmetic: the answer is the same on every machine.

    Args:
        images: (n, h, w) uint8.

    Returns:
        (k, 2) int64, i < j, in ascending order.
    """
    allowed = TOLERANCE * np.einsum("nhw,nhw->n", images, images, dtype=np.int64)
    pairs = _candidates(images, allowed)
    found = [chunk[_alike(images, chunk, allowed)] for chunk in np.array_split(pairs, len(pairs) // 4096 + 1)]
    return np.concatenate(found)


def first_of_alike(n: int, pairs: np.ndarray) -> np.ndarray:
    """True (n,) at the items kept when an item leaves because it is alike to a kept one before it."""
    kept = np.ones(n, dtype=bool)
    for i, j in sorted(map(tuple, pairs.tolist())):
        if kept[i]:
            kept[j] = False
    return kept


def _candidates(images: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Pairs whose ink per row, which no sideways move changes, is close enough.

    Cauchy-Schwarz: the squared difference of two rows' sums is at most w times that of their pixels. In order
    of what is allowed, |a|² + |b|² - 2 ab <= w allowed(b) is one product of a and b with two columns more:
    all pairs of 40,000 images take seconds.
    """
    n, _, width = images.shape
    order = np.argsort(allowed, kind="stable")
    rows = images.sum(2, dtype=np.int64)[order].astype(np.float64)
    # the margin is ten times the rounding of single precision: a candidate too many does no harm
    squares = (rows**2).sum(1) * (1 - 1e-5)
    ones = np.ones(n)
    left = np.column_stack([rows, squares, ones]).astype(np.float32)
    right = np.column_stack([2 * rows, -ones, width * allowed[order] - squares]).astype(np.float32)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, n, _BLOCK):
        close = left[start : start + _BLOCK] @ right[start:].T >= 0
        i, j = np.divmod(np.flatnonzero(close), n - start)
        pairs.append(np.column_stack([i, j])[i < j] + start)
    found = np.sort(order[np.concatenate(pairs)], axis=1)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _alike(images: np.ndarray, pairs: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    one, other = (images[column].astype(np.int32) for column in pairs.T)
    distances = [((one - np.roll(other, shift, axis=2)) ** 2).sum((1, 2)) for shift in (-1, 0, 1)]
    return np.minimum.reduce(distances) <= allowed[pairs].max(1)
