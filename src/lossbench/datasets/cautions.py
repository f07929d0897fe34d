"""Cautions: what wrong labels, rare classes and identities that leak into training do to a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lossbench.datasets.dataset import CLOSED, Dataset, Split
from lossbench.datasets.duplicates import pixel_digests
from lossbench.datasets.roles import places
from lossbench.validate import check_range

RANGES: dict[str, dict[str, Any]] = {
    "leak": {"low": 0, "high": 1, "cure": "a share of the test identities"},
    "long_tail": {"low": 1, "cure": "images of the largest class to those of the smallest"},
    "label_noise": {"low": 0, "high": 1, "open_high": True, "cure": "a share of the training rows"},
}
"""Knob below ``dataset`` and its range, in the order in which they act; null: left alone."""


def with_cautions(dataset: Dataset, knobs: Mapping[str, Any], *, seed: int = 0) -> Dataset:
    """``dataset`` after every caution that ``knobs`` sets, all drawn from one seed.

    The seed is no run's: the runs of a sweep train on the same wrong labels.
    """
    functions = {"leak": with_leak, "long_tail": with_long_tail, "label_noise": with_label_noise}
    for name, apply in functions.items():
        if knobs.get(name) is not None:
            dataset = apply(dataset, knobs[name], seed)
    return dataset


def with_label_noise(dataset: Dataset, share: float, seed: int) -> Dataset:
    """That share of the training rows carries another identity's label, each other one equally likely.

    Every other split keeps its labels. The rows of a smaller share are among those of a larger one.
    """
    check_range("label_noise", share, **RANGES["label_noise"])
    train = dataset.splits["train"]
    if dataset.classes < 2:
        raise ValueError(f"label_noise={share}: {dataset.classes} classes leave no other label to give")
    order, other = _raw(seed, 2 * len(train)).reshape(2, -1)
    changed = order.argsort(kind="stable")[: round(share * len(train))]
    labels = train.labels.copy()
    steps = 1 + (other[changed] % (dataset.classes - 1)).astype(np.int64)
    labels[changed] = (labels[changed] + steps) % dataset.classes
    facts = {"label_noise": {"rows": len(changed)}}
    return _changed(dataset, {"train": replace(train, labels=labels)}, facts)


def with_long_tail(dataset: Dataset, ratio: float, seed: int) -> Dataset:
    """Training classes thinned out to n_max * ratio**(-i / (classes - 1)) images, i = 0, 1, ...

    The exponential profile of long-tailed CIFAR (Cui et al. 2019, section 5.1), rounded down, at least one
    image each. Classes come in an order drawn from the seed; one that has fewer images keeps all of them.
    """
    check_range("long_tail", ratio, **RANGES["long_tail"])
    train = dataset.splits["train"]
    counts = np.array(dataset.counts())
    rank = np.empty(len(counts), dtype=np.int64)
    rank[_raw(seed, len(counts)).argsort(kind="stable")] = np.arange(len(counts))
    profile = counts.max() * float(ratio) ** (-rank / max(1, len(counts) - 1))
    # 100 * 10**-1 must not become 9 images by rounding errors.
    most = np.maximum(1, np.floor(profile * (1 + 1e-12))).astype(np.int64)
    order = np.lexsort((_raw(seed + 1, len(train)), train.labels))
    kept = places(train.labels, order) < most[train.labels]
    thinned = _part(train, np.flatnonzero(kept))
    left = np.minimum(counts, most)
    facts = {"long_tail": {"rows": len(thinned), "most": int(left.max()), "fewest": int(left.min())}}
    return _changed(dataset, {"train": thinned}, facts)


def with_leak(dataset: Dataset, share: float, seed: int) -> Dataset:
    """That share of the identities of test_open is also trained on, as new classes, on other images.

    Half of the images (rounded down) of each test identity that has four or more is set aside, whatever
    the share, and never tested on. The images set aside of the leaked identities go to train, those of
    the others are left out: all shares above and at 0 are measured on the same test images, and a gain is
    that of knowing the person, not the picture: one that is tested on under another name is left out, too.
    The identities of a smaller share are among those of a larger one. As in the comparison of sets before and
    after their overlap is removed, a leak also means more classes to train on.
    """
    check_range("leak", share, **RANGES["leak"])
    test = dataset.splits.get("test_open")
    if test is None or not dataset.open_set:
        raise ValueError(f"leak={share}: {dataset.name} has no test identities apart from those it trains on")
    digests = pixel_digests(test.data, test.rows)
    aside = _halves(test, digests)
    eligible = np.unique(test.labels[aside])
    if share and not len(eligible):
        raise ValueError(
            f"leak={share}: no identity of test_open has four images, two to leak and two to test"
        )
    drawn = eligible[_raw(seed, len(eligible)).argsort(kind="stable")]
    leaked = np.sort(drawn[: round(share * len(eligible))])
    tested = _part(test, np.flatnonzero(~aside))
    judged = [split for role, split in dataset.splits.items() if role in ("val", "test", "val_open")]
    shown = np.concatenate([digests[~aside], *(pixel_digests(split.data, split.rows) for split in judged)])
    moved = _part(test, np.flatnonzero(aside & np.isin(test.labels, leaked) & ~np.isin(digests, shown)))
    leaked = np.unique(moved.labels)
    names = tuple(test.names[label] for label in leaked)
    labels = dataset.classes + np.searchsorted(leaked, moved.labels)
    splits = {
        role: replace(split, names=split.names + names)
        for role, split in dataset.splits.items()
        if role in CLOSED
    }
    train = splits["train"]
    splits["train"] = _joined(train, replace(moved, labels=labels, names=train.names))
    splits["test_open"] = tested
    facts = {"leak": {"identities": len(leaked), "rows": len(moved), "not_tested": int(aside.sum())}}
    return _changed(dataset, splits, facts, leaked=names, pairs=None)


def _halves(split: Split, digests: np.ndarray) -> np.ndarray:
    """(n,) bool: half of the images of each identity with four or more, chosen by their pixels.

    Rows that repeat an image go where it goes.
    """
    _, digest = np.unique(digests, return_inverse=True)
    width = int(digest.max(initial=0)) + 1
    images, image = np.unique(split.labels * width + digest, return_inverse=True)
    owner = images // width
    count = np.bincount(owner)[owner]
    half = (count >= 4) & (places(owner, np.arange(len(owner))) < count // 2)
    return half[image]


def _part(split: Split, rows: np.ndarray) -> Split:
    places = rows if split.rows is None else split.rows[rows]
    return replace(split, labels=split.labels[rows], rows=places)


def _joined(one: Split, other: Split) -> Split:
    """Both splits' rows in one, without a copy where they share their data."""
    labels = np.concatenate([one.labels, other.labels])
    if one.data is other.data and one.rows is not None and other.rows is not None:
        return replace(one, labels=labels, rows=np.concatenate([one.rows, other.rows]))
    data = np.concatenate([part.read(np.arange(len(part))) for part in (one, other)])
    return replace(one, data=data, labels=labels, rows=None)


def _changed(dataset: Dataset, splits: dict[str, Split], facts: dict[str, Any], **others: Any) -> Dataset:
    return replace(dataset, splits={**dataset.splits, **splits}, facts={**dataset.facts, **facts}, **others)


def _raw(seed: int, count: int) -> np.ndarray:
    """(count,) uint64 at random; unlike numpy's distributions these are the same in every version."""
    return np.random.PCG64(seed).random_raw(count)
