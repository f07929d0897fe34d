"""Which drawings look the same: equal up to the sub-pixel phase that a side bearing gives them."""

from __future__ import annotations

import numpy as np

TOLERANCE = 0.005  # squared difference, as a fraction of the squared ink of the darker drawing


def alike_pairs(images: np.ndarray) -> np.ndarray:
    """Pairs of drawings that look the same when one is moved sideways by at most one pixel.

    Exact integer arithmetic: the answer is the same on every machine.

    Args:
        images: (n, h, w) uint8.

    Returns:
        (k, 2) int64, i < j, in ascending order.
    """
    pixels = images.astype(np.int64)
    allowed = TOLERANCE * (pixels**2).sum((1, 2))
    pairs = _candidates(pixels, allowed)
    found = [chunk[_alike(pixels, chunk, allowed)] for chunk in np.array_split(pairs, len(pairs) // 4096 + 1)]
    return np.concatenate(found)


def first_of_alike(n: int, pairs: np.ndarray) -> np.ndarray:
    """True (n,) at the items kept when an item leaves because it is alike to a kept one before it."""
    kept = np.ones(n, dtype=bool)
    for i, j in sorted(map(tuple, pairs.tolist())):
        if kept[i]:
            kept[j] = False
    return kept


def _candidates(pixels: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Pairs whose ink per row, which no sideways move changes, is close enough.

    Cauchy-Schwarz: the squared difference of two rows' sums is at most w times that of their pixels.
    """
    rows = pixels.sum(2).astype(np.float64)
    squares = (rows**2).sum(1)
    distance = squares[:, None] + squares - 2 * rows @ rows.T
    bound = pixels.shape[2] * np.maximum(allowed[:, None], allowed)
    return np.argwhere(np.triu(distance <= bound, 1))


def _alike(pixels: np.ndarray, pairs: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    one, other = pixels[pairs[:, 0]], pixels[pairs[:, 1]]
    distances = [((one - np.roll(other, shift, axis=2)) ** 2).sum((1, 2)) for shift in (-1, 0, 1)]
    return np.minimum.reduce(distances) <= allowed[pairs].max(1)
