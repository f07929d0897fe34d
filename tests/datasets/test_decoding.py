"""Encoded images: which pixels they have, and what is refused."""

from __future__ import annotations

import io
import random
import struct
import threading
import time

import numpy as np
import pytest
from PIL import Image

from lossbench.datasets import decoding
from lossbench.datasets import threads as threads_module
from lossbench.datasets.decoding import Pixels, decode_all


def refusal(path, channels=3):
    with pytest.raises(ValueError, match=r"\S") as raised:
        pixels_of(path, channels)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def pixels_of(path, channels=3, size=(4, 4), **options):
    data = path if isinstance(path, bytes) else path.read_bytes()
    return Pixels(height=size[0], width=size[1], channels=channels, **options).decode(data)


def drawing(channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (4, 4, channels), dtype=np.uint8).squeeze()


def encoded(array, kind="PNG"):
    held = io.BytesIO()
    Image.fromarray(array).save(held, kind)
    return held.getvalue()


def test_images_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    for name, array in (("rgb.png", drawing()), ("deep.tif", drawing(1).astype(np.uint16) * 257)):
        Image.fromarray(array).save(tmp_path / name, exif=exif)
        expected = np.rot90(array if array.ndim == 3 else drawing(1)[..., None], -1)
        found = pixels_of(tmp_path / name, channels=expected.shape[2])
        np.testing.assert_array_equal(found, expected)


SIXTEEN = np.array([[0, 128, 129, 255], [256, 257, 4096, 32767], [32768, 40000, 60000, 65534], [65535] * 4])


@pytest.mark.parametrize("name", ["a.png", "a.pgm", "little.tif", "big.tif"])
def test_sixteen_bits_become_eight(tmp_path, name):
    path = tmp_path / name
    if name == "a.pgm":
        path.write_bytes(b"P5 4 4 65535\n" + SIXTEEN.astype(">u2").tobytes())
    elif name == "big.tif":
        tags = [(256, 4), (257, 4), (258, 16), (259, 1), (262, 1), (273, 122), (277, 1), (278, 4), (279, 32)]
        entries = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
        head = b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries + bytes(4)
        path.write_bytes(head + SIXTEEN.astype(">u2").tobytes())
    else:
        Image.fromarray(SIXTEEN.astype(np.uint16)).save(path)
    expected = np.round(SIXTEEN / 257).astype(np.uint8)
    np.testing.assert_array_equal(pixels_of(path, channels=1)[..., 0], expected)
    np.testing.assert_array_equal(pixels_of(path), np.stack([expected] * 3, axis=2))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.float32(0.5), "floating point values have no known range"),
        (np.int32(65536), "values 0 to 65536: expected 0 to 65535"),
        (np.int32(-1), "values -1 to 0: expected 0 to 65535"),
    ],
)
def test_values_without_a_known_range_are_refused(tmp_path, value, why):
    array = np.zeros((4, 4), dtype=value.dtype)
    array[1, 2] = value
    Image.fromarray(array).save(tmp_path / "a.tif")
    assert f"cannot be read as an image ({why}" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "TGA", "PDF"])
def test_other_formats_are_refused_whatever_their_name(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was run"))
    Image.fromarray(drawing()).save(tmp_path / "a", kind)
    (tmp_path / "a").rename(tmp_path / "a.png")
    assert "none of BMP, GIF, JPEG" in refusal(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_every_format_of_the_suffixes_is_read_whatever_its_name(tmp_path, kind):
    Image.new("RGB", (4, 4), (200, 40, 90)).save(tmp_path / "a", kind)
    (tmp_path / "a").rename(tmp_path / "a.bmp")
    assert abs(pixels_of(tmp_path / "a.bmp").astype(int) - [200, 40, 90]).max() < 8


def test_cyan_magenta_yellow_black_becomes_red_green_blue(tmp_path):
    for name in ("a.tif", "a.jpg"):
        Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / name)
        assert abs(pixels_of(tmp_path / name).astype(int) - [255, 0, 0]).max() < 4
        assert abs(pixels_of(tmp_path / name, channels=1).astype(int) - 76).max() < 4


def palette(transparency):
    """Left half red, right half a black that is transparent."""
    image = Image.new("P", (4, 4))
    image.putpalette([255, 0, 0, 0, 0, 0])
    image.paste(1, (2, 0, 4, 4))
    image.info["transparency"] = transparency
    return image


def clear(mode):
    array = np.zeros((4, 4, 4), dtype=np.uint8)
    array[:, :2] = 255, 0, 0, 255
    return Image.fromarray(array).convert(mode)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (palette(1), "a.gif"),
        (palette(1), "a.png"),
        (palette(b"\xff\x00"), "a.png"),
        (clear("RGBA"), "a.png"),
        (clear("RGBA"), "a.tif"),
    ],
    ids=["gif", "png", "png of two alphas", "rgba", "rgba tiff"],
)
def test_what_is_transparent_lies_on_white(tmp_path, image, name):
    options = {"transparency": image.info["transparency"]} if image.mode == "P" else {}
    image.save(tmp_path / name, **options)
    found = pixels_of(tmp_path / name)
    assert (found[:, :2] == [255, 0, 0]).all()
    assert (found[:, 2:] == 255).all()
    grey = pixels_of(tmp_path / name, channels=1)
    assert (grey[:, :2] == 76).all()
    assert (grey[:, 2:] == 255).all()


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_the_first_of_several_frames_is_read(tmp_path, name):
    first, *others = (Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue"))
    options = {"lossless": True} if name == "a.webp" else {}
    first.save(tmp_path / name, save_all=True, append_images=others, **options)
    with Image.open(tmp_path / name) as image:
        assert image.n_frames == 3
    assert (pixels_of(tmp_path / name) == [255, 0, 0]).all()


@pytest.mark.parametrize("error", [TypeError, SyntaxError, ValueError, OSError, struct.error])
def test_whatever_pillow_raises_for_a_damaged_file_is_one_line(tmp_path, monkeypatch, error):
    def broken(image, **_):
        raise error("broken\nchunk")

    monkeypatch.setattr(decoding.ImageOps, "exif_transpose", broken)
    Image.fromarray(drawing()).save(tmp_path / "a.png")
    assert refusal(tmp_path / "a.png") == "cannot be read as an image (broken chunk)"


@pytest.mark.filterwarnings("ignore")  # Pillow's, about what it repairs
@pytest.mark.parametrize("name", ["a.bmp", "a.gif", "a.jpg", "a.png", "a.ppm", "a.tif", "a.webp"])
def test_damaged_files_are_read_or_refused_but_never_crash(tmp_path, name):
    Image.fromarray(drawing()).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    generator = random.Random(0)
    refusals = []
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(generator.randrange(1, 4)):
            data[generator.randrange(len(data))] = generator.choice([0, 1, 255, generator.randrange(256)])
        (tmp_path / name).write_bytes(data)
        try:
            assert pixels_of(tmp_path / name).shape == (4, 4, 3)
        except ValueError as error:
            refusals.append(str(error))
    assert refusals
    assert not any("\n" in refusal for refusal in refusals)


def ramp(height, width):
    """Red tells the column, green the row."""
    array = np.zeros((height, width, 3), dtype=np.uint8)
    array[..., 0], array[..., 1] = np.arange(width), np.arange(height)[:, None]
    return array


def test_a_box_is_cut_out_before_resizing():
    array = ramp(20, 30)
    found = pixels_of(encoded(array), size=(4, 8), box=[5, 10, 13, 14])
    np.testing.assert_array_equal(found, array[10:14, 5:13])
    with pytest.raises(ValueError, match=r"30x20 pixels do not hold box=\[5, 10, 31, 14\]"):
        pixels_of(encoded(array), box=[5, 10, 31, 14])


def test_cover_cuts_the_longer_side_equally_on_both_ends():
    np.testing.assert_array_equal(pixels_of(encoded(ramp(4, 10)), fit="cover"), ramp(4, 10)[:, 3:7])
    np.testing.assert_array_equal(pixels_of(encoded(ramp(8, 4)), fit="cover"), ramp(8, 4)[2:6])


def test_contain_adds_black_equally_on_both_sides():
    white = np.full((4, 8, 3), 255, dtype=np.uint8)
    found = pixels_of(encoded(white), size=(8, 8), fit="contain")
    assert (found[2:6] == 255).all()
    assert found[:2].max() == found[6:].max() == 0


def test_stretch_leaves_nothing_out():
    found = pixels_of(encoded(ramp(4, 8)), size=(4, 4)).astype(int)
    assert abs(found[0, :, 0] - [0.5, 2.5, 4.5, 6.5]).max() <= 1


def test_a_box_is_in_pixels_of_the_upright_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp(20, 30)).save(tmp_path / "a.png", exif=exif)
    found = pixels_of(tmp_path / "a.png", box=[16, 26, 20, 30])
    np.testing.assert_array_equal(found, np.rot90(ramp(20, 30), -1)[26:30, 16:20])


@pytest.mark.parametrize(
    "option",
    [
        *({"height": value} for value in (0, -1, 1.5, 5000)),
        *({"channels": value} for value in (0, 2, 4)),
        {"fit": "squeeze"},
        *({"box": value} for value in ([], [0, 0, 1], [2, 0, 2, 4], [0, 4, 4, 2])),
        *({"box": value} for value in ([-1, 0, 2, 2], [0, 0, 1.5, 2])),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(option):
    ((name, _),) = option.items()
    with pytest.raises(ValueError, match=f"^{name}="):
        Pixels(**{"height": 4, "width": 4, "channels": 3, **option})


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch):
    data = encoded(drawing())
    monkeypatch.setattr(decoding, "MOST_PIXELS", 15)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="4x4 pixels: over 15 are refused"):
        pixels_of(data)


def test_many_images_are_decoded_whatever_the_threads(monkeypatch):
    monkeypatch.setattr(decoding, "_CHUNK", 500)
    files = [(row, encoded(drawing(seed=row)) if row % 7 else b"no image") for row in range(100)]
    for threads in (1, 3):
        monkeypatch.setattr(threads_module, "cores", lambda threads=threads: threads)
        images, broken = {}, {}
        for part in decode_all(files, Pixels(height=4, width=4, channels=3)):
            images |= dict(zip(part.rows, part.images, strict=True))
            broken |= part.broken
        assert sorted([*images, *broken]) == list(range(100))
        assert set(broken) == set(range(0, 100, 7))
        assert "none of BMP, GIF, JPEG" in broken[0]
        for row, image in images.items():
            np.testing.assert_array_equal(image, drawing(seed=row))


def test_files_are_read_no_further_than_needed_and_threads_end(monkeypatch):
    monkeypatch.setattr(decoding, "_CHUNK", 1)
    monkeypatch.setattr(threads_module, "cores", lambda: 2)
    taken = []

    def files():
        for row in range(1000):
            taken.append(row)
            yield row, encoded(drawing())

    parts = decode_all(files(), Pixels(height=4, width=4, channels=3))
    for _ in range(3):
        next(parts)
    assert len(taken) <= 8
    before = threading.active_count()
    start = time.perf_counter()
    parts.close()
    assert time.perf_counter() - start < 5
    assert threading.active_count() < before
