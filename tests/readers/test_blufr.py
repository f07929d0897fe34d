"""BLUFR configurations: small ones written here, and the published counts checked against each other."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from scipy.io import savemat

from lossbench.readers import BlufrTrial, blufr, read_blufr, write_blufr
from tests.readers.samples import refused

LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4, 4])
IMAGES = tuple(f"P{label}_{i:04d}" for i, label in enumerate(LABELS))


def trial(train, gallery, probe):
    rows = [np.array(part, dtype=np.int64) for part in (train, [*gallery, *probe], gallery, probe)]
    return BlufrTrial(*rows)


TRIALS = (trial([0, 1, 2, 7], [3, 6], [4, 5, 8, 9]), trial([3, 4, 5, 6], [9], [0, 1, 2, 7, 8]))


def variables(**changes):
    """The variables of a file, as MATLAB holds them."""
    cells = {
        name: np.empty((2, 1), dtype=object) for name in ("trainIndex", "testIndex", "galIndex", "probIndex")
    }
    for i, split in enumerate(TRIALS):
        for name, rows in zip(cells, (split.train, split.test, split.gallery, split.probe), strict=True):
            cells[name][i, 0] = rows[:, None] + 1.0
    names = np.array([[f"{image}.jpg"] for image in IMAGES], dtype=object)
    return {"imageList": names, "labels": LABELS[:, None] + 1.0, **cells, **changes}


def saved(folder, **changes):
    savemat(folder / "config.mat", variables(**changes))
    return folder / "config.mat"


def cell(*parts):
    column = np.empty((len(parts), 1), dtype=object)
    for row, part in zip(column, parts, strict=True):
        row[0] = np.array(part, dtype=np.float64)
    return column


def same_trials(found, expected):
    fields = ("train", "test", "gallery", "probe")
    return all(
        np.array_equal(getattr(one, field), getattr(other, field))
        for one, other in zip(found, expected, strict=True)
        for field in fields
    )


def test_cells_from_1_become_positions_from_0(tmp_path):
    config = read_blufr(saved(tmp_path))
    assert config.images == IMAGES
    assert config.labels.tolist() == LABELS.tolist()
    assert same_trials(config.trials, TRIALS)
    assert not config.official


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_numbers_of_any_type_and_direction_are_read(tmp_path, dtype):
    values = variables()
    for name in ("trainIndex", "testIndex", "galIndex", "probIndex"):
        for row in values[name]:
            row[0] = row[0].T.astype(dtype)
    values["labels"] = (LABELS[None] + 1).astype(dtype)
    config = read_blufr(saved(tmp_path, **values))
    assert same_trials(config.trials, TRIALS)
    assert config.labels.tolist() == LABELS.tolist()


def test_what_is_written_is_read(tmp_path):
    write_blufr(tmp_path / "own.mat", IMAGES, LABELS, TRIALS)
    config = read_blufr(tmp_path / "own.mat")
    assert (config.images, config.labels.tolist()) == (IMAGES, LABELS.tolist())
    assert same_trials(config.trials, TRIALS)


def slow_counts(split):
    def genuine(rows):
        return sum(int(LABELS[a] == LABELS[b]) for a, b in itertools.combinations(rows, 2))

    known = [row for row in split.probe if any(LABELS[row] == LABELS[mate] for mate in split.gallery)]
    unknown = len(split.probe) - len(known)
    return len(split.train), genuine(split.train), len(split.test), genuine(split.test), len(known), unknown


def test_counts_are_those_of_loops_over_pairs(tmp_path):
    config = read_blufr(saved(tmp_path))
    assert [config.counts(i) for i in range(2)] == [slow_counts(split) for split in TRIALS]


def test_a_file_as_large_as_lfw_must_have_the_published_counts(tmp_path, monkeypatch):
    published = tuple(slow_counts(split) for split in TRIALS)
    monkeypatch.setattr(blufr, "_OFFICIAL", (10, 5))
    monkeypatch.setattr(blufr, "OFFICIAL_COUNTS", published)
    assert read_blufr(saved(tmp_path)).official
    monkeypatch.setattr(blufr, "OFFICIAL_COUNTS", (published[0], (*published[1][:5], 5)))
    with refused(f"config.mat: trial 2 has counts {published[1]}, published {blufr.OFFICIAL_COUNTS[1]}"):
        read_blufr(saved(tmp_path))


def test_the_published_counts_agree_with_each_other_and_with_the_paper():
    counts = np.array(blufr.OFFICIAL_COUNTS)
    train, train_genuine, test, test_genuine, known, unknown = counts.T
    assert (train + test == 13233).all()
    assert (known + unknown + 1000 == test).all()
    impostor = [comb(int(n), 2) - int(g) for n, g in zip(test, test_genuine, strict=True)]
    assert np.mean(impostor) == pytest.approx(47_003_565, abs=1)
    impostor = [comb(int(n), 2) - int(g) for n, g in zip(train, train_genuine, strict=True)]
    assert np.mean(impostor) == pytest.approx(6_164_441, abs=1)
    assert test_genuine.mean() == pytest.approx(156_915, abs=1)
    assert train_genuine.mean() == pytest.approx(85_341, abs=1)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"labels": LABELS[:9, None] + 1.0}, "labels: expected 10, each of 1, 2, 3, ... in use"),
        ({"labels": LABELS[:, None] + 0.0}, "labels: expected 10, each of 1, 2, 3"),
        ({"labels": LABELS[:, None] * 2 + 1.0}, "labels: expected 10, each of 1, 2, 3"),
        ({"labels": LABELS[:, None] + 0.5}, "labels: expected a vector of whole numbers"),
        ({"labels": LABELS[:, None] + np.nan}, "labels: expected a vector of whole numbers"),
        ({"labels": np.array([["a"]], dtype=object)}, "labels: expected a vector of whole numbers"),
        ({"labels": "text"}, "labels: expected a vector of whole numbers"),
        ({"labels": np.empty((0, 0))}, "labels: expected a vector of whole numbers"),
        ({"imageList": np.arange(10.0)}, "imageList: expected a cell of one file name per image"),
        (
            {"imageList": np.array([["a"], [7.0]], dtype=object)},
            "imageList: expected a cell of one file name",
        ),
        ({"imageList": np.array([["a.jpg"]] * 10, dtype=object)}, "imageList: image a stands at 0 and at 1"),
        ({"galIndex": cell([4, 7])}, "expected one cell per trial in each"),
        (
            {"trainIndex": cell([1, 2, 3], [4, 5, 6, 7])},
            "trial 1: trainIndex and testIndex do not part all images",
        ),
        ({"trainIndex": cell([1, 2, 3, 4], [4, 5, 6, 7])}, "trial 1: trainIndex and testIndex do not part"),
        ({"trainIndex": cell([0, 1, 2, 7], [4, 5, 6, 7])}, "trial 1: trainIndex and testIndex do not part"),
        ({"trainIndex": cell([1, 2, 3, 1e300], [4, 5, 6, 7])}, "trainIndex{1}: expected a vector of whole"),
        ({"galIndex": cell([4, 7], [9])}, "trial 2: galIndex and probIndex do not part testIndex"),
        ({"galIndex": cell([4, 7], [])}, "galIndex{2}: expected a vector of whole numbers"),
        (
            {"galIndex": cell([4, 5], [10]), "probIndex": cell([7, 6, 9, 10], [1, 2, 3, 8, 9])},
            "trial 1: an identity has two images in the gallery",
        ),
        (
            {
                "trainIndex": cell([1, 2, 4, 8], [4, 5, 6, 7]),
                "testIndex": cell([3, 5, 6, 7, 9, 10], [10, 1, 2, 3, 8, 9]),
                "galIndex": cell([3], [10]),
                "probIndex": cell([5, 6, 7, 9, 10], [1, 2, 3, 8, 9]),
            },
            "trial 1: 2 identities are in train and test",
        ),
    ],
)
def test_a_configuration_that_disagrees_with_itself_is_refused(tmp_path, changes, why):
    with refused("config.mat: ", why):
        read_blufr(saved(tmp_path, **changes))


def test_missing_variables_are_named(tmp_path):
    values = variables()
    del values["galIndex"], values["labels"]
    savemat(tmp_path / "config.mat", values)
    with refused("config.mat: the file has no labels, galIndex"):
        read_blufr(tmp_path / "config.mat")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_cut_anywhere_is_refused(tmp_path, compressed):
    path = tmp_path / "config.mat"
    savemat(path, variables(), do_compression=compressed)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with refused("config.mat: "):
            read_blufr(path)


def outcome(path):
    try:
        read_blufr(path)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_bytes_are_read_or_refused_but_never_crash(tmp_path, compressed):
    path = tmp_path / "config.mat"
    savemat(path, variables(), do_compression=compressed)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for at in generator.integers(126, len(data), 2):
            data[at] = generator.integers(256)
        path.write_bytes(data)
        assert "\n" not in outcome(path)
