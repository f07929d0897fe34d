"""Training sets: what is written is read, what disagrees with itself is refused, whatever the bytes."""

from __future__ import annotations

import hashlib
import pickle
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.readers import RecordFile, decode_rgb, write_records
from lossbench.readers.recordio.framing import framed
from tests.readers.samples import MAGIC, encoded, feigned_jpeg, pixels, refused

LABELS = [4, 4, 4, 0, 0, 2]
bodies = st.lists(st.one_of(st.just(MAGIC), st.binary(max_size=7)), max_size=8).map(b"".join)


def payload(labels, image=b"", key=0):
    """Head and labels as MXNet packs them: one in the head, several after it."""
    if isinstance(labels, list):
        return struct.pack("<IfQQ", len(labels), 0, key, 0) + struct.pack(f"<{len(labels)}f", *labels) + image
    return struct.pack("<IfQQ", 0, labels, key, 0) + image


def write_raw(folder, records, *, declared=None):
    """Write records, key -> payload, in the order given."""
    data, lines = b"", []
    for key, content in records.items():
        lines.append(f"{key}\t{len(data)}\n")
        data += framed(content)
    (folder / "train.rec").write_bytes(data)
    (folder / "train.idx").write_text("".join(lines))
    if declared:
        (folder / "property").write_text(declared)
    return folder / "train.rec"


def one_set(folder, **changes):
    """Two identities, keys 1-2 and 3, in records that ``changes`` (k3=...) replaces."""
    records = {
        0: payload([4, 6]),
        1: payload(7, feigned_jpeg(b"1")),
        2: payload(7, feigned_jpeg(b"2")),
        3: payload(5, feigned_jpeg(b"3")),
        4: payload([1, 3]),
        5: payload([3, 4]),
    }
    records.update({int(name[1:]): content for name, content in changes.items()})
    return write_raw(folder, {key: content for key, content in records.items() if content is not None})


def read_all(path):
    records = RecordFile(path)
    images = [records.image_bytes(key) for key in records.images.tolist()]
    return images, records.labels.tolist(), records.identities.tolist()


def refusal(path):
    """Why a set is refused, "" if it is read."""
    try:
        read_all(path)
    except ValueError as error:
        return str(error)
    return ""


@settings(deadline=None)
@given(st.lists(bodies, min_size=len(LABELS), max_size=len(LABELS)))
def test_images_with_the_magic_anywhere_come_back(tmp_path_factory, several):
    path = tmp_path_factory.mktemp("set") / "train.rec"
    images = [feigned_jpeg(body) for body in several]
    write_records(path, images, LABELS, height=6, width=6)
    assert read_all(path) == (images, LABELS, [[7, 1, 4], [8, 4, 6], [9, 6, 7]])


def test_the_first_bytes_of_a_set_are_those_of_the_format(tmp_path):
    write_records(tmp_path / "train.rec", [feigned_jpeg(b"x")], [3], height=112, width=96)
    data = (tmp_path / "train.rec").read_bytes()
    header = "0a23d7ce 20000000 02000000 00000000 0000000000000000 0000000000000000 00000040 00004040"
    image = "0a23d7ce 1e000000 00000000 00004040 0100000000000000 0000000000000000 ffd8ff78ffd9 0000"
    identity = "0a23d7ce 20000000 02000000 00000000 0200000000000000 0000000000000000 0000803f 00000040"
    assert data.hex() == (header + image + identity).replace(" ", "")
    assert (tmp_path / "train.idx").read_text() == "0\t0\n1\t40\n2\t80\n"
    assert (tmp_path / "property").read_text() == "4,112,96\n"


def test_declared_numbers_and_digests_are_those_of_the_files(tmp_path):
    write_records(tmp_path / "train.rec", [feigned_jpeg()] * 6, LABELS, height=112, width=96)
    records = RecordFile(tmp_path / "train.rec")
    assert records.declared == (5, 112, 96)
    assert records.images.tolist() == [1, 2, 3, 4, 5, 6]
    for name in ("train.rec", "train.idx", "property"):
        assert records.sha256[name] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_real_images_come_back_pixel_by_pixel(tmp_path):
    arrays = [pixels(seed) for seed in range(3)]
    write_records(tmp_path / "train.rec", map(encoded, arrays), [0, 1, 2], height=6, width=6)
    records = RecordFile(tmp_path / "train.rec")
    for key, array in zip(records.images.tolist(), arrays, strict=True):
        np.testing.assert_array_equal(decode_rgb(records.image_bytes(key)), array)


def test_without_header_every_key_is_an_image(tmp_path):
    images = [feigned_jpeg(bytes([i])) for i in range(3)]
    write_records(tmp_path / "train.rec", images, [1, 0, 1], height=6, width=6, identities=False)
    assert RecordFile(tmp_path / "train.rec").images.tolist() == [0, 1, 2]
    assert read_all(tmp_path / "train.rec") == (images, [1, 0, 1], [])


def test_an_image_at_key_0_with_several_labels_is_no_header(tmp_path):
    records = {0: payload([3, 1], feigned_jpeg(b"a")), 1: payload([2, 1], feigned_jpeg(b"b"))}
    images, labels, _ = read_all(write_raw(tmp_path, records))
    assert images == [feigned_jpeg(b"a"), feigned_jpeg(b"b")]
    assert labels == [3, 2]


def test_the_class_of_an_image_with_several_labels_is_the_first(tmp_path):
    several = {f"k{key}": payload([7.0, 0.5, 9.0], feigned_jpeg(b"z")) for key in (1, 2)}
    _, labels, identities = read_all(one_set(tmp_path, **several))
    assert labels == [7, 7, 5]
    assert identities == [[4, 1, 3], [5, 3, 4]]


def test_a_magic_inside_the_head_of_a_payload_hides_no_label(tmp_path):
    word = 0xCED7230A
    image = feigned_jpeg(b"q")
    heads = [
        struct.pack("<IfQQ", 0, 2, word, 0) + image,
        struct.pack("<IfQQ", 0, 2, 0, word << 32) + image,
        struct.pack("<IfQQ", 2, 0, 0, word) + struct.pack("<2f", 2, 0) + image,
        struct.pack("<IfQQ", 2, 0, 0, 0) + struct.pack("<f", 2) + MAGIC + image,
    ]
    images, labels, _ = read_all(write_raw(tmp_path, dict(enumerate(heads))))
    assert images == [image] * 4
    assert labels == [2, 2, 2, 2]


def test_keys_may_stand_in_any_order(tmp_path):
    keys = [3, 0, 2, 1, 5, 4]
    one_set(tmp_path)
    lines = (tmp_path / "train.idx").read_text().splitlines()
    whole = read_all(tmp_path / "train.rec")
    contents = {0: payload([4, 6]), 4: payload([1, 3]), 5: payload([3, 4])}
    contents |= {key: payload(7 if key < 3 else 5, feigned_jpeg(str(key).encode())) for key in (1, 2, 3)}
    path = write_raw(tmp_path, {key: contents[key] for key in keys})
    assert (tmp_path / "train.idx").read_text().splitlines() != lines
    assert read_all(path) == whole


@pytest.mark.parametrize("first", range(2**24 - 6, 2**24 + 6))
@pytest.mark.parametrize("lengths", [(1, 1, 1, 1), (3, 1, 2), (2, 5, 1)])
def test_beyond_two_to_the_24_the_index_is_trusted_over_float_labels(tmp_path, first, lengths):
    """Header and ranges hold keys as float32, which above 2**24 names only every other one."""
    starts = np.cumsum([first, *lengths]).tolist()
    records = dict.fromkeys(range(starts[0], starts[-1]))
    for identity, (start, stop) in enumerate(pairwise(starts)):
        records |= {key: payload(identity, feigned_jpeg(b"%d" % key)) for key in range(start, stop)}
    end = starts[-1] + len(lengths)
    claims = {starts[-1] + i: payload([starts[i], starts[i + 1]]) for i in range(len(lengths))}
    found = RecordFile(write_raw(tmp_path, {0: payload([starts[-1], end]), **records, **claims}))
    assert found.images.tolist() == list(records)
    assert found.identities.tolist() == [
        [starts[-1] + i, starts[i], starts[i + 1]] for i in range(len(lengths))
    ]
    assert found.image_bytes(first) == feigned_jpeg(b"%d" % first)


def test_labels_asked_for_at_once_and_one_by_one_agree(tmp_path):
    path = one_set(tmp_path, k2=payload([7, 1], feigned_jpeg(MAGIC * 3)))
    records = RecordFile(path)
    assert records.labels.tolist() == [records.label(key) for key in records.images.tolist()] == [7, 7, 5]
    assert records.labels.dtype == np.int64


def test_an_identity_without_images_has_an_empty_range(tmp_path):
    path = one_set(tmp_path, k0=payload([4, 7]), k5=payload([3, 3]), k6=payload([3, 4]))
    assert RecordFile(path).identities.tolist() == [[4, 1, 3], [5, 3, 3], [6, 3, 4]]


def test_a_pickled_record_file_leaves_its_mapping_behind(tmp_path):
    path = tmp_path / "train.rec"
    write_records(path, [feigned_jpeg(b"x" * 100_000)] * 6, LABELS, height=6, width=6)
    records = RecordFile(path)
    records.image_bytes(1)
    again = pickle.dumps(records)
    assert len(again) < 10_000
    assert pickle.loads(again).image_bytes(1) == records.image_bytes(1)


def test_opening_a_set_reads_a_few_records_only(tmp_path):
    path = tmp_path / "train.rec"
    write_records(path, [feigned_jpeg()] * 6, LABELS, height=6, width=6)
    data = bytearray(path.read_bytes())
    data[200:208] = b"notmagic"
    path.write_bytes(data)
    assert len(RecordFile(path).images) == 6


IMAGE = feigned_jpeg(b"2")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"k2": payload(7, b"GIF89a..")}, ["byte 80: key 2: neither JPEG nor PNG: begins with 4749463839"]),
        ({"k2": payload(7, IMAGE[:-1])}, ["byte 80: key 2: a JPEG without its end marker"]),
        ({"k2": payload(7, encoded(pixels(0))[:-9])}, ["byte 80: key 2: a PNG without its end chunk"]),
        ({"k2": payload(7)}, ["byte 80: key 2: no image: empty"]),
        ({"k2": payload(1.5, IMAGE)}, ["byte 80: label 1.5, expected an integer in 0..16777215"]),
        ({"k2": payload(-1, IMAGE)}, ["byte 80: label -1, expected"]),
        ({"k2": payload(float("nan"), IMAGE)}, ["byte 80: label nan, expected"]),
        ({"k2": payload(float("inf"), IMAGE)}, ["byte 80: label inf, expected"]),
        ({"k2": payload(2**24, IMAGE)}, ["byte 80: label 1.67772e+07, expected"]),
        ({"k2": payload(7, IMAGE)[:20]}, ["byte 80: payload of 20 bytes, its head alone takes 24"]),
        ({"k2": struct.pack("<IfQQ", 2**31, 0, 0, 0)}, ["its 2147483648 labels end at 8589934616"]),
        ({"k0": payload([4, 7])}, ["byte 0: the header ends at key 6, the index at 5: truncated?"]),
        ({"k5": None}, ["byte 0: the header ends at key 5, the index at 4: truncated?"]),
        ({"k0": payload([3, 6])}, ["byte 0: the header has identities from key 3, none begin there"]),
        ({"k0": payload([5, 6])}, ["byte 160: key 4: no image: empty"]),
        (
            {"k0": payload([4, 7]), "k6": payload([4, 5])},
            ["byte 240: identity 6 claims the images 4 to 4", "the next ones of one class do not exist"],
        ),
        ({"k0": payload([-1, 6])}, ["byte 0: the header has identities from key -1, none begin there"]),
        ({"k0": payload([4])}, ["byte 0: key 0: expected two labels and no image"]),
        ({"k0": payload([float("nan"), 6])}, ["byte 0: key 0: expected two labels and no image"]),
        ({"k4": payload([1, 3, 9])}, ["byte 160: key 4: expected two labels and no image"]),
        ({"k5": payload([3, 4], IMAGE)}, ["byte 200: key 5: expected two labels and no image"]),
        ({"k4": payload([1, 4])}, ["byte 160: identity 4 claims the images 1 to 3", "class are 1 to 2"]),
        ({"k4": payload([2, 3])}, ["byte 160: identity 4 claims the images 2 to 2", "class are 1 to 2"]),
        ({"k2": payload(5, IMAGE)}, ["byte 160: identity 4 claims the images 1 to 2", "class are 1 to 1"]),
        ({"k3": payload(7, IMAGE)}, ["byte 160: identity 4 claims the images 1 to 2", "class are 1 to 3"]),
        ({"k2": None}, ["byte 40: key 2, the next one, is missing"]),
        ({"k0": payload([4, 5]), "k5": None}, ["byte 120: the image with key 3 belongs to no identity"]),
    ],
)
def test_sets_that_disagree_with_themselves_are_refused(tmp_path, changes, parts):
    one_set(tmp_path)
    read_all(tmp_path / "train.rec")
    path = one_set(tmp_path, **changes)
    with refused("train.rec: ", *parts):
        read_all(path)


def test_two_identities_of_one_class_are_refused(tmp_path):
    labels = {1: 7, 2: 5, 3: 7}
    images = {key: payload(label, IMAGE) for key, label in labels.items()}
    claims = {3 + key: payload([key, key + 1]) for key in labels}
    path = write_raw(tmp_path, {0: payload([4, 7]), **images, **claims})
    with refused("byte 240: identities 4 and 6 both have class 7"):
        _ = RecordFile(path).identities


def test_a_class_outside_the_property_is_refused(tmp_path):
    path = one_set(tmp_path)
    (tmp_path / "property").write_text("7,112,112\n")
    with refused("byte 40: label 7, expected an integer in 0..6"):
        _ = RecordFile(path).labels


def test_a_record_that_runs_into_the_next_one_is_refused(tmp_path):
    path = one_set(tmp_path)
    index = (tmp_path / "train.idx").read_text()
    (tmp_path / "train.idx").write_text(index.replace("3\t120", "3\t112"))
    with refused("byte 80: key 2: record ends at 120, inside the next one (112)"):
        RecordFile(path).image_bytes(2)


def test_asking_for_what_is_no_image_is_refused(tmp_path):
    records = RecordFile(one_set(tmp_path))
    with refused("key=9: ", "has no such record"):
        records.image_bytes(9)
    with refused("byte 0: key 0: a record without image has no class"):
        records.label(0)


@pytest.mark.parametrize(
    ("index", "parts"),
    [
        ("", ["train.idx: the index has no lines"]),
        ("0\t0\n1\t40\n2\t40\n", ["train.idx:3: offset 40: expected a multiple of 4 above"]),
        ("0\t0\n1\t80\n2\t40\n", ["train.idx:3: offset 40"]),
        ("0\t0\n1\t42\n", ["train.idx:2: offset 42"]),
        ("0\t0\n1\t240\n", ["train.idx:2: offset 240", "below 240"]),
        ("0\t-4\n", ["train.idx:1: offset -4"]),
        ("-1\t0\n", ["train.idx:1: key -1 is negative"]),
        ("0\t0\n7\t40\n7\t80\n", ["train.idx:3: key 7 is there twice"]),
        ("0\t0\n1 40 3\n", ["train.idx:2: 3 fields, expected 2 integers"]),
        ("0\t0\n1\tforty\n", ["train.idx:2: 'forty' is no integer"]),
        ("0\t0\n\n1\t40\n", ["train.idx:2: 0 fields"]),
        ("0\t4\n", ["train.rec: byte 4: 0x00000020, expected a record's magic"]),
    ],
)
def test_an_index_that_does_not_fit_is_refused(tmp_path, index, parts):
    path = one_set(tmp_path)
    (tmp_path / "train.idx").write_text(index)
    with refused(*parts):
        RecordFile(path)


@pytest.mark.parametrize("line", ["", "7,112", "7,112,x", "0,112,112", "7,112,112\n7,112,112", "-1,2,3"])
def test_a_property_that_is_no_property_is_refused(tmp_path, line):
    path = one_set(tmp_path)
    (tmp_path / "property").write_text(line)
    with refused("property:1: expected one line 'classes,height,width'"):
        RecordFile(path)


@pytest.mark.parametrize("size", [0, 1, 42, 239])
def test_a_file_that_ends_inside_a_word_is_refused(tmp_path, size):
    path = one_set(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with refused(f"train.rec: byte {size}: the file ends inside a record"):
        RecordFile(path)


@pytest.mark.parametrize("size", range(0, 240, 4))
def test_a_set_cut_anywhere_is_refused_in_one_line(tmp_path, size):
    path = one_set(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with refused("train."):
        read_all(path)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from(["rec", "idx"]), st.integers(0, 239), st.integers(0, 255)), max_size=3)
)
def test_damaged_bytes_are_read_or_refused_but_never_crash(tmp_path_factory, damage):
    folder = tmp_path_factory.mktemp("damaged")
    path = one_set(folder)
    for kind, at, value in damage:
        data = bytearray((folder / f"train.{kind}").read_bytes())
        data[at % len(data)] = value
        (folder / f"train.{kind}").write_bytes(data)
    assert "\n" not in refusal(path)


def test_a_missing_index_is_named(tmp_path):
    path = one_set(tmp_path)
    (tmp_path / "train.idx").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.idx"):
        RecordFile(path)


def test_what_cannot_be_written_is_refused(tmp_path):
    path = tmp_path / "train.rec"
    with refused("labels: images of one class do not stand together"):
        write_records(path, [IMAGE] * 3, [1, 2, 1], height=6, width=6)
    for labels in ([], [-1], [2**24]):
        with refused("labels: expected one or more integers in 0..16777215"):
            write_records(path, [IMAGE] * len(labels), labels, height=6, width=6)
    with refused("shorter"):
        write_records(path, [IMAGE], [1, 1], height=6, width=6)
