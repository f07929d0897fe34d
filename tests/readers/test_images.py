"""Which bytes are an image, and which pixels it has."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from lossbench.readers import decode_rgb
from lossbench.readers.images import image_fault
from tests.readers.samples import encoded, feigned_jpeg, jpeg, pixels, refused


def test_png_pixels_come_back_exactly_and_jpeg_nearly():
    array = np.kron(pixels(0, side=4), np.ones((8, 8, 1), dtype=np.uint8))
    np.testing.assert_array_equal(decode_rgb(encoded(array)), array)
    rough = decode_rgb(encoded(array, "JPEG")).astype(int)
    assert rough.shape == array.shape
    assert abs(rough - array).mean() < 20


def test_grey_and_transparent_images_become_rgb():
    grey = pixels(0)[..., 0]
    np.testing.assert_array_equal(decode_rgb(encoded(grey)), np.stack([grey] * 3, axis=2))
    clear = np.dstack([pixels(1), np.full((6, 6), 128, dtype=np.uint8)])
    np.testing.assert_array_equal(decode_rgb(encoded(clear)), pixels(1))


@pytest.mark.parametrize("whole", [jpeg(), encoded(pixels(0))])
def test_a_whole_image_may_be_padded_but_not_cut(whole):
    assert image_fault(whole) is None
    assert image_fault(whole + b"\0" * 3) is None
    assert "truncated?" in image_fault(whole[:-1])
    with refused("truncated?"):
        decode_rgb(whole[:-1])


def test_an_image_is_judged_without_a_copy():
    image = feigned_jpeg(bytes(1 << 20))
    tracemalloc.start()
    try:
        assert image_fault(image) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
    finally:
        tracemalloc.stop()


def test_the_beginning_of_a_jpeg_is_not_its_end():
    assert image_fault(b"\xff\xd8\xff\xd9") == "a JPEG without its end marker: truncated?"
    assert image_fault(b"\xff\xd8\xff\xff\xd9") is None


def claimed(width, height):
    """A PNG of a few bytes that claims a size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [4097, 10_000, 60_000])
def test_images_that_unfold_to_billions_of_pixels_are_refused(side):
    with refused("pixels"):
        decode_rgb(claimed(side, side))


@pytest.mark.parametrize("data", [feigned_jpeg(), feigned_jpeg(b"x" * 99), claimed(4, 4)])
def test_broken_images_are_refused_in_one_line(data):
    with refused("image cannot be decoded: "):
        decode_rgb(data)


def test_other_formats_are_refused():
    buffer = io.BytesIO()
    Image.fromarray(pixels(0)).save(buffer, "BMP")
    with refused("neither JPEG nor PNG: begins with 424d"):
        decode_rgb(buffer.getvalue())
