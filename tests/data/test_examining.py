"""What is wrong with one image, or unusual about it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lossbench.data.examining import examined
from tests.data.images import encoded, hollow_png, picture, png

GREY_16 = Image.fromarray(np.arange(24 * 20, dtype=np.uint16).reshape(20, 24) * 100)
FLOATS = Image.fromarray(np.zeros((20, 24), np.float32))
TWO_FRAMES = {"save_all": True, "append_images": [picture(2)]}


@pytest.mark.parametrize(
    ("data", "kind", "what"),
    [
        (b"", "empty", "no bytes"),
        (encoded(picture(1), "JPEG")[:-200], "truncated", "truncated"),
        (png(1)[:-700], "truncated", "truncated"),
        (b"hello", "broken", "none of"),
        (encoded(picture(1), "JPEG")[:100] + b"\xff\0" * 400, "broken", "cannot be read"),
        (encoded(picture(1), "ICO"), "broken", "none of"),
        (encoded(FLOATS, "TIFF"), "broken", "floating point"),
        (hollow_png(9000, 8000), "oversized", "9000x8000 pixels"),
        (hollow_png(100_000, 100_000), "oversized", "pixels"),
    ],
)
def test_what_cannot_be_read_is_of_one_kind_and_has_no_pixels(data: bytes, kind: str, what: str) -> None:
    result = examined(data)
    assert list(result.remarks) == [kind]
    assert what in result.remarks[kind]
    assert result.pixels == b""


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encoded(picture(1), "GIF", **TWO_FRAMES), "animated"),
        (encoded(picture(1), "PNG", **TWO_FRAMES), "animated"),
        (encoded(picture(1), "TIFF", **TWO_FRAMES), "animated"),
        (encoded(GREY_16), "16-bit"),
        (encoded(GREY_16, "TIFF"), "16-bit"),
        (hollow_png(20, 20, bits=16, colour=2, pixels=bytes(20 * 121)), "16-bit"),
        (encoded(picture(1).convert("CMYK"), "JPEG"), "CMYK"),
        (encoded(picture(1, (15, 40))), "tiny"),
    ],
)
def test_what_is_unusual_is_read(data: bytes, kind: str) -> None:
    result = examined(data)
    assert list(result.remarks) == [kind]
    assert len(result.pixels) == 16


def test_a_plain_image_has_no_remarks() -> None:
    for kind in ("BMP", "JPEG", "PNG", "WEBP"):
        assert examined(encoded(picture(1, (16, 16)), kind)).remarks == {}
    assert examined(encoded(picture(1).convert("P"), "GIF")).remarks == {}


def test_equal_pixels_have_equal_digests_whatever_the_file() -> None:
    one = examined(encoded(picture(1), "PNG")).pixels
    assert one == examined(encoded(picture(1), "BMP")).pixels
    assert one != examined(encoded(picture(2), "PNG")).pixels


def test_images_of_one_colour_differ_by_their_size() -> None:
    sizes = ((20, 30), (30, 20), (20, 31))
    assert len({examined(encoded(Image.new("RGB", size))).pixels for size in sizes}) == 3


def test_an_image_on_its_side_loses_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(picture(1), "PNG", exif=exif)
    other = np.asarray(picture(1)).copy()
    other[3, 4] ^= 1
    assert examined(turned).remarks == {}
    assert examined(turned).pixels != examined(encoded(Image.fromarray(other), "PNG", exif=exif)).pixels
