"""Small images, real and feigned, and what must hold for every refusal."""

from __future__ import annotations

import io
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

MAGIC = bytes.fromhex("0a23d7ce")


def pixels(seed, side=6):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def encoded(array, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def jpeg(seed=0):
    return encoded(pixels(seed), "JPEG")


def feigned_jpeg(body=b""):
    """Bytes with the beginning and the end of a JPEG, enough for readers that do not decode."""
    return b"\xff\xd8\xff" + body + b"\xff\xd9"


@contextmanager
def refused(*parts):
    """The block raises ValueError in one line that holds all ``parts``."""
    with pytest.raises(ValueError, match=r"\S") as raised:
        yield
    text = str(raised.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text, text
