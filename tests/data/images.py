"""Images as files: whole ones, and every kind of fault."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def picture(number: int, size: tuple[int, int] = (24, 20)) -> Image.Image:
    """Noise (width, height) that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(number: int) -> bytes:
    return encoded(picture(number))


def hollow_png(width: int, height: int, bits: int = 8, colour: int = 0, pixels: bytes = b"") -> bytes:
    """A PNG by hand, of a size and depth that nobody could or would save."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
