"""Batches of encoded images too many for one shuffle, against the order they are read in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lossbench.datasets import InsightFace
from lossbench.datasets.division import ByIdentity
from lossbench.datasets.streaming import block_order
from lossbench.lightning import datamodule, stored_rows
from lossbench.lightning.datamodule import DeviceData, InMemory
from lossbench.readers import write_records
from tests.readers.samples import encoded, pixels


@pytest.fixture
def streamed(tmp_path, monkeypatch):
    """A division of 200 images of 20 people that stay encoded, with blocks in the place of one shuffle."""
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datamodule, "WINDOW", 1)
    monkeypatch.setattr(stored_rows, "_workers", lambda: 0)
    images = (encoded(pixels(seed)) for seed in range(200))
    write_records(tmp_path / "train.rec", images, [row // 10 for row in range(200)], height=6, width=6)
    options = {"val_identities": 2, "test_identities": 4, "val_images": 0, "test_images": 0}
    division = ByIdentity(**options, least_images=2, split_seed=0)
    size = {"height": 6, "width": 6, "channels": 3, "box": None, "fit": "cover"}
    return InsightFace(path=str(tmp_path), **size, decoded_limit=0, division=division).load()


def epoch(dataset, number, **options):
    data = DeviceData(dataset, device=torch.device("cpu"))
    module = InMemory(data, batch_size=32, seed=5, **options)
    module.trainer = SimpleNamespace(current_epoch=number)
    return list(module.train_dataloader())


def rows_of(dataset, batches):
    """Places in the split of the images in each batch."""
    known = {image.tobytes(): row for row, image in enumerate(dataset.splits["train"].read(slice(None)))}
    pictures = [(images.permute(0, 2, 3, 1) + 1) * 127.5 for images, _ in batches]
    return [known[image.tobytes()] for batch in pictures for image in batch.round().byte().numpy()]


@pytest.mark.parametrize("held", [0, 1 << 30])
def test_batches_follow_the_order_of_blocks_held_in_memory_or_not(streamed, monkeypatch, held):
    monkeypatch.setattr(stored_rows, "HELD_BYTES", held)
    batches = epoch(streamed, 3)
    found = rows_of(streamed, batches)
    order = block_order(140, seed=2 * (1_000_003 * 5 + 3))
    assert found == order[: len(found)].tolist()
    assert len(found) == 128
    labels = torch.cat([label for _, label in batches])
    assert torch.equal(labels, torch.from_numpy(streamed.splits["train"].labels[found]))


def test_epochs_differ_and_one_that_is_repeated_does_not(streamed):
    orders = [rows_of(streamed, epoch(streamed, number)) for number in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


def test_groups_of_one_class_stay_together(streamed):
    for _, labels in epoch(streamed, 0, samples_per_class=4):
        assert np.unique(labels.reshape(8, 4), axis=1).shape == (8, 1)
