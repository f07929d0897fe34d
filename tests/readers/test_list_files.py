"""List files: every line counts, and the first wrong one is named."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.readers import list_files, sha256_of
from lossbench.readers.list_files import integer_table, text_lines
from tests.readers.samples import refused


def written(folder, data):
    path = folder / "list.txt"
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lists")


rows = st.lists(st.tuples(*[st.integers(-(10**18) + 1, 10**18 - 1)] * 3), min_size=1, max_size=30)


@settings(deadline=None)
@given(
    rows,
    st.integers(1, 60),
    st.sampled_from([" ", "\t", "  "]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_a_table_is_read_in_blocks_of_any_size(folder, values, block, blank, end, ended):
    text = end.join(blank.join(map(str, row)) for row in values) + (end if ended else "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_files, "_BLOCK", block)
        table = integer_table(written(folder, text.encode()), 3)
    assert table.dtype == np.int64
    assert table.tolist() == [list(row) for row in values]


def test_an_empty_file_is_a_table_without_rows(tmp_path):
    assert integer_table(written(tmp_path, b""), 3).shape == (0, 3)


@pytest.mark.parametrize("before", [0, 1, 500])
@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"1 2", "2 fields, expected 3 integers"),
        (b"1 2 3 4", "4 fields, expected 3 integers"),
        (b"", "0 fields, expected 3 integers"),
        (b"1 2 x", "'x' is no integer of 64 bits"),
        (b"1 2 3.0", "'3.0' is no integer of 64 bits"),
        (b"1 2 0x3", "'0x3' is no integer of 64 bits"),
        (b"1 2 1_0", "'1_0' is no integer of 64 bits"),
        (b"1 2 nan", "'nan' is no integer of 64 bits"),
        (b"1 2 99999999999999999999", "'99999999999999999999' is no integer of 64 bits"),
        (b"1 2 \xb2", "is no integer of 64 bits"),
        (b"1 2 \x00", "is no integer of 64 bits"),
    ],
)
def test_the_first_wrong_line_of_a_table_is_named(tmp_path, monkeypatch, before, line, why):
    monkeypatch.setattr(list_files, "_BLOCK", 64)
    data = b"1 2 3\n" * before + line + b"\n4 5 6\n1 2\n"
    with refused(f"list.txt:{before + 1}: ", why):
        integer_table(written(tmp_path, data), 3)


def test_lines_come_with_their_numbers_and_without_their_ends(tmp_path):
    path = written(tmp_path, b"a\r\n\nb c \nd" + "é".encode())
    assert list(text_lines(path)) == [(1, "a"), (2, ""), (3, "b c "), (4, "dé")]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a\nb\xff\n", "list.txt:2: line is not UTF-8"),
        (b"a\nb\nc\0d\n", "list.txt:3: line holds a NUL byte"),
        (b"a\n" + b"x" * 70_000, "list.txt:2: line of over 65536 bytes"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, data, why):
    with refused(why):
        list(text_lines(written(tmp_path, data)))


def test_a_file_without_line_ends_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(list_files, "_BLOCK", 1000)
    with refused("list.txt: byte 66536: line of over 65536 bytes"):
        integer_table(written(tmp_path, b"1" * 1_000_000), 3)


def test_the_digest_is_that_of_the_bytes(tmp_path):
    data = bytes(range(256)) * 5000
    assert sha256_of(written(tmp_path, data)) == hashlib.sha256(data).hexdigest()
