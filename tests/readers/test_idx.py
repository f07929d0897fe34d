"""idx files: what the header says must be what follows."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from lossbench.readers import read_idx
from tests.readers.samples import refused


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def header(*lengths: int, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(lengths)}I", 0, kind, len(lengths), *lengths)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (4, 3, 2)])
def test_arrays_come_back(tmp_path, shape, packed):
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "t"
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    found = read_idx(path)
    assert found.dtype == np.uint8
    assert found.tolist() == array.tolist()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "begins with : no idx"),
        (b"\0\0\x08", "no idx"),
        (b"\x01\0\x08\x01", "begins with 01000801"),
        (header(), "no idx file of 1 to 3 dimensions"),
        (header(1, 1, 1, 1) + b"x", "no idx file of 1 to 3 dimensions"),
        (header(1, kind=13) + b"abcd", "values of type 13, expected 8"),
        (header(2, 2)[:-1], "ends within its header"),
        (header(0, 2), "shape (0, 2): expected 1 to"),
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "expected 1 to"),
        (header(2, 2) + b"abc", "shape (2, 2) has 4 values, the file holds only 3"),
        (header(2, 2) + b"abcde", "shape (2, 2) has 4 values, the file holds more"),
    ],
)
def test_headers_that_do_not_fit_are_refused(tmp_path, data, why, packed):
    path = tmp_path / "t"
    path.write_bytes(gzip.compress(data) if packed else data)
    with refused(path, why):
        read_idx(path)


@pytest.mark.parametrize("damage", [lambda data: data[:-12], lambda data: data[:-8] + bytes(8)])
def test_damaged_gz_is_refused(tmp_path, damage):
    path = tmp_path / "t.gz"
    path.write_bytes(damage(gzip.compress(idx(np.arange(99, dtype=np.uint8)))))
    with refused(path, "damaged"):
        read_idx(path)


def test_a_small_file_that_promises_much_costs_little(tmp_path):
    path = tmp_path / "t.gz"
    path.write_bytes(gzip.compress(header(2**10, 2**10, 2**10) + bytes(1000)))
    tracemalloc.start()
    with refused("the file holds only 1000"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22
