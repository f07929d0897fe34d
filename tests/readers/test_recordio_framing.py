"""Framing against a writer and a reader that go word by word, as dmlc-core describes the format."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lossbench.readers.recordio import framing
from lossbench.readers.recordio.framing import framed, read_record
from tests.readers.samples import MAGIC, refused

HERE = Path("train.rec")
payloads = st.lists(st.one_of(st.just(MAGIC), st.binary(max_size=9)), max_size=12).map(b"".join)


def slow_framed(payload):
    """Split at every aligned magic, one word at a time."""
    parts, part = [], b""
    for at in range(0, len(payload), 4):
        word = payload[at : at + 4]
        if word == MAGIC:
            parts.append(part)
            part = b""
        else:
            part += word
    parts.append(part)
    record = b""
    for i, part in enumerate(parts):
        flag = 0 if len(parts) == 1 else 1 if i == 0 else 3 if i == len(parts) - 1 else 2
        record += MAGIC + struct.pack("<I", flag * 2**29 + len(part)) + part
        while len(record) % 4:
            record += b"\0"
    return record


@given(payloads)
@example(b"")
@example(MAGIC)
@example(MAGIC * 3)
@example(b"a" + MAGIC)
@example(b"abcd" + MAGIC + b"e")
def test_a_record_is_what_the_word_by_word_writer_makes(payload):
    assert framed(payload) == slow_framed(payload)


@given(st.lists(payloads, min_size=1, max_size=4))
def test_records_one_after_the_other_are_read_back(several):
    data = b"".join(map(framed, several))
    at = 0
    for payload in several:
        found, at = read_record(data, at, HERE)
        assert found == payload
    assert at == len(data)


@given(payloads)
def test_no_aligned_word_inside_a_record_is_the_magic_except_at_its_parts(payload):
    record = framed(payload)
    words = [record[at : at + 4] for at in range(0, len(record), 4)]
    aligned = sum(payload[at : at + 4] == MAGIC for at in range(0, len(payload), 4))
    assert words.count(MAGIC) == 1 + aligned


@given(payloads, st.data())
def test_a_record_cut_anywhere_is_refused_with_the_byte_of_its_part(payload, data):
    record = framed(payload)
    cut = data.draw(st.integers(0, len(record) - 1))
    # Padding may be missing: nothing is lost with it.
    if cut < len(record.rstrip(b"\0")):
        with refused("train.rec: byte ", "truncated?"):
            read_record(record[:cut], 0, HERE)


HEAD = struct.pack


@pytest.mark.parametrize(
    ("data", "byte", "why"),
    [
        (HEAD("<II", 0xCED7230B, 0), 0, "0xCED7230B, expected a record's magic 0xCED7230A"),
        (MAGIC + HEAD("<I", 2 << 29), 0, "part flag 2, expected 0 or 1"),
        (MAGIC + HEAD("<I", 3 << 29), 0, "part flag 3, expected 0 or 1"),
        (MAGIC + HEAD("<I", 7 << 29), 0, "part flag 7, expected 0 or 1"),
        (MAGIC + HEAD("<I", 1 << 29) + MAGIC + HEAD("<I", 0), 8, "part flag 0, expected 2 or 3"),
        (MAGIC + HEAD("<I", 1 << 29) + MAGIC + HEAD("<I", 1 << 29), 8, "part flag 1, expected 2 or 3"),
        (MAGIC + HEAD("<I", 1 << 29 | 4) + b"abcd" + b"efgh" * 2, 12, "0x68676665, expected"),
        (MAGIC + HEAD("<I", 9) + b"12345678", 0, "part of 9 bytes ends after the file (16)"),
        (MAGIC + HEAD("<I", 2**29 - 1), 0, "part of 536870911 bytes ends after the file (8)"),
        (MAGIC + HEAD("<I", 1 << 29), 8, "no room for a record"),
    ],
)
def test_what_is_no_record_is_refused(data, byte, why):
    with refused(f"train.rec: byte {byte}: {why}"):
        read_record(data, 0, HERE)


def test_a_chain_of_parts_that_holds_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(framing, "LONGEST", 15)
    fits = framed(b"abcd" + MAGIC + b"efghijk")
    assert read_record(fits, 0, HERE)[0] == b"abcd" + MAGIC + b"efghijk"
    with refused("byte 12: record holds more than 15 bytes"):
        read_record(slow_framed(b"abcd" + MAGIC + b"efghijkl"), 0, HERE)
    with refused("payload of 16 bytes: a record holds at most 15"):
        framed(b"abcd" + MAGIC + b"efghijkl")
