"""A data set of a collection, once every row has its role."""

from __future__ import annotations

import numpy as np

from lossbench.datasets.cache import digest
from lossbench.datasets.collection import Collection
from lossbench.datasets.dataset import CLOSED, OPEN, Dataset, Split


def divided(
    collection: Collection, name: str, role: np.ndarray, *, open_set: bool, facts: dict | None = None
) -> Dataset:
    """The data set in which row i has role ``role[i]``; '' leaves it out. Data is shared, not copied.

    Identities keep the order of ``collection.names``. Rows of a split are sorted by identity and origin.

    role: (n,) str; an identity with a row in train may have others in val and test, and in an open set
    none in val_open, test_open or distractors.

    Raises:
        ValueError: if val or test shows identities that train does not, or train fewer than two.
    """
    _check_trained(collection, role)
    classes = _present(collection, np.isin(role, CLOSED))
    splits = {}
    for one in (*CLOSED, *OPEN):
        rows = np.flatnonzero(role == one)
        if not len(rows):
            continue
        rows = rows[np.lexsort((collection.origin[rows], collection.labels[rows]))]
        own = classes if one in CLOSED else _present(collection, rows)
        labels = np.searchsorted(own, collection.labels[rows]).astype(np.int64)
        splits[one] = Split(collection.data, labels, tuple(collection.names[label] for label in own), rows)
    sha256 = digest({"collection": np.array(collection.sha256), "role": role.astype("S11")})
    return Dataset(name=name, splits=splits, open_set=open_set, sha256=sha256, facts=facts or {})


def places(labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Place (n,) int64 of each row among those of its label, in ``order``, which sorts the labels."""
    counts = np.bincount(labels)
    place = np.empty(len(labels), dtype=np.int64)
    place[order] = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[order]]
    return place


def _check_trained(collection: Collection, role: np.ndarray) -> None:
    trained = _present(collection, role == "train")
    if len(trained) < 2:
        raise ValueError(f"train: shows {len(trained)} identities; a classifier needs two")
    others = np.setdiff1d(_present(collection, np.isin(role, CLOSED)), trained)
    if len(others):
        raise ValueError(
            f"{len(others)} identities have no rows to train on, e.g. {collection.names[others[0]]}: "
            "a closed set trains on all it tests; divide it by identity"
        )


def _present(collection: Collection, rows: np.ndarray) -> np.ndarray:
    """Identities, ascending, of these rows."""
    return np.flatnonzero(np.bincount(collection.labels[rows]))
