"""RecordIO framing (dmlc-core, recordio.h): payloads after magic numbers, split where they hold the magic."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path

import numpy as np

MAGIC = 0xCED7230A
LENGTH_BITS = 29  # of the 32 of a length; the others tell which part of a record follows
LONGEST = (1 << LENGTH_BITS) - 1  # bytes
WHOLE, FIRST, MIDDLE, LAST = range(4)

_MAGIC = struct.pack("<I", MAGIC)
_HEAD = struct.Struct("<II")


def framed(payload: bytes) -> bytes:
    """Return the record of ``payload``: parts, each after magic and length, padded to multiples of 4 bytes.

    A magic number at a multiple of 4 bytes in the payload is dropped and the payload split there, so that a
    reader can find the next record from anywhere in a file. Raises ValueError for 2**29 bytes or more.

    >>> framed(b"abcde").hex(" ", 4)
    '0a23d7ce 05000000 61626364 65000000'
    """
    if len(payload) > LONGEST:
        raise ValueError(f"payload of {len(payload)} bytes: a record holds at most {LONGEST}")
    parts = list(_split(payload))
    places = [FIRST, *[MIDDLE] * (len(parts) - 2), LAST] if len(parts) > 1 else [WHOLE]
    return b"".join(
        _HEAD.pack(MAGIC, place << LENGTH_BITS | len(part)) + part + bytes(-len(part) % 4)
        for place, part in zip(places, parts, strict=True)
    )


def _split(payload: bytes) -> Iterator[bytes]:
    words = np.frombuffer(payload, dtype="<u4", count=len(payload) // 4)
    begin = 0
    for end in (np.flatnonzero(words == MAGIC) * 4).tolist():
        yield payload[begin:end]
        begin = end + 4
    yield payload[begin:]


def read_record(data: bytes | mmap, offset: int, path: Path) -> tuple[bytes, int]:
    """Return the payload of the record at byte ``offset`` of ``data``, and the offset after the record.

    path: names the file in errors. Raises ValueError with the byte offset for a wrong magic number, parts out
    of order, and parts that end outside the file or hold more than a payload can.
    """
    parts: list[bytes] = []
    held = 0
    while True:
        place, length = _head(data, offset, path)
        if place not in ((MIDDLE, LAST) if parts else (WHOLE, FIRST)):
            expected = "2 or 3 (inside a record)" if parts else "0 or 1 (start of a record)"
            raise ValueError(f"{path}: byte {offset}: part flag {place}, expected {expected}")
        begin = offset + _HEAD.size
        held += length + len(_MAGIC)
        if held > LONGEST + len(_MAGIC):
            raise ValueError(f"{path}: byte {offset}: record holds more than {LONGEST} bytes")
        if begin + length > len(data):
            raise ValueError(
                f"{path}: byte {offset}: part of {length} bytes ends after the file ({len(data)}): truncated?"
            )
        parts.append(data[begin : begin + length])
        offset = begin + length + -length % 4
        if place in (WHOLE, LAST):
            return _MAGIC.join(parts), offset


def _head(data: bytes | mmap, offset: int, path: Path) -> tuple[int, int]:
    """Return which part starts at ``offset``, and its length."""
    if offset + _HEAD.size > len(data):
        raise ValueError(
            f"{path}: byte {offset}: no room for a record, the file ends at {len(data)}: truncated?"
        )
    magic, word = _HEAD.unpack_from(data, offset)
    if magic != MAGIC:
        raise ValueError(f"{path}: byte {offset}: 0x{magic:08X}, expected a record's magic 0x{MAGIC:08X}")
    return word >> LENGTH_BITS, word & LONGEST
