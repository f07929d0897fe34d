"""Rows that are pixel for pixel the same: a copy must never be scored against its original unnoticed."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import numpy as np

from lossbench.datasets.collection import Collection

logger = logging.getLogger(__name__)

# Rows read together; a set need not fit into memory.
_BLOCK = 64

# The lower, the firmer its place: nobody takes a row out of the test split that a set prescribes.
_FIRMNESS = {"test": 0, "val": 1, "train": 2, "": 3}


def pixel_digests(data: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Digests (n,) S16 of the rows of ``data``, or of those named: what ``Collection.pixels`` holds."""
    count = len(data) if rows is None else len(rows)
    blocks = (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))
    read = (np.ascontiguousarray(data[block if rows is None else rows[block]]) for block in blocks)
    digests = (hashlib.blake2b(row.data, digest_size=16).digest() for block in read for row in block)
    return np.fromiter(digests, dtype="S16", count=count)


def image_numbers(collection: Collection) -> np.ndarray:
    """(n,) int64, the same number for rows that hold the same pixels."""
    digests = pixel_digests(collection.data) if collection.pixels is None else collection.pixels
    as_bytes = np.ascontiguousarray(digests).view("S16").reshape(len(collection))
    return np.unique(as_bytes, return_inverse=True)[1].astype(np.int64)


def copies(collection: Collection, images: np.ndarray) -> np.ndarray:
    """(n,) bool: rows to leave out because another row of the same identity holds the same pixels.

    One row of each image stays: of a prescribed test split before a prescribed val, before train, before
    rows of no prescribed role, and of those the first by origin. Rows of a prescribed test or val split
    that repeat each other all stay: published numbers count them.

    images: what ``image_numbers`` gave.
    """
    rows = np.flatnonzero(_repeated(images))
    labels, shown = collection.labels[rows], images[rows]
    firmness = np.full(len(rows), _FIRMNESS[""])
    if collection.given is not None:
        for role, number in _FIRMNESS.items():
            firmness[collection.given[rows] == role] = number
    order = np.lexsort((collection.origin[rows], firmness, shown, labels))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(shown[order]) != 0) | (np.diff(labels[order]) != 0)
    firmest = firmness[order][np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    left_out = np.zeros(len(collection), dtype=bool)
    left_out[rows[order]] = ~first & ((firmness[order] > firmest) | (firmest >= _FIRMNESS["train"]))
    return left_out


def duplicate_facts(
    collection: Collection, name: str, images: np.ndarray, left_out: np.ndarray, role: np.ndarray
) -> dict[str, Any]:
    """What a record must tell of copies, also logged, one line each; empty where there are none.

    Images shown under two identities stay: which of the labels is wrong, if any, cannot be known here.

    role: (n,) str, the split of each row, '' for none.
    """
    facts: dict[str, Any] = {}
    if left_out.any():
        facts["copies_left_out"] = int(left_out.sum())
        logger.warning(
            "%s: %d rows repeat an image of the same identity and are left out, e.g. %s",
            *(name, left_out.sum(), np.sort(collection.origin[left_out])[0]),
        )
    used = np.flatnonzero(_repeated(images) & (role != ""))
    kept = len(used) - len(np.unique(_pairs(collection.labels[used], images[used])))
    if kept:
        facts["copies_kept"] = kept
        logger.warning(
            "%s: %d rows of prescribed splits repeat an image of the same identity and stay", name, kept
        )
    shared = _several(images[used], collection.labels[used])
    if len(shared):
        across = np.intersect1d(shared, _several(images[used], np.unique(role[used], return_inverse=True)[1]))
        shown = list(dict.fromkeys([*across, *shared]))[:2]
        examples = [_example(collection, used[images[used] == image]) for image in shown]
        facts["images_of_two_identities"] = {
            "images": len(shared),
            "across_splits": len(across),
            "examples": examples,
        }
        logger.warning(
            "%s: %d images are shown under two identities, %d of them in two splits, e.g. %s",
            *(name, len(shared), len(across), "; ".join(examples)),
        )
    return facts


def _repeated(images: np.ndarray) -> np.ndarray:
    """(n,) bool: rows whose image another row holds too."""
    return np.bincount(images)[images] > 1


def _pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """One number for each pair of numbers."""
    return one.astype(np.int64) * (int(other.max(initial=0)) + 1) + other


def _several(images: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Images that come with more than one value of ``column``, ascending."""
    pairs = np.unique(_pairs(images, column))
    found, times = np.unique(pairs // (int(column.max(initial=0)) + 1), return_counts=True)
    return found[times > 1]


def _example(collection: Collection, rows: np.ndarray) -> str:
    """Two of the rows, which show one image, that are of different identities."""
    rows = rows[np.argsort(collection.origin[rows], kind="stable")]
    other = rows[collection.labels[rows] != collection.labels[rows[0]]][0]
    pair = (rows[0], other)
    return " = ".join(
        f"{collection.origin[row]} ({collection.names[collection.labels[row]]})" for row in pair
    )
