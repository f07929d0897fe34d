"""Batches, their order and their pixels, against rows that carry their own number."""

from __future__ import annotations

from functools import partial
from itertools import chain, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lossbench.augment import affine_noise, flip
from lossbench.datasets import Dataset, Split
from lossbench.lightning.datamodule import Batches, DeviceData, InMemory

CPU = torch.device("cpu")
STRONG = partial(affine_noise, rotation=30, scale=0.2, shift=0.2, shear=0.2, noise=0.2)


def split(n, *, first=0, names=5, prefix="id"):
    """Grey 4x4 images; every pixel of row i is i, every label i modulo the number of names."""
    pixels = np.arange(first, first + n, dtype=np.uint8)
    data = np.repeat(pixels, 16).reshape(n, 4, 4, 1)
    return Split(data, np.arange(n, dtype=np.int64) % names, tuple(f"{prefix}{i}" for i in range(names)))


def numbered(n=50, open_set=False):
    splits = {"train": split(n), "val": split(10, first=100), "test": split(10, first=100)}
    if open_set:
        splits |= {
            "val_open": split(10, first=150, prefix="v"),
            "test_open": split(12, first=200, prefix="t"),
        }
    return Dataset(name="numbered", splits=splits, open_set=open_set, sha256="0")


def vectors(n=30):
    rows = np.random.default_rng(0).normal(5, 100, (n, 3)).astype(np.float32)
    labels = np.arange(n, dtype=np.int64) % 3
    parts = {role: Split(rows, labels, ("a", "b", "c")) for role in ("train", "val", "test")}
    return Dataset(name="vectors", splits=parts, open_set=False, sha256="0")


def device_data(dataset=None, **options):
    return DeviceData(numbered() if dataset is None else dataset, device=CPU, **options)


def epoch(number, *, seed=0, batch_size=8, data=None):
    """The batches of one epoch."""
    module = InMemory(device_data() if data is None else data, batch_size=batch_size, seed=seed)
    module.trainer = SimpleNamespace(current_epoch=number)
    return list(module.train_dataloader())


def order(batches):
    """The numbers of the rows, read off their pixels."""
    return [round((image.mean().item() + 1) / 2 * 255) for rows, _ in batches for image in rows]


def labels(batches):
    return [label.tolist() for _, label in batches]


def test_an_epoch_has_each_row_at_most_once_with_its_own_label():
    batches = epoch(0)
    seen = order(batches)
    assert len(set(seen)) == len(seen)
    assert list(chain(*labels(batches))) == [row % 5 for row in seen]


def test_the_last_short_batch_is_left_out():
    batches = epoch(0)
    assert [len(label) for _, label in batches] == [8] * 6  # 50 = 6 * 8 + 2
    assert len(InMemory(device_data(), batch_size=8, seed=0).train_dataloader()) == 6


def test_rows_left_out_of_one_epoch_come_in_another():
    assert set().union(*(order(epoch(number)) for number in range(6))) == set(range(50))


def test_a_batch_larger_than_the_set_is_the_whole_set():
    (batch,) = epoch(0, batch_size=1000)
    assert sorted(order([batch])) == list(range(50))


def test_a_set_as_large_as_a_whole_number_of_batches_is_used_up():
    assert sorted(order(epoch(0, batch_size=25))) == list(range(50))


def test_the_same_seed_gives_the_same_batches_and_each_epoch_an_order_of_its_own():
    assert order(epoch(3, seed=7)) == order(epoch(3, seed=7))
    orders = [order(epoch(number, seed=seed)) for seed in (0, 1, 7) for number in (0, 1, 2)]
    assert len({tuple(rows) for rows in orders}) == 9
    assert all(rows != sorted(rows) for rows in orders)


def test_one_loader_follows_the_trainers_epoch():
    module = InMemory(device_data(), batch_size=8, seed=0)
    module.trainer = SimpleNamespace(current_epoch=0)
    loader = module.train_dataloader()
    first = order(list(loader))
    module.trainer.current_epoch = 1
    assert order(list(loader)) == order(epoch(1)) != first


@pytest.mark.parametrize("augment", [partial(STRONG, strength=1.0), flip])
def test_augmentation_changes_pixels_and_never_which_rows_make_a_batch(augment):
    plain, augmented = epoch(2), epoch(2, data=device_data(augment=augment))
    assert labels(augmented) == labels(plain)
    if augment is not flip:  # constant images have no left and right
        assert not torch.equal(augmented[0][0], plain[0][0])


def test_augmentation_follows_from_the_seed_and_the_epoch():
    data = device_data(augment=STRONG)
    again = zip(epoch(1, seed=3, data=data), epoch(1, seed=3, data=data), strict=True)
    assert all(torch.equal(one, other) for (one, _), (other, _) in again)
    mean = {
        (seed, number): epoch(number, seed=seed, data=data)[0][0].mean()
        for seed in (0, 1)
        for number in (0, 1)
    }
    assert len({value.item() for value in mean.values()}) == 4


def test_batches_do_not_depend_on_the_global_generator_and_do_not_move_it():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = order(epoch(0, data=device_data(augment=None)))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert order(epoch(0)) == first


def test_training_batches_are_evenly_mixed_over_the_first_batches_of_many_epochs():
    # Row 0 is in the first 8 of 50 with chance 0.16; over 400 epochs that is 64 +- 7.3 times.
    count = sum(0 in order(epoch(number)[:1]) for number in range(400))
    assert 35 < count < 93


def test_images_reach_the_backbone_as_channels_height_width_from_minus_one_to_one():
    pixels = np.array([0, 51, 255, 102, 153, 204], dtype=np.uint8).reshape(1, 1, 2, 3)
    half = Split(np.concatenate([pixels, pixels]), np.zeros(2, dtype=np.int64), ("a",))
    data = DeviceData(Dataset(name="two", splits={"train": half}, open_set=False, sha256="0"), device=CPU)
    assert data.shape == (3, 1, 2)
    (rows, _), *_ = epoch(0, batch_size=2, data=data)
    assert rows.shape == (2, 3, 1, 2)
    assert rows.dtype == torch.float32
    expected = torch.tensor([[[-1.0, -0.2]], [[-0.6, 0.2]], [[1.0, 0.6]]])
    torch.testing.assert_close(rows[0], expected)


def test_images_stay_bytes_in_memory_and_batches_leave_them_as_they_were():
    data = device_data(augment=STRONG)
    rows, _ = data.rows("train")
    before = rows.clone()
    epoch(0, data=data)
    assert rows.dtype == torch.uint8
    assert torch.equal(rows, before)
    assert data.rows("train")[0] is rows


def test_vectors_pass_untouched():
    dataset = vectors()
    data = device_data(dataset)
    assert data.shape == (3,)
    for rows, label in epoch(0, data=data):
        for row, target in zip(rows, label, strict=True):
            (found,) = [i for i in range(30) if np.array_equal(dataset.splits["train"].data[i], row.numpy())]
            assert dataset.splits["train"].labels[found] == target
    (evaluated,) = [
        batch for loader in InMemory(data, batch_size=4, seed=0).val_dataloader() for batch in loader
    ]
    assert np.array_equal(evaluated[0].numpy(), dataset.splits["val"].data)


def test_evaluation_batches_come_in_order_and_lose_no_row():
    rows = torch.arange(10, dtype=torch.float32)[:, None]
    batches = Batches(rows, torch.arange(10), batch_size=4)
    assert [label.tolist() for _, label in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert torch.equal(torch.cat([part for part, _ in batches]), rows)
    assert len(batches) == 3


def test_without_distortion_evaluation_rows_are_those_of_the_set():
    data = device_data(augment=STRONG, augment_evaluation=False)
    assert data.rows("val")[0][:, 0, 0, 0].tolist() == list(range(100, 110))


def test_evaluation_rows_are_distorted_once_from_a_fixed_seed():
    one, other = (device_data(augment=STRONG, augment_evaluation=True) for _ in range(2))
    torch.manual_seed(5)  # runs of other seeds
    first, labels_ = one.rows("test")
    torch.manual_seed(6)
    assert torch.equal(other.rows("test")[0], first)
    assert one.rows("test")[0] is first
    assert first.dtype == torch.uint8
    plain = device_data().rows("test")
    assert not torch.equal(first, plain[0])
    assert torch.equal(labels_, plain[1])
    # the same ten images in val and in test: no two splits share their distortions
    assert not torch.equal(one.rows("val")[0], first)


def test_training_rows_are_never_distorted_in_memory():
    data = device_data(augment=STRONG, augment_evaluation=True)
    assert data.rows("train")[0][:, 0, 0, 0].tolist() == list(range(50))


def test_distorting_in_blocks_covers_every_row():
    many = Split(
        *(array.repeat(900, axis=0) for array in (split(10).data, split(10).labels)), split(10).names
    )
    dataset = Dataset(name="many", splits={"train": split(10), "val": many}, open_set=False, sha256="0")
    mirrored = device_data(dataset, augment=partial(flip, p=1.0), augment_evaluation=True)
    assert torch.equal(mirrored.rows("val")[0].flip(-1), device_data(dataset).rows("val")[0])


def test_a_closed_set_is_verified_on_its_own_classes_and_an_open_set_on_unseen_identities():
    closed, open_ = device_data(), device_data(numbered(open_set=True))
    assert closed.verification_rows("test")[0][0, 0, 0, 0] == 100
    assert open_.verification_rows("test")[0][0, 0, 0, 0] == 200
    assert open_.verification_rows("val")[0][0, 0, 0, 0] == 150


def test_a_set_without_validation_rows_has_no_validation():
    alone = Dataset(name="alone", splits={"train": split(10)}, open_set=False, sha256="0")
    data = device_data(alone)
    assert data.rows("val") is None
    assert InMemory(data, batch_size=4, seed=0).val_dataloader() == []


def test_a_class_sees_its_share_of_every_epoch():
    seen = [label for batches in map(epoch, range(20)) for part in labels(batches) for label in part]
    counts = [seen.count(label) for label in range(5)]
    assert sum(counts) == 20 * 48
    assert all(172 <= count <= 200 for count in counts)  # 10 rows of each; at most 2 of 50 left out


def test_epochs_that_follow_one_another_share_no_batch():
    for before, after in pairwise(epoch(number) for number in range(4)):
        assert not {tuple(part) for part in labels(before)} & {tuple(part) for part in labels(after)}


def grouped(size, labels, batch_size=12, seed=0, epoch=0):
    labels = torch.tensor(labels)
    rows = torch.arange(len(labels), dtype=torch.float32)[:, None]
    batches = Batches(rows, labels, batch_size, seed, epoch=lambda: epoch, samples_per_class=size)
    return [(row[:, 0].long().tolist(), label.tolist()) for row, label in batches], batches


UNEVEN = [0] * 7 + [1] * 2 + [2] * 12 + [3] * 1 + [4] * 8


def test_batches_are_made_of_groups_of_one_class_and_see_every_row():
    found, batches = grouped(4, UNEVEN, batch_size=4)
    assert len(found) == len(batches) == 2 + 1 + 3 + 1 + 2
    assert all(len(set(labels)) == 1 and len(labels) == 4 for _, labels in found)
    assert {row for rows, _ in found for row in rows} == set(range(30))
    for rows, labels in found:
        assert [UNEVEN[row] for row in rows] == labels


def test_groups_are_drawn_anew_each_epoch_and_from_the_seed_alone():
    first, again, later = (grouped(4, UNEVEN, epoch=epoch)[0] for epoch in (0, 0, 1))
    assert first == again
    assert first != later
    assert all(len(rows) == 12 for rows, _ in first)


def test_without_groups_a_class_is_drawn_as_often_as_it_has_rows():
    found, _ = grouped(None, UNEVEN, batch_size=5)
    assert sorted(row for rows, _ in found for row in rows) == list(range(30))
