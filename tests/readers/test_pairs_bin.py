"""Verification pairs in every shape that such files have come in, and in some that they must not have."""

from __future__ import annotations

import os
import pickle
import struct

import numpy as np
import pytest

from lossbench.readers import decode_rgb, pairs_bin, read_pairs_bin, write_pairs_bin
from tests.readers.samples import encoded, feigned_jpeg, jpeg, pixels, refused

IMAGES = [feigned_jpeg(bytes([i])) for i in range(6)]
SAME = [True, False, True]


def array(data):
    return np.frombuffer(data, dtype=np.uint8)


def dumped(folder, value, protocol=4):
    (folder / "lfw.bin").write_bytes(pickle.dumps(value, protocol))
    return folder / "lfw.bin"


def test_what_is_written_is_read(tmp_path):
    images = [jpeg(0), encoded(pixels(1)), jpeg(2), jpeg(3)]
    write_pairs_bin(tmp_path / "own.bin", images, [True, False])
    pairs = read_pairs_bin(tmp_path / "own.bin")
    assert pairs.images == images
    assert pairs.same.tolist() == [True, False]
    assert pairs.same.dtype == bool
    assert len(pairs) == 2
    np.testing.assert_array_equal(decode_rgb(pairs.images[1]), pixels(1))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("images", "same"),
    [
        (IMAGES, SAME),
        (tuple(IMAGES), tuple(SAME)),
        (list(map(array, IMAGES)), SAME),
        ([array(image).reshape(-1, 1) for image in IMAGES], SAME),
        (IMAGES, np.array(SAME)),
        (IMAGES, list(np.array(SAME))),
        (IMAGES, [1, 0, 1]),
        (IMAGES, np.array([1, 0, 1])),
    ],
    ids=["bytes", "tuples", "arrays", "columns", "bool array", "bool scalars", "integers", "integer array"],
)
def test_images_and_truths_come_in_many_types(tmp_path, images, same, protocol):
    for value in ((images, same), [images, same]):
        pairs = read_pairs_bin(dumped(tmp_path, value, protocol))
        assert pairs.images == IMAGES
        assert pairs.same.tolist() == SAME
        assert all(type(image) is bytes for image in pairs.images)


@pytest.mark.parametrize("protocol", [0, 2])
def test_files_of_python_2_are_read(tmp_path, protocol):
    """As its pickle module writes ([str, str], [bool])."""
    one, other = b"\xff\xd8\xff'\\\n\xff\xd9", b"\xff\xd8\xff\x00\xff\xd9"
    if protocol == 0:
        data = b'((lp0\nS"\\xff\\xd8\\xff\'\\\\\\n\\xff\\xd9"\np1\na'
        data += b"S'\\xff\\xd8\\xff\\x00\\xff\\xd9'\np2\na(lp3\nI01\natp4\n."
    else:
        strings = b"".join(b"U" + bytes([len(image)]) + image for image in (one, other))
        data = b"\x80\x02]q\x00(" + strings + b"e]q\x01\x88a\x86q\x02."
    (tmp_path / "lfw.bin").write_bytes(data)
    assert pickle.loads(data, encoding="bytes") == ([one, other], [True])
    assert read_pairs_bin(tmp_path / "lfw.bin").images == [one, other]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (IMAGES, "the pickle holds list of 6, expected (images, same)"),
        ((IMAGES, SAME, SAME), "the pickle holds tuple of 3, expected"),
        (7, "the pickle holds int, expected"),
        (b"\xff\xd8", "the pickle holds bytes of 2, expected"),
        ((7, SAME), "images is int, expected a list of encoded images"),
        ((array(b"abc"), SAME), "images is an array (3,) of uint8, expected a list"),
        ((IMAGES, None), "same is NoneType, expected a list of truths"),
        ((IMAGES, [True, False, 2]), "same is list of 3, expected a list of truths"),
        ((IMAGES, [True, False, b"1"]), "same is list of 3, expected a list of truths"),
        ((IMAGES, np.array([[True, False, True]])), "same is an array (1, 3) of bool, expected"),
        ((IMAGES, np.array([7, 0, 1], dtype=np.uint8).view(bool)), "same is an array (3,) of bool, expected"),
        ((IMAGES[:5], SAME), "5 images for 3 pairs, expected 6"),
        ((IMAGES, SAME[:2]), "6 images for 2 pairs, expected 4"),
        (([*IMAGES[:5], b"GIF89a"], SAME), "image 5: neither JPEG nor PNG: begins with 474946383961"),
        (([*IMAGES[:5], None], SAME), "image 5: NoneType"),
        (([*IMAGES[:5], "\xff\xd8\xff\xff\xd9"], SAME), "image 5: str of 5"),
        (([*IMAGES[:5], [IMAGES[5]]], SAME), "image 5: list of 1"),
        (([*IMAGES[:5], np.arange(4)], SAME), "image 5: an array (4,) of int64"),
        (([IMAGES[0][:-2], *IMAGES[1:]], SAME), "image 0: a JPEG without its end marker"),
    ],
)
def test_other_structures_are_refused(tmp_path, value, why):
    with refused("lfw.bin: ", why):
        read_pairs_bin(dumped(tmp_path, value))


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("place", range(3))
def test_a_hostile_file_is_refused_and_does_nothing(tmp_path, place):
    touch = Touch(tmp_path / "ran")
    value = [(touch, SAME), ([*IMAGES[:5], touch], SAME), (IMAGES, [True, touch])][place]
    with refused("lfw.bin: byte ", "the pickle names posix.system: only data is read"):
        read_pairs_bin(dumped(tmp_path, value))
    assert not (tmp_path / "ran").exists()


def test_arrays_that_share_their_bytes_cannot_fill_the_memory(tmp_path):
    """A file of 150 kB whose 1000 images would take 100 MB."""
    image = feigned_jpeg(b"a" * 99_995)
    uint8 = pickle.dumps(np.dtype("u1"), 2)[2:-1]
    call, shape = b"cnumpy.core.numeric\n_frombuffer\n(", b"J\xa0\x86\x01\x00\x85X\x01\x00\x00\x00CtR"
    first = call + b"B" + struct.pack("<I", 100_000) + image + b"q\x20" + uint8 + b"q\x21" + shape
    again = call + b"h\x20h\x21" + shape
    for times, fits in ((2, True), (1000, False)):
        (tmp_path / "lfw.bin").write_bytes(
            b"(" + first + again * (times - 1) + b"l(" + b"\x88" * (times // 2) + b"l\x86."
        )
        if fits:
            assert read_pairs_bin(tmp_path / "lfw.bin").images == [image] * 2
        else:
            with refused("lfw.bin: byte ", "more bytes are made than the file holds"):
                read_pairs_bin(tmp_path / "lfw.bin")


def test_an_image_that_stands_there_often_is_held_once(tmp_path):
    same_array = array(IMAGES[0])
    pairs = read_pairs_bin(dumped(tmp_path, ([same_array] * 4, [True, True])))
    assert len({id(image) for image in pairs.images}) == 1


def test_an_image_that_stands_there_often_is_copied_and_judged_once(tmp_path, monkeypatch):
    judged, copied = [], []
    fault, copy = pairs_bin.image_fault, pairs_bin._bytes
    monkeypatch.setattr(pairs_bin, "image_fault", lambda image: judged.append(image) or fault(image))
    monkeypatch.setattr(pairs_bin, "_bytes", lambda entry: copied.append(entry) or copy(entry))
    one, other = array(IMAGES[0]), IMAGES[1]
    pairs = read_pairs_bin(dumped(tmp_path, ([one, other] * 500, [True] * 500)))
    assert pairs.images == IMAGES[:2] * 500
    assert len(judged) == len(copied) == 2


def test_other_numbers_of_images_are_not_written(tmp_path):
    with refused("5 images for 3 pairs: give two images per pair"):
        write_pairs_bin(tmp_path / "lfw.bin", IMAGES[:5], SAME)
