"""BLUFR (Liao et al., IJCB 2014): the released trials of its protocol on LFW, blufr_lfw_config.mat.

Ten trials split all images into train and test by identity, and test into a gallery of one image per
identity and probes. Features must stand in the order of ``images``. Trials are read, never drawn anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossbench.readers.lfw import file_stem, image_positions
from lossbench.readers.list_files import Location
from lossbench.readers.mat_file import MatValue, load_mat

# trial: train images, their genuine pairs, test images, their genuine pairs, genuine probes, impostor probes
# (info file of the BLUFR toolkit, LFW)
OFFICIAL_COUNTS = (
    (2952, 10423, 10281, 231834, 4832, 4449),
    (3428, 23424, 9805, 218833, 3943, 4862),
    (3845, 183153, 9388, 59104, 4105, 4283),
    (3786, 153881, 9447, 88376, 4244, 4203),
    (3763, 56536, 9470, 185721, 4417, 4053),
    (3375, 26747, 9858, 215510, 4826, 4032),
    (3281, 18734, 9952, 223523, 4396, 4556),
    (3722, 177116, 9511, 65141, 4249, 4262),
    (3781, 163769, 9452, 78488, 3907, 4545),
    (3314, 39633, 9919, 202624, 4587, 4332),
)
_OFFICIAL = (13233, 5749)  # images, identities
_INDEXES = ("trainIndex", "testIndex", "galIndex", "probIndex")


@dataclass(frozen=True)
class BlufrTrial:
    """Positions in ``images``, from 0, ascending where the file has them so: each (k,) int64.

    train and test share no identity and are all images; gallery (one per identity) and probe are test.
    """

    train: np.ndarray
    test: np.ndarray
    gallery: np.ndarray
    probe: np.ndarray


@dataclass(frozen=True)
class Blufr:
    """images: (n) names. labels: (n,) int64 from 0. official: the trials have LFW's published counts."""

    images: tuple[str, ...]
    labels: np.ndarray
    trials: tuple[BlufrTrial, ...]
    official: bool

    def counts(self, trial: int) -> tuple[int, int, int, int, int, int]:
        """Return the numbers of one trial, in the order of ``OFFICIAL_COUNTS``."""
        split = self.trials[trial]
        known = np.isin(self.labels[split.probe], self.labels[split.gallery])
        train, test = (_genuine_pairs(self.labels[rows]) for rows in (split.train, split.test))
        genuine = int(known.sum())
        return len(split.train), train, len(split.test), test, genuine, len(known) - genuine


def read_blufr(path: Location) -> Blufr:
    """Read a config of the BLUFR toolkit (MATLAB 5 file; 1-based cells become positions from 0).

    Raises ValueError in one line for other files, for trials that are not as ``BlufrTrial`` has them, and,
    where images and identities are as many as LFW's, for trials that differ from ``OFFICIAL_COUNTS``.
    """
    values = load_mat(path, ("imageList", "labels", *_INDEXES))
    images = _names(path, values["imageList"])
    labels = _integers(path, "labels", values["labels"]) - 1
    classes = len(np.unique(labels))
    if len(labels) != len(images) or not np.array_equal(np.unique(labels), np.arange(classes)):
        raise ValueError(f"{path}: labels: expected {len(images)}, each of 1, 2, 3, ... in use")
    cells = [values[name] for name in _INDEXES]
    if not all(isinstance(cell, list) and len(cell) == len(cells[0]) > 0 for cell in cells):
        raise ValueError(f"{path}: {', '.join(_INDEXES)}: expected one cell per trial in each")
    trials = tuple(_trial(path, i, labels, parts) for i, parts in enumerate(zip(*cells, strict=True)))
    official = (len(images), classes) == _OFFICIAL and len(trials) == len(OFFICIAL_COUNTS)
    blufr = Blufr(images, labels, trials, official)
    for i in range(len(trials) if official else 0):
        if blufr.counts(i) != OFFICIAL_COUNTS[i]:
            raise ValueError(
                f"{path}: trial {i + 1} has counts {blufr.counts(i)}, published {OFFICIAL_COUNTS[i]}"
            )
    return blufr


def _trial(path: Location, i: int, labels: np.ndarray, parts: Sequence[MatValue]) -> BlufrTrial:
    named = zip(_INDEXES, parts, strict=True)
    trial = BlufrTrial(*(_integers(path, f"{name}{{{i + 1}}}", part) - 1 for name, part in named))
    everything = np.arange(len(labels))
    for whole, halves, fault in (
        (everything, (trial.train, trial.test), "trainIndex and testIndex do not part all images"),
        (np.sort(trial.test), (trial.gallery, trial.probe), "galIndex and probIndex do not part testIndex"),
    ):
        if not np.array_equal(np.sort(np.concatenate(halves)), whole):
            raise ValueError(f"{path}: trial {i + 1}: {fault}")
    shared = np.intersect1d(labels[trial.train], labels[trial.test])
    if len(shared):
        raise ValueError(f"{path}: trial {i + 1}: {len(shared)} identities are in train and test")
    if len(np.unique(labels[trial.gallery])) != len(trial.gallery):
        raise ValueError(f"{path}: trial {i + 1}: an identity has two images in the gallery")
    return trial


def _genuine_pairs(labels: np.ndarray) -> int:
    counts = np.unique(labels, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def write_blufr(
    path: Location, images: Sequence[str], labels: np.ndarray, trials: Sequence[BlufrTrial]
) -> None:
    """Write a config as the toolkit has it: ``labels`` and positions from 0 become 1-based columns."""
    from scipy.io import savemat

    def column(items: Sequence[Any]) -> np.ndarray:
        cells = np.empty((len(items), 1), dtype=object)
        for cell, item in zip(cells, items, strict=True):
            cell[0] = item
        return cells

    parts: dict[str, list[np.ndarray]] = {name: [] for name in _INDEXES}
    for trial in trials:
        for name, rows in zip(_INDEXES, (trial.train, trial.test, trial.gallery, trial.probe), strict=True):
            parts[name].append(np.asarray(rows, dtype=np.float64)[:, None] + 1)
    values = {name: column(cells) for name, cells in parts.items()}
    values |= {"imageList": column([f"{image}.jpg" for image in images])}
    values |= {"labels": np.asarray(labels, dtype=np.float64)[:, None] + 1}
    savemat(path, values, do_compression=True)


def _names(path: Location, cells: MatValue) -> tuple[str, ...]:
    if not isinstance(cells, list) or not cells or not all(isinstance(cell, str) and cell for cell in cells):
        raise ValueError(f"{path}: imageList: expected a cell of one file name per image")
    names = tuple(file_stem(str(cell)) for cell in cells)
    try:
        image_positions(names)
    except ValueError as error:
        raise ValueError(f"{path}: imageList: {error}") from None
    return names


def _integers(path: Location, name: str, values: MatValue) -> np.ndarray:
    """Return a vector (k,) as int64, whatever type the file gives its whole numbers."""
    if not isinstance(values, np.ndarray) or not len(values):
        raise ValueError(f"{path}: {name}: expected a vector of whole numbers")
    with np.errstate(invalid="ignore"):  # a signalling NaN says so when it is converted
        numbers = values.astype(np.float64)
    if not (abs(numbers) < 2**31).all() or (numbers != np.floor(numbers)).any():
        raise ValueError(f"{path}: {name}: expected a vector of whole numbers")
    return numbers.astype(np.int64)
