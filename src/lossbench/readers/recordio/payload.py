"""What a record holds (MXNet, recordio.IRHeader): flag, label and ids as ``<IfQQ``, more labels, an image."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

HEAD = struct.Struct("<IfQQ")
# float32 tells all integers apart up to here: larger keys come from the index, never from a label.
EXACT = 1 << 24


def packed(labels: float | Sequence[float], key: int, image: bytes) -> bytes:
    """Return the payload of a record: one label stands in its head, a sequence of labels after it.

    >>> unpacked(packed([3, 1], 7, b"image"), "here")
    (array([3., 1.], dtype=float32), b'image')
    """
    if isinstance(labels, Sequence):
        return HEAD.pack(len(labels), 0.0, key, 0) + np.asarray(labels, dtype="<f4").tobytes() + image
    return HEAD.pack(0, labels, key, 0) + image


def unpacked(payload: bytes, where: str) -> tuple[np.ndarray, bytes]:
    """Return the labels (at least one, float32) and the image, empty in headers and identity records.

    where: names file and byte in errors. Raises ValueError for a payload shorter than its labels.
    """
    if len(payload) < HEAD.size:
        raise ValueError(f"{where}: payload of {len(payload)} bytes, its head alone takes {HEAD.size}")
    flag, label, _, _ = HEAD.unpack_from(payload)
    begin = HEAD.size + 4 * flag
    if begin > len(payload):
        raise ValueError(f"{where}: payload of {len(payload)} bytes, its {flag} labels end at {begin}")
    if flag == 0:
        return np.array([label], dtype=np.float32), payload[begin:]
    return np.frombuffer(payload, "<f4", flag, HEAD.size).astype(np.float32), payload[begin:]


def class_of(label: float, classes: int | None, where: str) -> int:
    """Return a label as a class; raises ValueError unless it is an integer in 0..classes-1, below 2**24."""
    most = EXACT if classes is None else min(classes, EXACT)
    if not (0 <= label < most and label == int(label)):
        raise ValueError(f"{where}: label {label:g}, expected an integer in 0..{most - 1}")
    return int(label)
