"""Divisions: which rows of a collection train, and which are validated and tested on."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from lossbench.datasets.collection import Collection
from lossbench.datasets.dataset import CLOSED, Dataset
from lossbench.datasets.duplicates import copies, duplicate_facts, image_numbers
from lossbench.datasets.roles import divided, places
from lossbench.validate import check_range

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ByIdentity:
    """An open set: nobody trains on the identities of val_open, test_open and distractors.

    Identities with fewer than ``least_images`` images are distractors. Of the others, ``test_identities``
    and ``val_identities`` (a share in (0, 1), or how many) go to test_open and val_open, all that are left
    train. ``test`` and ``val`` hold so many images of each training identity that keeps two beside them.
    Who goes where follows from the names and ``split_seed`` alone, not from the order of rows.

    Roles that the set prescribes are kept. An identity with rows for train trains, and its rows for val and
    test make the closed-set splits; one with rows for val or test alone is in val_open or test_open. What
    is prescribed for a split takes the place of what the options would draw for it.

    Raises:
        ValueError: if an option is out of range; when called, if there are too few identities or images.
    """

    val_identities: float
    test_identities: float
    val_images: int
    test_images: int
    least_images: int
    split_seed: int

    def __post_init__(self) -> None:
        _check_share("val_identities", self.val_identities, least=0)
        _check_share("test_identities", self.test_identities, least=0)
        check_range("val_images", self.val_images, low=0, integer=True)
        check_range("test_images", self.test_images, low=0, integer=True)
        check_range("least_images", self.least_images, low=1, integer=True)
        check_range("split_seed", self.split_seed, low=0, integer=True)

    def __call__(self, collection: Collection, name: str) -> Dataset:
        given = _given(collection)
        images = image_numbers(collection)
        left_out = copies(collection, images)
        of_identity = self._identities(collection, given, ~left_out)
        role = np.where(left_out, "", of_identity[collection.labels])
        self._hold_out(collection, given, role)
        facts = _left_out(name, images, role)
        facts |= duplicate_facts(collection, name, images, left_out, role)
        return divided(collection, name, role, open_set=True, facts=facts)

    def _identities(self, collection: Collection, given: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """(identities,) 'train', 'val_open', 'test_open' or 'distractors'; '' for those without rows."""
        counts = np.bincount(collection.labels[kept], minlength=len(collection.names))
        train, val, test = (
            np.bincount(collection.labels[kept & (given == role)], minlength=len(counts)) > 0
            for role in CLOSED
        )
        if (torn := val & test & ~train).any():
            raise ValueError(
                f"{torn.sum()} identities are prescribed for val and for test but not for train, e.g. "
                f"{collection.names[torn.argmax()]}: an open set has each in one role"
            )
        role = np.select(
            [train, test, val, counts >= self.least_images, counts > 0],
            ["train", "test_open", "val_open", "train", "distractors"],
            "",
        )
        free = (role == "train") & ~val & ~test & (counts >= self.least_images)
        if (free & ~train).any():  # whom the set lets choose, before those it says train
            free &= ~train
        free = np.flatnonzero(free)
        drawn = sorted(free, key=lambda label: _hash(self.split_seed, collection.names[label]))
        tested = 0 if "test_open" in role else _number(self.test_identities, len(free))
        validated = 0 if "val_open" in role else _number(self.val_identities, len(free))
        role[drawn[:tested]] = "test_open"
        role[drawn[tested : tested + validated]] = "val_open"
        if test.any() and not len(free) and "test_open" not in role:
            raise ValueError(
                "every identity prescribed for test trains, too: that is a closed set; take ByImage"
            )
        if tested + validated > len(free) or (role == "train").sum() < 2:
            raise ValueError(
                f"val_identities={self.val_identities}, test_identities={self.test_identities}: of "
                f"{len(free)} identities with {self.least_images} images or more that leaves fewer than two "
                "to train on; lower them or least_images"
            )
        if "test_open" not in role:
            raise ValueError("test_identities=0: an open set needs identities to be tested on; raise it")
        for one in ("val_open", "test_open"):
            if one in role and counts[role == one].max() < 2:
                raise ValueError(f"{one}: no identity has two images to compare; raise least_images to 2")
        return role

    def _hold_out(self, collection: Collection, given: np.ndarray, role: np.ndarray) -> None:
        """Write 'val' and 'test' over 'train' in (n,) row roles."""
        trains = role == "train"
        drawn = {"test": self.test_images, "val": self.val_images}
        for one in drawn:
            if (prescribed := trains & (given == one)).any():
                role[prescribed] = one
                drawn[one] = 0
        rows = np.flatnonzero(role == "train")
        if not any(drawn.values()):
            return
        place, count = _places(collection, rows, self.split_seed)
        enough = count >= sum(drawn.values()) + 2
        if not enough.any():
            raise ValueError(
                f"val_images={self.val_images}, test_images={self.test_images}: no training identity has "
                f"{sum(drawn.values()) + 2} images, two of them to train on; lower them (0: no such split)"
            )
        role[rows[enough & (place < sum(drawn.values()))]] = "val"
        role[rows[enough & (place < drawn["test"])]] = "test"


@dataclass(frozen=True, kw_only=True)
class ByImage:
    """A closed set: every split shows the same identities, with equal shares of the images of each.

    ``test_fraction`` and ``val_fraction`` are shares of each identity's images, of which one at least stays
    to train on. Which images go where follows from names, origins and ``split_seed`` alone.

    Roles that the set prescribes are kept: a split it has is not drawn, one it lacks is drawn from its
    train, and a prescribed test split is never touched.

    Raises:
        ValueError: if an option is out of range; when called, if an identity has nothing to train on.
    """

    val_fraction: float
    test_fraction: float
    split_seed: int

    def __post_init__(self) -> None:
        check_range("val_fraction", self.val_fraction, low=0, high=1, open_high=True)
        most = 1 - self.val_fraction
        check_range(
            "test_fraction", self.test_fraction, low=0, high=most, open_high=True, cure="train needs rows"
        )
        check_range("split_seed", self.split_seed, low=0, integer=True)

    def __call__(self, collection: Collection, name: str) -> Dataset:
        given = _given(collection)
        images = image_numbers(collection)
        left_out = copies(collection, images)
        role = np.where(left_out, "", np.where(given == "", "train", given))
        self._draw(collection, role)
        facts = _left_out(name, images, role)
        facts |= duplicate_facts(collection, name, images, left_out, role)
        return divided(collection, name, role, open_set=False, facts=facts)

    def _draw(self, collection: Collection, role: np.ndarray) -> None:
        """Write the splits that are not prescribed over 'train' in (n,) row roles."""
        test_fraction = 0 if "test" in role else self.test_fraction
        val_fraction = 0 if "val" in role else self.val_fraction
        rows = np.flatnonzero(role == "train")
        place, count = _places(collection, rows, self.split_seed)
        tested = np.minimum(np.rint(test_fraction * count), count - 1)
        validated = np.minimum(np.rint(val_fraction * count), count - 1 - tested)
        role[rows[place < tested + validated]] = "val"
        role[rows[place < tested]] = "test"
        for one, asked in (("val", val_fraction), ("test", test_fraction)):
            if asked and one not in role:
                logger.warning("%s_fraction=%s: no class has images enough for one: no %s", one, asked, one)


def _left_out(name: str, images: np.ndarray, role: np.ndarray) -> dict[str, int]:
    """Take out of (n,) row roles what is tested under another name: which name is right cannot be known.

    What is in val_open or test_open goes from all three closed-set splits, what is in val or test from train.
    """
    count = 0
    for those, tested in ((CLOSED, ("val_open", "test_open")), (("train",), ("val", "test"))):
        known = np.isin(role, those) & np.isin(images, images[np.isin(role, tested)])
        role[known] = ""
        count += int(known.sum())
    if count:
        logger.warning("%s: %d training rows show an image that is tested on: left out", name, count)
    return {"left_out_of_training": count} if count else {}


def _given(collection: Collection) -> np.ndarray:
    """Prescribed role of each row, '' for none."""
    if collection.given is None:
        return np.full(len(collection), "", "<U5")
    unknown = collection.given[~np.isin(collection.given, ("", *CLOSED))]
    if len(unknown):
        raise ValueError(f"given={unknown[0]}: a set prescribes train, val or test, or '' for none")
    return collection.given


def _places(collection: Collection, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Place of each row among ``rows`` of its identity, drawn by hash, and how many these are."""
    labels = collection.labels[rows]
    names = collection.names
    things = zip(labels.tolist(), collection.origin[rows].tolist(), strict=True)
    hashes = [_hash(seed, names[label], origin) for label, origin in things]
    order = np.lexsort((np.array(hashes, dtype="S32"), labels))
    return places(labels, order), np.bincount(labels)[labels]


def _hash(seed: int, *words: object) -> bytes:
    """What things are ordered by: the same under every version of numpy, whatever else there is."""
    return hashlib.sha256("\0".join(map(str, (seed, *words))).encode()).digest()


def _check_share(name: str, value: float, *, least: int) -> None:
    if isinstance(value, Integral):
        check_range(name, value, low=least, integer=True)
    else:
        cure = "a share of the identities, or a whole number of them"
        check_range(name, value, low=0, high=1, open_low=True, open_high=True, cure=cure)


def _number(asked: float, identities: int) -> int:
    """Whole numbers as they are; of a share at least one identity."""
    return int(asked) if isinstance(asked, Integral) else max(1, round(asked * identities))
