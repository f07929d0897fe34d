"""MATLAB 5 files as scipy writes and reads them, and damaged ones, which scipy does not survive."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.io import loadmat, savemat

from lossbench.readers import mat_file
from lossbench.readers.mat_file import load_mat
from tests.readers.samples import refused

DTYPES = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
numbers = st.builds(
    lambda dtype, rows, columns, start: (
        (np.arange(rows * columns) + start).reshape(rows, columns).astype(dtype)
    ),
    st.sampled_from(DTYPES),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 90),
)
texts = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=9)


def cells(items):
    column = np.empty((len(items), 1), dtype=object)
    for row, item in zip(column, items, strict=True):
        row[0] = item
    return column


variables = numbers | texts | st.lists(numbers | texts, min_size=1, max_size=4).map(cells)


def plain(value):
    """What loadmat gives, column by column."""
    if value.dtype == object:
        return [plain(item) for item in value.ravel(order="F")]
    return str(value.item()) if value.dtype.kind == "U" else value.ravel(order="F")


def equal(one, other):
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, str):
        return one == other
    return np.array_equal(one, other)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mat")


@settings(deadline=None)
@given(st.lists(variables, min_size=1, max_size=3), st.booleans())
def test_numbers_text_and_cells_are_read_as_scipy_reads_them(folder, values, compressed):
    named = {f"v{i}": value for i, value in enumerate(values)}
    savemat(folder / "a.mat", named, do_compression=compressed)
    found, expected = load_mat(folder / "a.mat", list(named)), loadmat(folder / "a.mat")
    assert list(found) == list(named)
    for name in named:
        assert equal(found[name], plain(expected[name])), name


def element(kind, body, order):
    return struct.pack(f"{order}II", kind, len(body)) + body + bytes(-len(body) % 8)


def matrix(kind, name, lengths, content, order):
    flags = element(6, struct.pack(f"{order}II", kind, 0), order)
    sizes = element(5, struct.pack(f"{order}{len(lengths)}i", *lengths), order)
    return element(14, flags + sizes + element(1, name, order) + content, order)


def written(folder, body, order="<"):
    path = folder / "a.mat"
    path.write_bytes(b"MATLAB".ljust(124) + struct.pack(f"{order}HH", 0x100, 0x4D49) + body)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_and_text_of_two_bytes_a_letter_are_read(tmp_path, order):
    text = matrix(4, b"t", [1, 2], element(4, struct.pack(f"{order}2H", 65, 98), order), order)
    values = matrix(6, b"n", [2, 2], element(4, struct.pack(f"{order}4H", 1, 2, 3, 400), order), order)
    short = struct.pack(f"{order}I", 2 << 16 | 4) + struct.pack(f"{order}H", 7) + b"\0\0"
    one = matrix(6, b"s", [1, 1], short, order)
    empty = matrix(1, b"e", [0, 0], b"", order)
    path = written(tmp_path, text + values + one + empty, order)
    found = load_mat(path, ["t", "n", "s", "e"])
    assert (found["t"], found["n"].tolist(), found["s"].tolist(), found["e"]) == (
        "Ab",
        [1, 2, 3, 400],
        [7],
        [],
    )
    expected = loadmat(path)
    assert plain(expected["t"]) == found["t"]
    assert plain(expected["n"]).tolist() == found["n"].tolist()


def test_other_classes_are_passed_over_unless_they_are_asked_for(tmp_path):
    others = {"struct": {"a": 1}, "sparse": sparse.eye(3, format="csc"), "complex": np.array([1j])}
    others["rows"] = np.array(["ab", "cd"])
    savemat(tmp_path / "a.mat", {**others, "n": np.arange(3.0)})
    assert load_mat(tmp_path / "a.mat", ["n"])["n"].tolist() == [0, 1, 2]
    for name in ("struct", "sparse", "complex"):
        with refused("a.mat: byte ", f"{name} is of class ", "expected numbers, text or cells"):
            load_mat(tmp_path / "a.mat", [name])
    with refused("a.mat: the file has no x, y"):
        load_mat(tmp_path / "a.mat", ["n", "x", "y"])


FLAGS = element(6, struct.pack("<II", 6, 0), "<")
SIZES = element(5, struct.pack("<2i", 1, 2), "<")
NAME = element(1, b"n", "<")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\0" * 7, "an element has no room for its head: truncated?"),
        (struct.pack("<II", 14, 100) + b"\0" * 96, "an element of 100 bytes, 96 are left: truncated?"),
        (element(9, b"\0" * 8, "<"), "an element of type 9, expected an array (14)"),
        (element(14, FLAGS[:8], "<"), "truncated?"),
        (element(14, SIZES + FLAGS + NAME, "<"), "an array without flags, lengths and name in front"),
        (element(14, FLAGS + SIZES + NAME, "<"), "an element has no room for its head"),
        (matrix(6, b"n", [1, 2], element(9, b"\0" * 8, "<"), "<"), "8 bytes of type 9 are not 2 numbers"),
        (matrix(6, b"n", [2**31 - 1] * 9, element(9, b"\0" * 8, "<"), "<"), "8 bytes of type 9 are not 9"),
        (matrix(6, b"n", [-1, 2], element(9, b"\0" * 8, "<"), "<"), "an array with a negative length"),
        (matrix(6, b"n", [1, 1], element(16, b"\0" * 8, "<"), "<"), "8 bytes of type 16 are not 1 numbers"),
        (matrix(4, b"n", [1, 3], element(16, b"ab", "<"), "<"), "text of 2 letters, its lengths say 3"),
        (matrix(4, b"n", [1, 1], element(16, b"\xff", "<"), "<"), "'utf-8' codec can't decode"),
        (matrix(4, b"n", [1, 1], element(9, b"\0" * 8, "<"), "<"), "text of type 9, expected one of"),
        (matrix(1, b"n", [2**30, 2], b"\0" * 8, "<"), "2147483648 cells in 8 bytes"),
        (struct.pack("<HHI", 14, 9, 0) * 2, "a short element of 9 bytes, expected at most 4"),
        (struct.pack("<II", 15, 4) + b"abcd", "Error -3 while decompressing"),
        (struct.pack("<II", 15, 8) + zlib.compress(FLAGS * 9)[:8], "or it is truncated"),
    ],
)
def test_inconsistent_variables_are_refused_with_their_byte(tmp_path, body, why):
    first = matrix(6, b"first", [1, 1], element(9, b"\0" * 8, "<"), "<")
    with refused(f"a.mat: byte {128 + len(first)}: ", why):
        load_mat(written(tmp_path, first + body), ["n"])


def test_cells_in_cells_end_somewhere(tmp_path):
    inner = matrix(6, b"", [1, 1], element(9, b"\0" * 8, "<"), "<")
    for depth in range(1, 6):
        inner = matrix(1, b"n" if depth == 5 else b"", [1, 1], inner, "<")
    with refused("a.mat: byte 128: 1 cells in ", "3 deep at most"):
        load_mat(written(tmp_path, inner), ["n"])


@pytest.mark.parametrize(("dimensions", "fits"), [(2, True), (32, True), (33, False), (1 << 16, False)])
def test_dimensions_are_at_most_32(tmp_path, dimensions, fits):
    lengths = [1] * (dimensions - 1) + [2]
    path = written(tmp_path, matrix(6, b"n", lengths, element(9, struct.pack("<2d", 3, 4), "<"), "<"))
    if fits:
        assert load_mat(path, ["n"])["n"].tolist() == [3, 4]
    else:
        with refused(f"a.mat: byte 128: lengths of {4 * dimensions} bytes: expected 32 int32 at most"):
            load_mat(path, ["n"])


def test_two_negative_lengths_are_refused_too(tmp_path):
    path = written(tmp_path, matrix(6, b"n", [-1, -1], element(9, bytes(8), "<"), "<"))
    with refused("a.mat: byte 128: an array with a negative length"):
        load_mat(path, ["n"])


def test_cells_of_all_variables_together_are_bounded(tmp_path, monkeypatch):
    assert mat_file._MOST_CELLS == 1 << 20
    monkeypatch.setattr(mat_file, "_MOST_CELLS", 10)
    empty = struct.pack("<II", 14, 0)
    inner = matrix(1, b"", [1, 3], empty * 3, "<")
    for body, why in (
        (matrix(1, b"n", [10, 1], empty * 10, "<"), None),
        (matrix(1, b"n", [11, 1], empty * 11, "<"), "11 cells: with those before over 10"),
        (matrix(1, b"n", [2, 1], inner * 2, "<"), None),
        (matrix(1, b"n", [3, 1], inner * 3, "<"), "3 cells: with those before over 10"),
        (matrix(1, b"n", [6, 1], empty * 6, "<") * 2, "6 cells: with those before over 10"),
    ):
        path = written(tmp_path, body)
        if why is None:
            assert load_mat(path, ["n"])["n"]
        else:
            with refused("a.mat: byte ", why):
                load_mat(path, ["n"])


def test_a_file_that_unfolds_to_more_than_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mat_file, "_MOST_UNFOLDED", 3 << 20)
    variable = matrix(6, b"n", [1, 1 << 18], element(9, bytes(2 << 20), "<"), "<")
    packed = zlib.compress(variable)
    part = struct.pack("<II", 15, len(packed)) + packed
    assert len(load_mat(written(tmp_path, part), ["n"])["n"]) == 1 << 18
    with refused(f"a.mat: byte {128 + len(part)}: the file unfolds to over 3145728 bytes"):
        load_mat(written(tmp_path, part * 2), ["n"])


@pytest.mark.parametrize("data", [b"", b"MATLAB", b"x" * 500, b"\x89HDF\r\n\x1a\n" + b"\0" * 600])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "a.mat").write_bytes(data)
    with refused(f"a.mat: {len(data)} bytes, expected a MATLAB 5 file"):
        load_mat(tmp_path / "a.mat", ["n"])


def outcome(path, names):
    try:
        load_mat(path, names)
    except ValueError as error:
        return str(error)
    return ""


@settings(deadline=None, max_examples=500)
@given(st.booleans(), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_are_read_or_refused_but_never_crash(folder, compressed, damage):
    named = {
        "names": cells(["a.jpg", "b.jpg"]),
        "n": np.arange(9.0),
        "c": cells([np.arange(3), np.arange(5)]),
    }
    savemat(folder / "a.mat", named, do_compression=compressed)
    data = bytearray((folder / "a.mat").read_bytes())
    for at, value in damage:
        data[126 + at % (len(data) - 126)] = value
    (folder / "a.mat").write_bytes(data)
    assert "\n" not in outcome(folder / "a.mat", list(named))
