"""Rows that stay on the disk give the batches of rows in memory, bit for bit, and stay on the disk."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lossbench.augment import affine_noise
from lossbench.datasets import Dataset, Split
from lossbench.datasets.decoding import Pixels
from lossbench.datasets.streaming import EncodedImages
from lossbench.evaluate_splits import embed
from lossbench.lightning import stored_rows
from lossbench.lightning.datamodule import Batches, DeviceData, InMemory
from lossbench.lightning.stored_rows import StoredRows
from lossbench.readers import write_records
from lossbench.readers.recordio.index import read_index
from tests.readers.samples import encoded, pixels

CPU = torch.device("cpu")
AUGMENT = partial(affine_noise, rotation=30, scale=0.2, shift=0.2, shear=0.2, noise=0.2)
ROLES = ("train", "val", "test")


def mapped(folder, array):
    np.save(folder / "data.npy", array)
    return np.load(folder / "data.npy", mmap_mode="r")


def drawn(kind, n):
    generator = np.random.default_rng(0)
    if kind in ("grey", "colour"):
        return generator.integers(0, 256, (n, 6, 5, 1 if kind == "grey" else 3), dtype=np.uint8)
    return generator.normal(size=(n, 7)).astype(kind)


def divided(data, *, n=300):
    """Three splits of shared rows, in no order."""
    rows = np.array_split(np.random.default_rng(1).permutation(len(data))[:n], 3)
    names = tuple(map(str, range(5)))
    return {role: Split(data, part % 5, names, part) for role, part in zip(ROLES, rows, strict=True)}


def as_arrays(splits):
    return {
        role: Split(np.array(split.data[split.rows]), split.labels, split.names)
        for role, split in splits.items()
    }


def device_data(splits, **options):
    return DeviceData(Dataset("d", splits, open_set=False, sha256="0"), device=CPU, **options)


def batches(data, **options):
    module = InMemory(data, batch_size=16, seed=3, **options)
    return [*module.train_dataloader(), *module.val_dataloader()[0]]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for (rows, labels), (wanted, targets) in zip(found, expected, strict=True):
        assert rows.dtype == wanted.dtype == torch.float32
        assert rows.stride() == wanted.stride()
        assert torch.equal(rows, wanted)
        assert torch.equal(labels, targets)


@pytest.mark.parametrize("held", [0, 1 << 30])
@pytest.mark.parametrize("kind", ["grey", "colour", "float32", "float16"])
@pytest.mark.parametrize("options", [{}, {"samples_per_class": 4}])
def test_batches_of_mapped_rows_are_those_of_rows_in_memory(tmp_path, monkeypatch, kind, held, options):
    monkeypatch.setattr(stored_rows, "HELD_BYTES", held)
    splits = divided(mapped(tmp_path, drawn(kind, 400)))
    stored, memory = device_data(splits), device_data(as_arrays(splits))
    assert isinstance(stored.rows("train")[0], torch.Tensor if held else StoredRows)
    assert isinstance(memory.rows("train")[0], torch.Tensor)
    assert_same(batches(stored, **options), batches(memory, **options))


@pytest.mark.parametrize("held", [0, 1 << 30])
@pytest.mark.parametrize(("kind", "n"), [("grey", 300), ("colour", 300), ("grey", 20_000)])
def test_augmented_and_distorted_rows_are_the_same_too(tmp_path, monkeypatch, held, kind, n):
    monkeypatch.setattr(stored_rows, "HELD_BYTES", held)
    splits = divided(mapped(tmp_path, drawn(kind, n)), n=n)
    options = {"augment": AUGMENT, "augment_evaluation": True}
    stored, memory = device_data(splits, **options), device_data(as_arrays(splits), **options)
    assert_same(batches(stored), batches(memory))
    for role in ("val", "test"):
        found = list(Batches(*stored.rows(role), batch_size=1024))
        assert_same(found, list(Batches(*memory.rows(role), batch_size=1024)))


def test_a_mapped_array_without_places_is_read_as_it_lies(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_rows, "HELD_BYTES", 0)
    array = drawn("colour", 50)
    labels = np.arange(50) % 5
    one = Split(mapped(tmp_path, array), labels, tuple("abcde"))
    found, memory = ({"train": split, "val": split} for split in (one, Split(array, labels, tuple("abcde"))))
    assert isinstance(device_data(found).rows("val")[0], StoredRows)
    assert_same(batches(device_data(found)), batches(device_data(memory)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("held", [0, 1 << 30])
def test_batches_of_encoded_images_are_those_of_their_pixels(tmp_path, monkeypatch, workers, held):
    monkeypatch.setattr(stored_rows, "HELD_BYTES", held)
    monkeypatch.setattr(stored_rows, "_workers", lambda: workers)
    images = [encoded(pixels(seed)) for seed in range(90)]
    write_records(tmp_path / "train.rec", images, [0] * 90, height=6, width=6, identities=False)
    file = tmp_path / "train.rec"
    offsets = read_index(tmp_path / "train.idx", file.stat().st_size).offsets
    data = EncodedImages(file, offsets[-90:], Pixels(height=6, width=6, channels=3))
    splits = divided(data, n=90)
    found = device_data(splits)
    assert isinstance(found.rows("train")[0], torch.Tensor if held else StoredRows)
    assert_same(batches(found), batches(device_data(as_arrays(splits))))


def test_what_lies_in_memory_without_places_is_not_copied():
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    held, _ = device_data({"train": Split(rows, np.zeros(20, int), ("a",))}).rows("train")
    assert held.data_ptr() == rows.ctypes.data


def test_read_only_arrays_in_memory_pass_without_a_warning():
    rows = np.zeros((20, 3), np.float32)
    rows.flags.writeable = False
    held, _ = device_data({"train": Split(rows, np.zeros(20, int), ("a",))}).rows("train")
    assert held.shape == (20, 3)


def test_embeddings_of_mapped_rows_are_those_of_rows_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_rows, "HELD_BYTES", 0)
    splits = divided(mapped(tmp_path, drawn("colour", 400)))
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(8))
    stored, memory = device_data(splits).rows("test")[0], device_data(as_arrays(splits)).rows("test")[0]
    options = {"precision": "fp32", "batch_size": 32}
    assert torch.equal(embed(backbone, stored, **options), embed(backbone, memory, **options))


def test_a_split_without_rows_gives_no_batches(tmp_path, monkeypatch):
    for held in (0, 1 << 30):
        monkeypatch.setattr(stored_rows, "HELD_BYTES", held)
        none = Split(mapped(tmp_path, drawn("grey", 9)), np.empty(0, int), ("a",), np.empty(0, int))
        rows, labels = device_data({"train": none}).rows("train")
        assert len(rows) == len(labels) == 0


def test_a_size_that_would_tear_distorted_blocks_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_rows, "HELD_BYTES", 0)
    splits = divided(mapped(tmp_path, drawn("grey", 15_000)), n=15_000)
    rows, _ = device_data(splits, augment=AUGMENT, augment_evaluation=True).rows("test")
    with pytest.raises(ValueError, match="size=1000: must divide 4096"):
        next(rows.split(1000))


def own_memory_mb():
    """Memory of this process that no file backs."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_mapped_set_takes_the_memory_of_its_batches_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_rows, "HELD_BYTES", 1 << 20)
    data = np.lib.format.open_memmap(
        tmp_path / "data.npy", "w+", np.float32, (50_000, 1024)
    )  # 200 MB, sparse
    data.flush()
    data = np.load(tmp_path / "data.npy", mmap_mode="r")
    before = own_memory_mb()
    splits = divided(data, n=45_000)
    found = device_data(splits)
    most = before
    for role in ROLES:
        for rows, _ in Batches(*found.rows(role), 256, seed=0):
            assert len(rows) == 256
            most = max(most, own_memory_mb())
    assert most - before < 100  # of which looking for NaN takes 64
