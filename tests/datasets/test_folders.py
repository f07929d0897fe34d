"""Which files of a folder are images of whom, and which pixels they have."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lossbench.datasets import folders
from lossbench.datasets.folders import find_images, read_image, read_images


def touched(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def names_of(found, root):
    return [(identity, path.relative_to(root).as_posix()) for identity, path in found.files]


def refusal(path, channels=3):
    with pytest.raises(ValueError, match=r"\S") as raised:
        read_image(path, channels=channels, height=4, width=4)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def pixels_of(path, channels=3, size=(4, 4)):
    return read_image(path, channels=channels, height=size[0], width=size[1])


def drawing(channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (4, 4, channels), dtype=np.uint8).squeeze()


def test_images_are_sorted_and_other_files_counted(tmp_path):
    touched(tmp_path, "b/2.png", "b/10.JPG", "a/x/1.webp", "a/1.tiff", "c/notes.txt")
    touched(tmp_path, "loose.png", "a/._1.png", ".hidden/1.png", "a/.git/1.png")
    found = find_images(tmp_path)
    expected = [("a", "a/1.tiff"), ("a", "a/x/1.webp"), ("b", "b/10.JPG"), ("b", "b/2.png")]
    assert names_of(found, tmp_path) == expected
    assert found.passed_over == 5


def test_a_folder_without_images_is_refused(tmp_path):
    for folder, why in ((tmp_path / "none", "no such folder"), (touched(tmp_path, "a.png"), "no images in")):
        with pytest.raises(ValueError, match=why):
            find_images(folder)


def test_linked_identities_folders_and_files_are_read(tmp_path):
    root = touched(tmp_path / "root", "a/1.png")
    touched(tmp_path / "elsewhere", "b/2.png", "more/3.png", "4.png")
    (root / "b").symlink_to(tmp_path / "elsewhere/b")
    (root / "a/more").symlink_to(tmp_path / "elsewhere/more")
    (root / "a/4.png").symlink_to(tmp_path / "elsewhere/4.png")
    found = find_images(root)
    assert names_of(found, root) == [
        ("a", "a/1.png"),
        ("a", "a/4.png"),
        ("a", "a/more/3.png"),
        ("b", "b/2.png"),
    ]
    assert found.passed_over == 0


@pytest.mark.parametrize("target", [".", "..", "a", "a/deep", "../root"])
@pytest.mark.parametrize("place", ["z", "a/z", "a/deep/z"])
def test_links_that_lead_back_are_passed_over(tmp_path, target, place):
    root = touched(tmp_path / "root", "a/1.png", "a/deep/2.png")
    (root / place).symlink_to(root / target)
    found = find_images(root)
    own = [(identity, name) for identity, name in names_of(found, root) if identity == "a"]
    assert own == [("a", "a/1.png"), ("a", "a/deep/2.png")]
    # An identity of its own may be another name for a folder; anything else is a loop.
    another = place == "z" and target.startswith("a")
    assert found.passed_over == (not another)
    assert len(found.files) == 2 + (another and {"a": 2, "a/deep": 1}[target])


def test_links_that_branch_at_every_level_do_not_multiply(tmp_path):
    root = tmp_path / "root"
    for level in range(30):
        touched(root.parent / f"level{level}", f"{level}.png")
        for way in "xy":
            (root.parent / f"level{level}" / way).symlink_to(root.parent / f"level{level + 1}")
    touched(root.parent / "level30", "30.png")
    root.mkdir()
    (root / "a").symlink_to(root.parent / "level0")
    found = find_images(root)
    assert (len(found.files), found.passed_over) == (31, 30)


def test_links_to_nothing_pipes_and_links_to_themselves_are_counted(tmp_path):
    root = touched(tmp_path, "a/1.png")
    (root / "a/gone.png").symlink_to(root / "nowhere.png")
    (root / "a/self.png").symlink_to(root / "a/self.png")
    (root / "b").symlink_to(root / "b")
    os.mkfifo(root / "a/pipe.png")
    found = find_images(root)
    assert names_of(found, root) == [("a", "a/1.png")]
    assert found.passed_over == 4


@pytest.mark.parametrize("closed", [".", "a", "a/deep"])
def test_a_folder_that_cannot_be_listed_is_told_of(tmp_path, monkeypatch, closed):
    touched(tmp_path, "a/1.png", "a/deep/2.png")
    scandir = os.scandir

    def refusing(place):
        if Path(place) == tmp_path / closed:
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ValueError, match=r"cannot be listed \(Permission denied\)"):
        find_images(tmp_path)


def test_blocks_are_the_images_in_order(tmp_path):
    files = []
    for number in range(5):
        Image.fromarray(drawing(seed=number)).save(tmp_path / f"{number}.png")
        files.append(("a", tmp_path / f"{number}.png"))
    blocks = list(read_images(files, shape=(3, 4, 4), block=2))
    assert [len(block) for block in blocks] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), [drawing(seed=number) for number in range(5)])


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
    assert f"a.tif: cannot be read as an image ({why}" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "TGA", "PDF"])
def test_other_formats_are_refused_whatever_their_name(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was run"))
    Image.fromarray(drawing()).save(tmp_path / "a", kind)
    (tmp_path / "a").rename(tmp_path / "a.png")
    assert "cannot identify image file" in refusal(tmp_path / "a.png")


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
    def broken(image):
        raise error("broken\nchunk")

    monkeypatch.setattr(folders.ImageOps, "exif_transpose", broken)
    Image.fromarray(drawing()).save(tmp_path / "a.png")
    assert refusal(tmp_path / "a.png").endswith("a.png: cannot be read as an image (broken chunk)")


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
