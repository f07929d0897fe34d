"""What is wrong with an image, or unusual about it: all of it is decoded, at its own size."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from lossbench.datasets.decoding import FORMATS, MOST_PIXELS, Pixels

UNREADABLE = ("empty", "truncated", "oversized", "broken")
UNUSUAL = ("animated", "16-bit", "CMYK", "tiny")

TINY = 16  # pixels of the shorter side

_LARGEST_SIDE = 4096  # what ``Pixels`` makes at most
_ON_ITS_SIDE = {5, 6, 7, 8}  # values of EXIF's orientation
_ORIENTATION = 0x0112


class Examined(NamedTuple):
    """remarks: kinds of ``UNREADABLE`` and ``UNUSUAL``, each with what is meant by it. pixels: digest of 16
    bytes, equal for equal pixels in 8 bits RGB; b"" for an image that cannot be read."""

    remarks: dict[str, str]
    pixels: bytes


def examined(data: bytes) -> Examined:
    """Read an encoded image as every source of lossbench would."""
    if not data:
        return Examined({"empty": "no bytes"}, b"")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            size = image.width, image.height
            if size[0] * size[1] > MOST_PIXELS:
                return Examined({"oversized": f"{size[0]}x{size[1]} pixels: over {MOST_PIXELS}"}, b"")
            remarks = dict(_unusual(image))
            turned = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    except Image.DecompressionBombError:
        return Examined({"oversized": f"over {MOST_PIXELS} pixels"}, b"")
    except Exception:  # the decoding below says what is wrong, in one line
        size, remarks, turned = (1, 1), {}, False
    width, height = (min(side, _LARGEST_SIDE) for side in (size[::-1] if turned else size))
    try:
        pixels = Pixels(height=height, width=width, channels=3).decode(data)
    except ValueError as error:
        kind = "truncated" if "truncated" in str(error).lower() else "broken"
        return Examined({kind: str(error)}, b"")
    key = hashlib.blake2b(f"{size[0]}x{size[1]} ".encode(), digest_size=16)
    key.update(pixels.data)
    return Examined(remarks, key.digest())


def _unusual(image: Image.Image) -> Iterator[tuple[str, str]]:
    if (frames := getattr(image, "n_frames", 1)) > 1:
        yield "animated", f"{frames} frames: the first is taken"
    if "16" in image.mode or image.mode == "I" or "16" in _stored_mode(image):
        yield "16-bit", "made 8 bits"
    if image.mode in ("CMYK", "YCCK"):
        yield "CMYK", "colours for print, made RGB without a profile"
    if min(image.size) < TINY:
        yield "tiny", f"{image.width}x{image.height} pixels: under {TINY}"


def _stored_mode(image: Image.Image) -> str:
    """How a file stores its pixels, as far as Pillow tells: 16 bits of RGB become 8 when they are read."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
