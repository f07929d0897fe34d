"""Pickles as Python 2 wrote them, protocol 2: what the published batches of CIFAR are."""

from __future__ import annotations

import struct

import numpy as np


def python2_pickle(value) -> bytes:
    """Of dicts, lists, str (as Python 2 has it: bytes), whole numbers and arrays of bytes."""
    return b"\x80\x02" + _written(value) + b"."


def _written(value) -> bytes:
    if isinstance(value, dict):
        items = b"".join(_written(key) + _written(item) for key, item in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_written, value)) + b"e"
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    data = value.encode() if isinstance(value, str) else value
    return b"T" + struct.pack("<i", len(data)) + data


def _array(array: np.ndarray) -> bytes:
    blank = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    lengths = b"(" + b"".join(map(_written, array.shape)) + b"t"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return blank + b"(K\x01" + lengths + dtype + b"\x89" + _written(array.tobytes()) + b"tb"
