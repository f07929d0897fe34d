"""InsightFace training sets as collections: decoded once, or when a batch needs them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lossbench.datasets import InsightFace, insightface
from lossbench.datasets.division import ByIdentity
from lossbench.datasets.streaming import EncodedImages
from lossbench.readers import write_records
from tests.readers.samples import encoded, pixels, refused

DIVISION = ByIdentity(
    val_identities=1, test_identities=2, val_images=1, test_images=1, least_images=2, split_seed=0
)
# Classes as they stand in the file; class 3 has no image.
LABELS = [label for label in (5, 0, 1, 2, 4, 6) for _ in range(4)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return written(tmp_path / "faces_tiny")


def written(folder, labels=LABELS, *, identities=True, side=6):
    """PNG images, image i of seed i, so that every pixel can be predicted."""
    folder.mkdir()
    images = (encoded(pixels(seed, side)) for seed in range(len(labels)))
    write_records(folder / "train.rec", images, labels, height=side, width=side, identities=identities)
    return folder


def source(path, **options):
    defaults = {"height": 6, "width": 6, "channels": 3, "box": None, "fit": "cover", "decoded_limit": 1}
    return InsightFace(path=str(path), **{**defaults, "division": DIVISION, **options})


def streamed(path, **options):
    return source(path, decoded_limit=0, **options)


def everything(found):
    """All images of a collection in the order of its rows."""
    return np.asarray(found.data[np.arange(len(found))])


@pytest.mark.parametrize("make", [source, streamed])
def test_rows_are_the_images_of_the_file_as_stored_with_their_class_as_name(folder, make):
    found = make(folder).collect()
    assert np.array_equal(everything(found), [pixels(seed) for seed in range(len(LABELS))])
    assert [found.names[label] for label in found.labels] == [str(label) for label in LABELS]
    assert found.names == ("0", "1", "2", "4", "5", "6")
    assert found.labels.dtype == np.int64
    assert found.origin.tolist() == [f"{key:02}" for key in range(1, 25)]
    assert found.given is None


def test_a_set_within_the_limit_is_mapped_and_a_larger_one_stays_encoded(folder):
    gigabytes = len(LABELS) * 6 * 6 * 3 / 1e9
    assert isinstance(source(folder, decoded_limit=gigabytes).collect().data, np.memmap)
    assert isinstance(source(folder, decoded_limit=gigabytes * 0.99).collect().data, EncodedImages)


def test_decoded_or_not_the_splits_are_the_same(folder):
    one, other = (make(folder).load() for make in (source, streamed))
    assert {role: len(split) for role, split in one.splits.items()} == {
        "train": 6, "val": 3, "test": 3, "val_open": 4, "test_open": 8
    }  # fmt: skip
    assert one.open_set
    for role, split in one.splits.items():
        twin = other.splits[role]
        assert split.names == twin.names
        assert np.array_equal(split.labels, twin.labels)
        assert np.array_equal(split.read(slice(None)), twin.read(slice(None)))


def test_rows_of_a_split_stand_in_the_order_of_the_file_within_an_identity(tmp_path):
    found = streamed(written(tmp_path / "many", [0] * 12 + [1] * 12 + [2] * 12 + [3] * 12 + [4] * 12)).load()
    split = found.splits["test_open"]
    assert [np.diff(split.rows[split.labels == label]).tolist() for label in (0, 1)] == [[1] * 11] * 2


def test_decoding_happens_once(folder, monkeypatch):
    first = source(folder).collect()
    monkeypatch.setattr(insightface, "chunks", lambda *_, **__: pytest.fail("decoded again"))
    again = source(folder).collect()
    assert np.array_equal(everything(again), everything(first))
    assert again.sha256 == first.sha256


def test_reading_a_streamed_set_through_shows_how_far_it_is(folder, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    streamed(folder).collect()
    shown = capsys.readouterr().err
    assert "reading" in shown
    assert "100%" in shown
    streamed(folder).collect()
    assert capsys.readouterr().err == ""


def test_a_streamed_set_is_read_through_once(folder, monkeypatch):
    first = streamed(folder).collect()
    monkeypatch.setattr(insightface, "_read_through", lambda *_: pytest.fail("read again"))
    again = streamed(folder).collect()
    assert again.sha256 == first.sha256 != streamed(folder, height=3).collect().sha256
    assert np.array_equal(again.labels, first.labels)


def test_images_shrink_to_the_size_asked_for(folder):
    small = source(folder, height=3, width=2, channels=1).collect()
    assert small.data.shape == (len(LABELS), 3, 2, 1)
    assert np.array_equal(
        everything(small), everything(streamed(folder, height=3, width=2, channels=1).collect())
    )


@pytest.mark.parametrize("make", [source, streamed])
def test_copies_of_an_image_within_an_identity_are_left_out(tmp_path, make, caplog):
    folder = tmp_path / "copies"
    folder.mkdir()
    seeds = [*range(23), 22]
    write_records(folder / "train.rec", (encoded(pixels(seed)) for seed in seeds), LABELS, height=6, width=6)
    with caplog.at_level(logging.WARNING):
        dataset = make(folder).load()
    assert dataset.facts["copies_left_out"] == 1
    assert sum(map(len, dataset.splits.values())) == 23


def test_a_set_without_identity_records_counts_from_zero(tmp_path):
    found = source(written(tmp_path / "plain", identities=False)).collect()
    assert found.origin.tolist()[:2] == ["00", "01"]
    assert len(found) == len(LABELS)


def test_the_path_may_be_the_file(folder):
    assert source(folder / "train.rec").fingerprint() == source(folder).fingerprint()
    assert source(folder).load().name == source(folder / "train.rec").load().name == "faces_tiny"


def test_another_rec_is_called_by_its_own_name(folder):
    for suffix in (".rec", ".idx"):
        (folder / f"train{suffix}").rename(folder / f"half{suffix}")
    assert source(folder / "half.rec").load().name == "half"


def test_the_fingerprint_changes_with_files_and_options_and_not_with_the_place(folder, tmp_path):
    one = source(folder).fingerprint()
    moved = folder.rename(tmp_path / "elsewhere")
    assert source(moved).fingerprint() == one
    options = [{"height": 5}, {"channels": 1}, {"decoded_limit": 0}, {"box": [0, 0, 3, 3]}]
    options += [{"division": ByIdentity(**{**vars(DIVISION), "split_seed": 1})}]
    others = {source(moved, **option).fingerprint() for option in options}
    os.utime(moved / "train.idx", (1, 1))
    others.add(source(moved).fingerprint())
    (moved / "property").unlink()
    others.add(source(moved).fingerprint())
    assert len(others - {one}) == len(options) + 2


@pytest.mark.parametrize("make", [source, streamed])
@pytest.mark.parametrize("method", ["fingerprint", "load"])
def test_a_missing_file_is_named(folder, make, method):
    (folder / "train.idx").unlink()
    with refused(folder / "train.idx", "no such file"):
        getattr(make(folder), method)()
    with refused(folder / "nowhere", "no such file"):
        getattr(make(folder / "nowhere"), method)()


def test_an_image_that_cannot_be_decoded_is_named_by_its_key(tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    images = [encoded(pixels(0)), encoded(pixels(1))[:-30] + b"IEND\xaeB`\x82", encoded(pixels(2))]
    write_records(folder / "train.rec", images, [0, 0, 1], height=6, width=6)
    with refused("train.rec: key 2: cannot be read as an image"):
        source(folder).collect()
    assert not list(Path(os.environ["LOSSBENCH_CACHE"]).glob("*/images.npy"))
    late = streamed(folder).collect()
    with refused("train.rec: byte", "cannot be read as an image"):
        late.data[np.array([0, 1])]
    assert np.array_equal(late.data[np.array([2, 0])], [pixels(2), pixels(0)])


@pytest.mark.parametrize("make", [source, streamed])
def test_no_byte_of_a_damaged_file_brings_anything_but_a_refusal_in_one_line(folder, make, monkeypatch):
    whole = (folder / "train.rec").read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(60):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (folder / "train.rec").write_bytes(bytes(data[: len(data) if trial % 2 else rng.integers(len(data))]))
        monkeypatch.setenv("LOSSBENCH_CACHE", str(folder / f"cache{trial}"))
        told = fault_of(make(folder))
        assert told is None or ("\n" not in told and str(folder / "train.") in told)


def fault_of(made):
    try:
        everything(made.collect())
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"height": 0}, "height=0: must"),
        ({"channels": 2}, "channels=2: must"),
        ({"decoded_limit": -1}, "decoded_limit=-1: must"),
        ({"decoded_limit": "50GB"}, "decoded_limit=50GB: must"),
        ({"fit": "crop"}, "fit=crop: must"),
    ],
)
def test_a_bad_option_is_refused_before_any_file_is_looked_at(option, told):
    with refused(told):
        source("nowhere", **option)


def test_the_yaml_makes_this_source(folder):
    body = OmegaConf.load(Path(__file__).parents[2] / "conf" / "dataset" / "insightface.yaml")
    config = OmegaConf.create({"dataset": body})
    config.dataset.path = str(folder)
    config.dataset.height = config.dataset.width = 6
    config.dataset.division.val_identities = 1
    made = instantiate(config.dataset.source)
    assert isinstance(made, InsightFace)
    assert made.load().shape == (6, 6, 3)
