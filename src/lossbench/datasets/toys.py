"""Toys: points in the plane whose right answer can be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from lossbench.datasets.cache import digest
from lossbench.datasets.dataset import Dataset, Split
from lossbench.datasets.options import generated_fingerprint
from lossbench.validate import check_range

# Raise it whenever the same options would give other points.
GENERATOR = 1

Draw = Callable[[int, np.random.Generator], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Toy:
    """What the sets below share: rows per class and split, noise, seed. Splits are drawn from streams
    of their own.

    Raises:
        ValueError: if an option is out of range.
    """

    samples: int  # points per class in each of train, val and test
    noise: float  # standard deviation of the Gaussian noise on each coordinate
    seed: int

    def __post_init__(self) -> None:
        check_range("samples", self.samples, low=1, integer=True)
        check_range("noise", self.noise, low=0)
        check_range("seed", self.seed, low=0, integer=True)

    def fingerprint(self) -> str:
        return generated_fingerprint(self, GENERATOR, asdict(self))

    def _dataset(self, classes: int, draw: Draw) -> Dataset:
        """``draw(label, generator)`` gives the noiseless points (samples, 2) of one class."""
        splits = {}
        for stream, role in enumerate(("train", "val", "test")):
            generator = np.random.default_rng([self.seed, stream])
            points = np.concatenate([draw(label, generator) for label in range(classes)])
            points += self.noise * generator.standard_normal(points.shape)
            labels = np.repeat(np.arange(classes, dtype=np.int64), self.samples)
            splits[role] = Split(points.astype(np.float32), labels, tuple(map(str, range(classes))))
        # labels follow from the number of rows and classes
        sha256 = digest({f"{classes} classes, {role}": split.data for role, split in splits.items()})
        return Dataset(name=type(self).__name__.lower(), splits=splits, open_set=False, sha256=sha256)


@dataclass(frozen=True, kw_only=True)
class Blobs(Toy):
    """Gaussian blobs, their centres evenly on the unit circle around (shift, shift)."""

    classes: int
    shift: float  # added to both coordinates: without a bias, classes must be separated by direction alone

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("classes", self.classes, low=2, integer=True)
        check_range("shift", self.shift)

    def load(self) -> Dataset:
        centres = _circle(np.arange(self.classes) / self.classes) + self.shift
        return self._dataset(self.classes, lambda label, _: np.tile(centres[label], (self.samples, 1)))


@dataclass(frozen=True, kw_only=True)
class Xor(Toy):
    """Two classes in opposite quadrants of the square [-1, 1]^2: no line separates them."""

    gap: float  # width of the empty cross between the quadrants

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("gap", self.gap, low=0, high=2, open_high=True)

    def load(self) -> Dataset:
        return self._dataset(2, self._quadrants)

    def _quadrants(self, label: int, generator: np.random.Generator) -> np.ndarray:
        points = generator.uniform(self.gap / 2, 1, (self.samples, 2))
        side = generator.choice([-1.0, 1.0], self.samples)
        return points * np.stack([side, side if label == 0 else -side], axis=1)


@dataclass(frozen=True, kw_only=True)
class Rings(Toy):
    """A disc (class 0) inside a ring (class 1) of outer radius 1, both with evenly spread points."""

    radius: float  # of the disc
    gap: float  # between the disc and the ring

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("radius", self.radius, low=0, high=1, open_low=True, open_high=True)
        most = 1 - self.radius
        check_range("gap", self.gap, low=0, high=most, open_high=True, cure="the ring ends at radius 1")

    def load(self) -> Dataset:
        return self._dataset(2, self._ring)

    def _ring(self, label: int, generator: np.random.Generator) -> np.ndarray:
        inner, outer = (0.0, self.radius) if label == 0 else (self.radius + self.gap, 1.0)
        # even in area, not in radius
        radius = np.sqrt(generator.uniform(inner**2, outer**2, self.samples))
        return radius[:, None] * _circle(generator.uniform(0, 1, self.samples))


@dataclass(frozen=True, kw_only=True)
class Modes(Toy):
    """Two classes of several Gaussian modes each, taking turns on the unit circle: one prototype per
    class cannot represent either."""

    modes: int  # per class

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("modes", self.modes, low=2, cure="with one mode per class use Blobs", integer=True)

    def load(self) -> Dataset:
        return self._dataset(2, self._turns)

    def _turns(self, label: int, generator: np.random.Generator) -> np.ndarray:
        mode = generator.integers(self.modes, size=self.samples)
        return _circle((2 * mode + label) / (2 * self.modes))


def _circle(turn: np.ndarray) -> np.ndarray:
    """Points (n, 2) of the unit circle; ``turn`` 0..1 goes once around."""
    return np.stack([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)], axis=1)
