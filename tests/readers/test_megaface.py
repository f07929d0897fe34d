"""MegaFace features and lists, written by hand as the devkit has them."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.readers import (
    FeatureList,
    is_noise,
    read_feature,
    read_feature_list,
    read_features,
    read_noise,
    write_feature,
    write_feature_list,
)
from tests.readers.samples import refused


def raw(*values, head=None):
    head = head or (len(values), 1, 4, 5)
    return struct.pack("<4i", *head) + struct.pack(f"<{len(values)}f", *values)


def test_a_feature_is_a_head_and_its_values(tmp_path):
    path = tmp_path / "a_model.bin"
    write_feature(path, np.array([1.5, -2.0, 3e-9]))
    assert path.read_bytes() == raw(1.5, -2.0, 3e-9)
    feature = read_feature(path)
    assert feature.dtype == np.float32
    np.testing.assert_array_equal(feature, np.float32([1.5, -2.0, 3e-9]))


def test_a_feature_may_lie_as_a_row(tmp_path):
    (tmp_path / "a.bin").write_bytes(raw(1, 2, 3, head=(1, 3, 4, 5)))
    assert read_feature(tmp_path / "a.bin").tolist() == [1, 2, 3]


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_any_finite_feature_comes_back(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("features") / "a.bin"
    write_feature(path, np.array(values, dtype=np.float32))
    assert read_feature(path).tolist() == values


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes, the head of a feature alone takes 16"),
        (raw(1, 2)[:15], "15 bytes, the head of a feature alone takes 16"),
        (raw(1, 2)[:-1], "23 bytes, a feature of length 2 has 24"),
        (raw(1, 2) + b"\0", "25 bytes, a feature of length 2 has 24"),
        (raw(1, 2, head=(2**31 - 1, 1, 4, 5)), "24 bytes, a feature of length 2147483647 has 8589934604"),
        (raw(1, 2, 3, 4, head=(2, 2, 4, 5)), "bytes 0-15 read (2, 2, 4, 5), expected (length, 1, 4, 5)"),
        (raw(1, 2, head=(1, 1, 8, 6)), "bytes 0-15 read (1, 1, 8, 6)"),
        (raw(head=(0, 1, 4, 5)), "bytes 0-15 read (0, 1, 4, 5)"),
        (raw(1, head=(-1, 1, 4, 5)), "bytes 0-15 read (-1, 1, 4, 5)"),
        (raw(1, float("nan")), "byte 20: the feature holds NaN or infinity"),
        (raw(float("inf"), 1), "byte 16: the feature holds NaN or infinity"),
        (b"\0" * (2**22 + 1), "more than 4194304 bytes: no feature"),
    ],
)
def test_a_file_of_another_size_or_head_is_refused(tmp_path, data, why):
    (tmp_path / "a.bin").write_bytes(data)
    with refused("a.bin: ", why):
        read_feature(tmp_path / "a.bin")


PATHS = ("375/37531198@N00/4174_0.jpg", "375/37531198@N00/4174_1.jpg", "925/x/3910_2.jpg")


def feature_folder(folder, values):
    for path, row in zip(PATHS, values, strict=True):
        file = folder / "features" / f"{path}_model.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_feature(file, np.array(row))
    return folder / "features"


def test_features_are_gathered_in_the_order_of_the_list(tmp_path):
    folder = feature_folder(tmp_path, [[1, 2], [3, 4], [5, 6]])
    features = read_features(folder, PATHS[::-1], "_model.bin", tmp_path / "all.npy")
    assert isinstance(features, np.memmap)
    assert features.dtype == np.float32
    assert features.tolist() == [[5, 6], [3, 4], [1, 2]]
    assert np.load(tmp_path / "all.npy").tolist() == features.tolist()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.npy", "features"]


@pytest.mark.parametrize("size", [0, 20])
def test_a_feature_that_cannot_be_read_leaves_no_file(tmp_path, size):
    folder = feature_folder(tmp_path, [[1, 2], [3, 4], [5, 6]])
    file = folder / f"{PATHS[1]}_model.bin"
    file.write_bytes(file.read_bytes()[:size])
    with refused(f"{PATHS[1]}_model.bin: {size} bytes"):
        read_features(folder, PATHS, "_model.bin", tmp_path / "all.npy")
    assert [file.name for file in tmp_path.iterdir()] == ["features"]


def test_a_missing_or_a_longer_feature_is_named(tmp_path):
    folder = feature_folder(tmp_path, [[1, 2], [3, 4, 5], [5, 6]])
    with refused(f"{PATHS[1]}_model.bin: length 3, the feature of {PATHS[0]} has 2"):
        read_features(folder, PATHS, "_model.bin", tmp_path / "all.npy")
    with refused(f"{PATHS[0]}_other.bin: no such feature; do folder and suffix fit?"):
        read_features(folder, PATHS, "_other.bin", tmp_path / "all.npy")
    with refused("paths is empty"):
        read_features(folder, [], "_model.bin", tmp_path / "all.npy")


@pytest.mark.parametrize("ids", [(), ("Al_Pacino", "Al_Pacino", "Amy_Adams")])
def test_lists_come_back(tmp_path, ids):
    images = FeatureList(PATHS, ids)
    write_feature_list(tmp_path / "list.json_3_1", images)
    assert read_feature_list(tmp_path / "list.json_3_1") == images
    assert len(images) == 3


def test_a_list_of_the_devkit_is_read(tmp_path):
    (tmp_path / "list").write_text(
        '{\n"path": [\n"A_B/A_B_1.png", "A_B/A_B_2.png"\n],\n"id": ["A_B", 7]\n}\n'
    )
    assert read_feature_list(tmp_path / "list") == FeatureList(
        ("A_B/A_B_1.png", "A_B/A_B_2.png"), ("A_B", "7")
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON: "),
        ('{"path": ["a"', "no JSON: "),
        ("[" * 100_000, "no JSON: "),
        (b"\xff\xfe\xff", "no JSON: "),
        ('["a"]', 'expected an object with a list "path"'),
        ('{"paths": ["a"]}', 'expected an object with a list "path"'),
        ('{"path": []}', 'expected an object with a list "path"'),
        ('{"path": ["a", 7]}', '"path" 1 is int, expected text'),
        ('{"path": ["a", "b"], "id": ["x"]}', "1 ids for 2 paths"),
        ('{"path": ["a"], "id": [true]}', '"id" 0 is bool, expected text'),
        ('{"path": ["a"], "id": {}}', 'expected an object with a list "id"'),
        ('{"path": ["a", "../../etc/passwd"]}', "path 1, '../../etc/passwd', is not below"),
        ('{"path": ["/etc/passwd"]}', "path 0, '/etc/passwd', is not below"),
        ('{"path": [""]}', "path 0, '', is not below"),
        (json.dumps({"path": ["a\\..\\b"]}), "is not below the folder"),
        (json.dumps({"path": ["a\0b"]}), "is not below the folder"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, text, why):
    (tmp_path / "list").write_bytes(text if isinstance(text, bytes) else text.encode())
    with refused("list: ", why):
        read_feature_list(tmp_path / "list")


def test_a_list_of_more_than_128_mebibytes_is_refused(tmp_path):
    with (tmp_path / "list").open("wb") as file:
        file.truncate((1 << 27) + 1)
    with refused("list: 134217729 bytes: more than 134217728 is no list"):
        read_feature_list(tmp_path / "list")


def test_noise_lists_hold_comments_numbers_and_repetitions(tmp_path):
    (tmp_path / "noise.txt").write_text(
        "#rules of use\nAaron_Eckhart_136.png\n12\tOlivia_d'Abo_18077.png\n\nAaron_Eckhart_136.png\n"
    )
    assert read_noise(tmp_path / "noise.txt") == {"Aaron_Eckhart_136.png", "Olivia_d'Abo_18077.png"}


def test_noise_is_matched_at_the_end_of_a_path_and_between_slashes():
    noise = frozenset({"Aaron_Eckhart_136.png", "375/37531198@N00/4174_1.jpg"})
    paths = ["Aaron_Eckhart/Aaron_Eckhart_136.png", "Not_Aaron_Eckhart_136.png", *PATHS, "x/" + PATHS[1]]
    assert is_noise(paths, noise).tolist() == [True, False, False, True, False, True]
    assert is_noise(paths, frozenset()).tolist() == [False] * 6
    assert is_noise([], noise).dtype == bool
