"""Embeddings from files of any kind, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lossbench.embeddings import _check_numbers, read, read_rows

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) + 1
LABELS = ["ann", "bob", "ann", "-1"]


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    np.savez(tmp_path / "both.npz", embeddings=ROWS, labels=np.array(LABELS))
    np.savez(tmp_path / "rows.npz", whatever=ROWS)
    numbers = np.array([2**24, 2**24 + 1, 2**24, -1])
    save_file({"embeddings": ROWS, "labels": numbers}, tmp_path / "both.safetensors")
    np.save(tmp_path / "numbers.npy", numbers)
    return tmp_path


@pytest.mark.parametrize(
    ("rows", "labels", "names"),
    [
        ("rows.npy", "labels.txt", ("ann", "bob")),
        ("both.npz", None, ("ann", "bob")),
        ("rows.npz", "labels.txt", ("ann", "bob")),
        ("both.safetensors", None, ("16777216", "16777217")),
        ("rows.npy", "numbers.npy", ("16777216", "16777217")),
    ],
)
def test_every_format_gives_the_same_rows_and_labels(folder, rows, labels, names):
    found = read(folder / rows, labels and folder / labels)
    assert np.array_equal(found.rows, ROWS)
    assert found.labels.tolist() == [0, 1, 0, -1]
    assert found.names == names
    assert found.facts() == {
        "rows": 4, "dim": 3, "identities": 2, "without_mate": 1, "distractors": 1, "zero_rows": 0,
        "repeated": 0, "shared": 0,
    }  # fmt: skip


def test_an_npy_file_is_mapped_and_not_read_into_memory(folder):
    assert isinstance(read(folder / "rows.npy", folder / "labels.txt").rows, np.memmap)


def test_zero_rows_are_counted(folder):
    np.save(folder / "rows.npy", ROWS * [[1], [0], [1], [0]])
    assert read(folder / "rows.npy", folder / "labels.txt").facts()["zero_rows"] == 2


def test_equal_rows_are_counted_within_a_label_and_across_labels(folder):
    rows = np.eye(8, dtype=np.float32)[[0, 0, 1, 1, 2, 2, 2, 3]]
    rows[7] = 0
    labels = ["ann", "ann", "ann", "bob", "eve", "eve", "-1", "eve"]
    np.savez(folder / "rows.npz", embeddings=np.concatenate([rows, rows[7:]]), labels=[*labels, "zoe"])
    facts = read(folder / "rows.npz").facts()
    # ann twice, eve twice; ann and bob, eve and a distractor. Zero rows are told of on their own.
    assert (facts["repeated"], facts["shared"], facts["zero_rows"]) == (2, 2 + 3, 2)
    alone = read_rows(folder / "rows.npz").facts()
    assert (alone["repeated"], alone["shared"], alone["zero_rows"]) == (1 + 1 + 2, 0, 2)
    assert "identities" not in alone


def test_rows_that_differ_in_one_bit_are_not_equal(folder):
    rows = np.repeat(ROWS[:1], 4, axis=0)
    rows[1:, 0] = np.nextafter(rows[1:, 0], np.float32(9), dtype=np.float32)
    np.save(folder / "rows.npy", rows)
    assert read_rows(folder / "rows.npy").facts()["repeated"] == 2


@pytest.mark.parametrize("kind", ["f2", "<f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_float_in_any_order_of_bytes_and_axes_is_taken(folder, kind, order):
    np.save(folder / "rows.npy", np.asarray(ROWS, dtype=kind, order=order))
    found = read(folder / "rows.npy", folder / "labels.txt")
    assert np.array_equal(found.rows, ROWS)
    assert found.rows.dtype.isnative


def with_nan():
    rows = ROWS.copy()
    rows[2, 1] = np.nan
    return rows


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (with_nan(), "1 of 4 rows hold NaN or infinity, the first is row 2"),
        (ROWS * np.float64(1e200), "4 of 4 rows are out of scale, the first is row 0"),
        (ROWS * np.array([[1], [1], [1], [1e-200]]), "1 of 4 rows are out of scale, the first is row 3"),
        (ROWS[:3], r"labels of shape \(4,\) for 3 rows"),
        (ROWS[0], r"holds float32 \(3,\); give floats of shape \(n, d\)"),
        (ROWS.astype(int), r"holds int64 \(4, 3\)"),
        (ROWS[:0], r"holds float32 \(0, 3\)"),
        (np.array([{"a": 1}], dtype=object), r"cannot be read as \.npy"),
    ],
)
def test_rows_that_cannot_be_right_are_refused(folder, rows, line):
    np.save(folder / "bad.npy", rows, allow_pickle=True)
    with pytest.raises(ValueError, match=line) as found:
        read(folder / "bad.npy", folder / "labels.txt")
    assert len(str(found.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("rows", "labels", "line"),
    [
        ("none.npy", "labels.txt", r"none\.npy: no such file"),
        ("rows.npy", "none.txt", r"none\.txt: no such file"),
        ("rows.csv", "labels.txt", r"give embeddings as \.npy, \.npz or \.safetensors"),
        ("rows.npz", None, "no labels: give them as a second file"),
        ("rows.npy", "floats.npy", "labels are float64; give integers or text"),
        ("torn.npz", None, r"cannot be read as \.npz"),
        ("torn.safetensors", None, r"cannot be read as \.safetensors"),
        ("rows.npy", "torn.npz", r"torn\.npz: cannot be read"),
        ("rows.npy", "bytes.txt", r"bytes\.txt: cannot be read as one label a line"),
        ("text.npy", "labels.txt", "it holds Python objects, or is something else"),
        ("rows.npy", "folder", "folder: cannot be read as one label a line"),
        ("folder.npy", "labels.txt", r"folder\.npy: cannot be read as \.npy"),
    ],
)
def test_files_that_cannot_be_read_are_named(folder, rows, labels, line):
    np.save(folder / "floats.npy", np.arange(4.0))
    (folder / "torn.npz").write_bytes((folder / "both.npz").read_bytes()[:50])
    (folder / "torn.safetensors").write_bytes(b"\xff" * 40)
    (folder / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "text.npy").write_text("1 2 3")
    (folder / "folder").mkdir()
    (folder / "folder.npy").mkdir()
    with pytest.raises(ValueError, match=line):
        read(folder / rows, labels and folder / labels)


@pytest.mark.parametrize(
    "text", ["ann\nbob \n ann\n-1 \n", "\ufeffann\nbob\nann\n-1", "ann\r\nbob\r\nann\r\n-1\r\n"]
)
def test_blanks_byte_order_marks_and_line_ends_are_no_part_of_a_label(folder, text):
    (folder / "labels.txt").write_text(text, newline="")
    assert read(folder / "rows.npy", folder / "labels.txt").labels.tolist() == [0, 1, 0, -1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ann\n\nann\nbob\n", "labels.txt:2: empty"),
        ("ann\nbob\nann\n" + "x" * 2000, "labels.txt:4: too long"),
        ("ann\nbob\nann\nbob\n\n", "labels.txt:5: empty"),
        ("ann\nbob\0\nann\nbob\n", "labels.txt:2: NUL"),
    ],
)
def test_lines_that_are_no_label_are_named(folder, text, line):
    (folder / "labels.txt").write_text(text)
    with pytest.raises(ValueError, match=line):
        read(folder / "rows.npy", folder / "labels.txt")


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (["0", "0.0"], 2),
        (["0.000000000000000000e+00", "-1.000000000000000000e+00"], 1),
        (["1", "-3"], 2),
        (["ann", "-1.0"], 2),
        (["3", "nan"], 2),
        (["3", "+4"], 2),
        (["0.0", "distractor"], 1),
    ],
)
def test_numbers_that_are_no_identity_are_refused(folder, lines, place):
    """As names they would be persons: every distractor the same one."""
    np.save(folder / "two.npy", np.ones((2, 3), np.float32))
    (folder / "odd.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=rf"odd\.txt:{place}: label .*-1 for distractors"):
        read(folder / "two.npy", folder / "odd.txt")


def test_text_in_an_array_is_held_to_the_same(folder):
    np.save(folder / "two.npy", np.ones((2, 3), np.float32))
    np.save(folder / "odd.npy", np.array(["0", "-1.0"]))
    with pytest.raises(ValueError, match=r"odd\.npy:2: label -1\.0"):
        read(folder / "two.npy", folder / "odd.npy")


def test_many_labels_are_looked_at_once_each():
    # Each line beside all others would take hours here.
    _check_numbers(Path("labels.txt"), [str(row // 2) for row in range(2 * 10**5)])


@pytest.mark.parametrize("lines", [["Nan", "Ann"], ["7", "x7"], ["1.5", "b"], ["007", "-1"]])
def test_names_that_look_like_numbers_among_others_are_names(folder, lines):
    np.save(folder / "two.npy", np.ones((2, 3), np.float32))
    (folder / "odd.txt").write_text("\n".join(lines))
    assert set(read(folder / "two.npy", folder / "odd.txt").names) == {*lines} - {"-1"}


def test_other_byte_orders_bytes_and_archives_under_a_wrong_name(folder):
    np.save(folder / "big.npy", ROWS.astype(">f4"))
    np.save(folder / "bytes.npy", np.array([name.encode() for name in LABELS]))
    found = read(folder / "big.npy", folder / "bytes.npy")
    assert np.array_equal(found.rows, ROWS)
    assert found.names == ("ann", "bob")
    (folder / "archive.npy").write_bytes((folder / "both.npz").read_bytes())
    with pytest.raises(ValueError, match=r"it is an archive; name it \.npz"):
        read(folder / "archive.npy", folder / "labels.txt")
    np.save(folder / "numbers.npy", np.array([0, 1, -2, 0]))
    with pytest.raises(ValueError, match="label -2: identities count from 0, -1 is a distractor"):
        read(folder / "rows.npy", folder / "numbers.npy")
