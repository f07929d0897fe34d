"""Encoded images: which bytes count as one, and their pixels."""

from __future__ import annotations

import io

import numpy as np

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
# A crop of a face has thousands of pixels; a few bytes of PNG can claim billions.
_MOST_PIXELS = 1 << 24


def image_fault(data: bytes) -> str | None:
    """Return why ``data`` is no whole JPEG or PNG, judged by its signature and its end, or None if it is.

    >>> image_fault(b"GIF89a")
    'neither JPEG nor PNG: begins with 474946383961'
    """
    if data.startswith(_JPEG):
        # Entropy-coded data cannot hold the end marker, so any later bytes are harmless padding.
        ends = data.find(_JPEG_END, len(_JPEG)) >= 0
        return None if ends else "a JPEG without its end marker: truncated?"
    if data.startswith(_PNG):
        return None if _PNG_END in data else "a PNG without its end chunk: truncated?"
    if not data:
        return "no image: empty"
    return f"neither JPEG nor PNG: begins with {data[:8].hex()}"


def decode_rgb(data: bytes) -> np.ndarray:
    """Return the pixels (h, w, 3) uint8, red first, of a JPEG or PNG.

    Raises ValueError for other bytes, for broken images, and for more than 2**24 pixels.
    """
    from PIL import Image

    fault = image_fault(data)
    if fault:
        raise ValueError(fault)
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels: more than {_MOST_PIXELS} are refused")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"image cannot be decoded: {' '.join(str(error).split())}") from None
