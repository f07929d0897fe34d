"""Images decoded by processes that work ahead: the same batches however many, and none left behind."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lossbench
from lossbench.config import ConfigError
from lossbench.datasets.decoding import Pixels
from lossbench.datasets.streaming import EncodedImages, block_order, read_ahead
from lossbench.readers import write_records
from tests.readers.samples import encoded, pixels

COUNT = 60


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("set") / "train.rec")


def make_images(path, count=COUNT, broken=()):
    """Image i of seed i, in 60 records without identity records; ``broken`` ones are cut short."""
    cut = b"IEND\xaeB`\x82"
    files = [encoded(pixels(seed)) for seed in range(count)]
    files = [file[:-30] + cut if seed in broken else file for seed, file in enumerate(files)]
    write_records(path, files, list(range(count)), height=6, width=6, identities=False)
    offsets = np.loadtxt(path.with_suffix(".idx"), dtype=np.int64)[:, 1]
    return EncodedImages(path, offsets, Pixels(height=6, width=6, channels=3))


def batches(count=COUNT, size=7):
    order = np.random.default_rng(0).permutation(count)
    return [order[start : start + size] for start in range(0, count, size)]


def processes():
    return multiprocessing.active_children()


def test_it_is_indexed_like_an_array_of_the_decoded_images(images):
    whole = np.stack([pixels(seed) for seed in range(COUNT)])
    assert images.shape == whole.shape
    assert images.dtype == whole.dtype
    assert (len(images), images.ndim, images.itemsize) == (COUNT, 4, 1)
    for index in (
        np.array([3, 0, 3]),
        slice(5, 9),
        slice(None),
        np.array([], dtype=np.int64),
        np.array([-1]),
    ):
        assert np.array_equal(images[index], whole[index])


def test_an_epoch_reads_every_row_once():
    for count in (0, 1, 63, 64, 65, 1000):
        order = block_order(count, seed=0, block=16, window=48)
        assert order.dtype == np.int64
        assert sorted(order.tolist()) == list(range(count))


def test_the_order_follows_from_the_seed_alone():
    assert len({block_order(500, seed=seed).tobytes() for seed in range(4)}) == 4
    assert np.array_equal(block_order(500, seed=1), block_order(500, seed=1))


def test_few_blocks_are_open_at_a_time_and_neighbours_are_torn_apart():
    order = block_order(4096, seed=0, block=16, window=128)
    for start in range(0, 4096, 128):
        assert len(set((order[start : start + 128] // 16).tolist())) == 8
    assert (np.abs(np.diff(order)) == 1).mean() < 0.02


def test_every_row_may_come_first():
    first = [int(block_order(64, seed=seed, block=8, window=16)[0]) for seed in range(2000)]
    counts = np.bincount(first, minlength=64)
    assert ((counts - 2000 / 64) ** 2).sum() / (2000 / 64) < 110  # chi-squared of 63 degrees: one in 4,000


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_are_the_same_whatever_the_number_of_processes(images, workers):
    found = list(read_ahead(images, batches(), workers))
    assert [len(batch) for batch in found] == [7] * 8 + [4]
    for batch, rows in zip(found, batches(), strict=True):
        assert np.array_equal(batch, [pixels(row) for row in rows])
    assert not processes()


def test_no_more_than_two_batches_for_each_process_are_asked_for_ahead(images):
    asked = []

    def told():
        for rows in batches(size=1):
            asked.append(rows)
            yield rows

    stream = read_ahead(images, told(), 2)
    next(stream)
    assert len(asked) == 4
    next(stream)
    assert len(asked) == 5
    stream.close()
    assert not processes()


def test_a_broken_image_is_named_and_ends_the_processes(tmp_path):
    found = make_images(tmp_path / "train.rec", count=8, broken={5})
    for workers in (0, 1):
        stream = read_ahead(found, [np.array([0, 1]), np.array([4, 5]), np.array([6])], workers)
        assert np.array_equal(next(stream), [pixels(0), pixels(1)])
        with pytest.raises(ConfigError, match=r"^\S+train\.rec: byte \d+: cannot be read as an image .*$"):
            next(stream)
    assert not processes()


def test_a_file_that_is_gone_is_named(images, tmp_path):
    gone = EncodedImages(tmp_path / "train.rec", images.offsets, images.pixels)
    for workers in (0, 1):
        with pytest.raises(ConfigError, match=r"^.*train\.rec.*$"):
            list(read_ahead(gone, batches(), workers))
    assert not processes()


def test_a_killed_process_is_told_in_one_line(images):
    stream = read_ahead(images, batches(), 1)
    next(stream)
    (process,) = processes()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with pytest.raises(ConfigError, match=r"^\S+train.rec: a process .* was killed.*$"):
        list(stream)
    assert not processes()


def test_what_a_process_is_sent_does_not_grow_with_the_set(images):
    assert len(pickle.dumps((images.path, images.offsets[:256], images.pixels))) < 4096


SCRIPT = """
import itertools, multiprocessing, sys, time
import numpy as np
from lossbench.config import ConfigError
from lossbench.datasets.decoding import Pixels
from lossbench.datasets.streaming import EncodedImages, read_ahead
if __name__ == "__main__":
    images = EncodedImages(*__import__("pickle").loads(bytes.fromhex(sys.argv[1])))
    try:
        for batch in read_ahead(images, itertools.repeat(np.arange(20)), 2):
            print(*(child.pid for child in multiprocessing.active_children()), flush=True)
            time.sleep(0.05)
    except KeyboardInterrupt:
        sys.exit("interrupted")
"""


@pytest.fixture
def script(images, tmp_path):
    """A program that streams without end in a process group of its own; it says which processes it has."""
    file = tmp_path / "stream.py"
    file.write_text(SCRIPT)
    argument = pickle.dumps((images.path, images.offsets, images.pixels)).hex()
    environment = {"PYTHONPATH": str(Path(lossbench.__file__).parents[1]), "PATH": ""}
    with subprocess.Popen(
        [sys.executable, str(file), argument],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
    ) as running:
        yield running
        running.kill()


def children(running):
    found = [int(word) for word in running.stdout.readline().split()]
    assert len(found) == 2
    return found


def alive(pid):
    """Neither gone nor a zombie that only waits to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@linux
def test_ctrl_c_ends_all_processes_without_a_word_from_them(script):
    pids = children(script)
    os.killpg(script.pid, signal.SIGINT)  # as a terminal does
    assert script.wait(10) == 1
    assert script.stderr.read() == "interrupted\n"
    assert not any(map(alive, pids))


@linux
def test_processes_end_when_their_parent_is_killed(script):
    pids = children(script)
    script.kill()
    script.wait(10)
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))
