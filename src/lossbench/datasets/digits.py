"""Digits: the 8x8 handwritten digits inside scikit-learn, the smallest set of real images."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from lossbench.datasets.cache import digest
from lossbench.datasets.dataset import Dataset, Split
from lossbench.datasets.options import generated_fingerprint
from lossbench.validate import check_range

# Raise it whenever the same options would give other rows.
GENERATOR = 1


@dataclass(frozen=True, kw_only=True)
class Digits:
    """1797 images 8x8 of ten classes, a closed set, split with equal shares of each class.

    Raises:
        ValueError: if an option is out of range.
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

    def fingerprint(self) -> str:
        return generated_fingerprint(self, GENERATOR, asdict(self))

    def load(self) -> Dataset:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images[..., None] * (255 / 16)).astype(np.uint8)
        labels = digits.target.astype(np.int64)
        role = self._roles(labels)
        names = tuple(map(str, range(10)))
        splits = {
            name: Split(images[role == name], labels[role == name], names)
            for name in ("train", "val", "test")
            if (role == name).any()
        }
        sha256 = digest({"images": images, "labels": labels, "role": role})
        return Dataset(name="digits", splits=splits, open_set=False, sha256=sha256)

    def _roles(self, labels: np.ndarray) -> np.ndarray:
        """'train', 'val' or 'test' for each row."""
        role = np.full(len(labels), "train", dtype="<U5")
        generator = np.random.default_rng(self.split_seed)
        for label in np.unique(labels):
            rows = generator.permutation(np.flatnonzero(labels == label))
            val = round(self.val_fraction * len(rows))
            test = round(self.test_fraction * len(rows))
            role[rows[:val]] = "val"
            role[rows[val : val + test]] = "test"
        return role
