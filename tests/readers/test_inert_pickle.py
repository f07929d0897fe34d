"""Harmless pickles are read as ``pickle`` reads them; others are refused, and nothing that they name runs."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lossbench.readers import inert_pickle
from lossbench.readers.inert_pickle import load_inert
from lossbench.readers.pickled_arrays import PickledArray
from tests.readers.samples import refused

leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=5))
leaves |= st.binary(min_size=1, max_size=300)
keys = st.text(max_size=5) | st.binary(min_size=1, max_size=5)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
    ),
)


def load(data, folder):
    path = folder / "pairs.bin"
    path.write_bytes(data)
    return load_inert(path)


def plain(value):
    """The value with arrays in place of what stands for them."""
    if isinstance(value, PickledArray):
        return value.value
    return type(value)(map(plain, value)) if isinstance(value, list | tuple) else value


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pickles")


@settings(deadline=None)
@given(values, st.integers(0, 5))
def test_harmless_values_are_read_as_pickle_reads_them(folder, value, protocol):
    data = pickle.dumps(value, protocol)
    assert load(data, folder) == pickle.loads(data) == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(200, dtype=np.uint8),
        np.arange(12, dtype=np.uint8).reshape(12, 1),
        np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(3, 4)),
        np.array([True, False, True]),
        np.array([1, 0, 2**40]),
        np.array([-1, 5], dtype=np.int32),
    ],
    ids=str,
)
def test_arrays_come_back_in_every_protocol(folder, protocol, array):
    found = plain(load(pickle.dumps([array, array], protocol), folder))
    for copy in found:
        assert copy.dtype == array.dtype
        np.testing.assert_array_equal(copy, array)


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_scalars_come_back_as_numbers(folder, protocol):
    value = [np.bool_(True), np.bool_(False), np.int64(7), np.uint8(255)]
    found = load(pickle.dumps(value, protocol), folder)
    assert found == [True, False, 7, 255]
    assert [type(item) for item in found] == [bool, bool, int, int]


@pytest.mark.parametrize("protocol", range(5))
def test_names_of_older_numpy_are_known(folder, protocol):
    data = pickle.dumps([np.arange(9, dtype=np.uint8), np.bool_(True)], protocol)
    older = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    if protocol == 4:
        older = older.replace(b"\x8c\x16numpy.core", b"\x8c\x15numpy.core")
    assert older != data
    array, truth = plain(load(older, folder))
    assert array.tolist() == list(range(9))
    assert truth is True


PY2 = {
    "protocol 0": b"(lp0\nS'\\xff\\xd8\\'\\\\\\n\\x00'\np1\naS\"it's\"\np2\naI01\naI00\nag1\na.",
    "protocol 1": b"]q\x00(U\x03\xff\xd8\x00q\x01T\x03\x00\x00\x00\x80abI01\nI00\nh\x01e.",
    "protocol 2": b"\x80\x02]q\x01(U\x03\xff\xd8\x00q\x02\x88\x89h\x02K\x07L12L\n\x8a\x01\xffe.",
    "array": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02"
    b"U\x01bq\x03\x87q\x04Rq\x05(K\x01K\x03\x85q\x06cnumpy\ndtype\nq\x07U\x02u1q\x08K\x00K\x01\x87q\tRq\n"
    b"(K\x03U\x01|q\x0bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0cb\x89U\x03\xff\xd8\x00q\rtq\x0eb.",
}


@pytest.mark.parametrize("data", PY2.values(), ids=list(PY2))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of numpy's, for its older names
def test_pickles_of_python_2_give_bytes(folder, data):
    expected = pickle.loads(data, encoding="bytes")
    found = plain(load(data, folder))
    assert np.array_equal(found, expected) if isinstance(expected, np.ndarray) else found == expected


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


def marker(folder):
    return folder / "ran"


def payloads(folder):
    touch = f"touch {marker(folder)}"
    python = f"__import__('pathlib').Path({str(marker(folder))!r}).touch()"
    nested = Call(np.dtype, Call(os.system, touch), False, True)
    return {
        "os.system": Call(os.system, touch),
        "eval": Call(eval, python),
        "exec": Call(exec, python),
        "subprocess": Call(subprocess.check_output, ["touch", str(marker(folder))]),
        "in a list": [b"\xff\xd8", [Call(os.system, touch)]],
        "in an argument": nested,
        "in a state": Call(np.dtype, "u1", False, True, state=(3, "|", Call(os.system, touch))),
        "twice nested": Call(eval, Call(str, Call(eval, python))),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", payloads(Path()))
def test_calls_of_functions_are_refused_and_do_not_run(tmp_path, name, protocol):
    data = pickle.dumps((payloads(tmp_path)[name], [True]), protocol)
    with refused("pairs.bin: byte ", "the pickle names", "only data is read, nothing is called"):
        load(data, tmp_path)
    assert not marker(tmp_path).exists()


def test_those_calls_do_run_where_pickle_reads_them(tmp_path):
    for name in ("os.system", "eval", "exec", "subprocess", "in a list", "in an argument"):
        data = pickle.dumps(payloads(tmp_path)[name])
        with contextlib.suppress(TypeError):
            pickle.loads(data)
        assert marker(tmp_path).exists(), name
        marker(tmp_path).unlink()


def test_the_byte_of_the_name_is_told(tmp_path):
    with refused("pairs.bin: byte 5: the pickle names posix.system:"):
        load(b"\x80\x02K\x01\x85cposix\nsystem\n.", tmp_path)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x80\x02(S'touch x'\nios\nsystem\n.", "byte 14: instruction INST: not one that"),
        (b"\x80\x02(cos\nsystem\nS'x'\no.", "the pickle names os.system"),
        (b"(cnumpy\ndtype\nU\x02u1o.", "instruction OBJ"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "instruction NEWOBJ"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (b"Pname\n.", "instruction PERSID"),
        (b"}K\x01K\x02s.", "a key that is no text"),
        (b"}(U\x01au.", "do not pair"),
        (b"](U\x01aK\x01u.", "in what is no dict"),
        (b"\x8f.", "instruction EMPTY_SET"),
        (b"G\x00\x00\x00\x00\x00\x00\x00\x00.", "instruction BINFLOAT"),
        (b"\x97.", "instruction NEXT_BUFFER"),
        (b"\x8b\xff\xff\xff\x7f.", "byte 0: "),
        (b"K\x012.", "instruction DUP"),
        (b"\xffabc", "byte 0: no instruction has code ff"),
        (b"K\x01)R.", "no function: called with what"),
        (b"cnumpy\ndtype\n)R.", "dtype: called with what"),
        (b"cnumpy\ndtype\n(U\x01OI00\nI01\ntR.", "array of type 'O': expected one of u1,"),
        (b"cnumpy\ndtype\n(U\x03V16I00\nI01\ntR.", "array of type 'V16'"),
        (
            b"cnumpy\ndtype\n(U\x02i8I00\nI01\ntR(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.",
            "in a form that",
        ),
        (b"cnumpy\nndarray\n(K\x05\x85tR.", "ndarray: called with what"),
        (b"cnumpy\nndarray\n(K\x05tb.", "in a form that"),
        (
            b"c_codecs\nencode\n(X\x01\x00\x00\x00aU\x03hextR.",
            "encode: called with",
        ),
        (
            b"c_codecs\nencode\n(X\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1tR.",
            "can't encode character",
        ),
        (b"(K\x01.", "the pickle stops with unfinished values"),
        (b"K\x01K\x02.", "the pickle stops with unfinished values"),
        (b".", "the pickle stops with unfinished values"),
        (b"e.", "byte 0: malformed pickle"),
        (b"0.", "byte 0: "),
        (b"K\x01a.", "byte 2: malformed pickle"),
        (b"K\x01K\x02a.", "items are added to what is no list"),
        (b"\x86.", "byte 0: malformed pickle"),
        (b"h\x07.", "nothing was memoized under 7"),
        (b"X\x05\x00\x00\x00ab", "byte 0: "),
        (b"S'abc\n.", "malformed string of Python 2"),
        (b"S'\\q'\n.", "malformed string of Python 2"),
        (b"I12x\n.", "byte 0: invalid literal for int"),
        (b"I" + b"9" * 5000 + b"\n.", "byte 0: Exceeds the limit"),
        (b"\x93.", "byte 0: malformed pickle"),
        (b"K\x01K\x02\x93.", "byte 4: the pickle names int.int:"),
        (b"", "0 bytes: expected a pickle of 1 to"),
        (b"K\x01", "byte 2: the pickle ends: truncated?"),
    ],
)
def test_what_no_list_of_images_needs_is_refused(tmp_path, data, why):
    with refused("pairs.bin: ", why):
        load(data, tmp_path)


SHAPES = "array of a shape other than at most two lengths from 0 to 4294967296"
ARRAY = pickle.dumps(np.arange(6, dtype=np.uint8), 2)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"K\x06\x85", b"K\x07\x85", "array of shape (7,), type uint8: 6 bytes do not fill it"),
        (b"K\x06\x85", b"J\xff\xff\xff\xff\x85", SHAPES),
        (b"K\x06\x85", b"K\x01K\x02K\x03\x87", SHAPES),
        (b"K\x06\x85", b"\x8a\x09" + b"\xff" * 8 + b"\x0f\x85", SHAPES),
        (b"K\x06\x85", b"U\x016\x85", SHAPES),
    ],
)
def test_arrays_that_their_bytes_do_not_fill_are_refused(tmp_path, old, new, why):
    assert ARRAY.count(old) == 1
    with refused(why):
        load(ARRAY.replace(old, new), tmp_path)


def twice(levels):
    # A tuple that holds () twice, a tuple that holds that one twice, and so on: 5 bytes a level.
    return b")" + b"".join(b"q%ch%c\x86" % (level, level) for level in range(100, 100 + levels))


# 18 levels make a repr of megabytes, which a test survives; 60 never end.
HOSTILE = {"twice in itself": twice(18), "nested deeply": b"K\x01" + b"\x85" * 200_000}


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_refused_is_not_spelled_out(tmp_path, name, place):
    value = HOSTILE[name]
    frombuffer = (
        b"cnumpy.core.numeric\n_frombuffer\n(B\x00\x00\x00\x00" + pickle.dumps(np.dtype("u1"), 2)[2:-1]
    )
    data, why = [
        (value + b"K\x02\x93.", "the pickle names tuple.int: only data is read"),
        (b"\x8c\x05posix" + value + b"\x93.", "the pickle names posix.tuple: only data is read"),
        (ARRAY.replace(b"K\x06\x85", value + b"\x85"), SHAPES),
        (frombuffer + value + b"\x85X\x01\x00\x00\x00CtR.", SHAPES),
    ][place]

    def refuse():
        with refused("pairs.bin: byte ", why):
            load(data, tmp_path)

    assert peak_of(refuse) < 1_000_000 + 100 * len(data)


def test_names_are_cut_and_escaped(tmp_path):
    name = b"\x1b[2J" + b"x" * 500
    with refused("pairs.bin: byte 2: the pickle names posix.\\x1b[2J" + "x" * 56 + ": only data"):
        load(b"\x80\x02cposix\n" + name + b"\n.", tmp_path)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"ca\\u\n\\x62c\\q\n.", "byte 0: the pickle names a\\\\u.\\\\x62c\\\\q: only data is read"),
        (b"(ia\\u\nb\n.", "byte 1: instruction INST: not one that"),
        (b"Pa\\u\n.", "byte 0: instruction PERSID: not one that"),
        (b"c\xff\nb\n.", "byte 0: 'utf-8' codec can't decode"),
        (b"cnumpy\ndtype", "byte 0: the pickle ends in a name: truncated?"),
    ],
)
def test_escapes_in_names_are_not_undone_nor_warned_of(tmp_path, data, why):
    with refused("pairs.bin: ", why):
        load(data, tmp_path)


def test_an_array_is_filled_once(tmp_path):
    again = ARRAY[:-1]
    state = again[again.rindex(b"(K\x01") :]
    with refused("in a form that"):
        load(again + state + b".", tmp_path)


def peak_of(load_it):
    tracemalloc.start()
    try:
        load_it()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def bombs():
    text = b"X" + struct.pack("<I", 100_000) + b"a" * 100_000 + b"q\x00"
    encode = b"c_codecs\nencode\nq\x01X\x06\x00\x00\x00latin1q\x02"
    return {
        "memo index": b"K\x01r\xff\xff\xff\xff.",
        "memo index in text": b"K\x01p99999999999999999\n.",
        "length of bytes": b"B\xff\xff\xff\xffab.",
        "length of long bytes": b"\x8e" + struct.pack("<Q", 2**62) + b"ab.",
        "length of a byte array": b"\x96" + struct.pack("<Q", 2**40) + b"ab.",
        "length of text": b"\x8d" + struct.pack("<Q", 2**63 - 1) + b"ab.",
        "frame": b"\x95" + struct.pack("<Q", 2**60) + b"K\x01.",
        "text encoded over and over": text + encode + b"(" + b"h\x01h\x00h\x02\x86R" * 1000 + b"t.",
    }


@pytest.mark.parametrize("name", bombs())
def test_small_files_that_promise_much_cost_little(tmp_path, name):
    data = bombs()[name]

    assert peak_of(lambda: outcome(data, tmp_path)) < 2_000_000


def test_lists_that_never_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(inert_pickle, "_MOST_STEPS", 1000)
    for data in (b"(" * 5000, b"]" * 5000, b"K\x01" * 5000):
        with refused("more than 1000 instructions: no list of images"):
            load(data, tmp_path)


def test_deep_nesting_does_not_exhaust_the_stack(tmp_path):
    value = load(b"K\x01" + b"\x85" * 100_000 + b".", tmp_path)
    depth = 0
    while isinstance(value, tuple):
        (value,) = value
        depth += 1
    assert depth == 100_000


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_cut_anywhere_is_refused(tmp_path, protocol):
    value = ([b"\xff\xd8abc", np.arange(5, dtype=np.uint8)], [True, np.bool_(False)], np.array([True]))
    whole = pickle.dumps(value, protocol)
    load(whole, tmp_path)
    for cut in range(1, len(whole)):
        with refused("pairs.bin: byte "):
            load(whole[:cut], tmp_path)


def outcome(data, folder):
    try:
        return load(data, folder)
    except ValueError as error:
        return str(error)


@settings(deadline=None, max_examples=500)
@given(st.binary(min_size=1, max_size=40))
@example(b"cbuiltins\neval\n(S'1'\ntR.")
def test_any_bytes_are_read_or_refused_but_never_crash(folder, data):
    called = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "system", lambda *names: called.append(names))
        found = outcome(data, folder)
    assert not called
    assert not isinstance(found, str) or "\n" not in found


@settings(deadline=None, max_examples=500)
@given(
    st.integers(0, 5), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3)
)
def test_damaged_pickles_are_read_or_refused_but_never_crash(folder, protocol, damage):
    value = ([b"\xff\xd8abc", np.arange(5, dtype=np.uint8)], [True, np.bool_(False)], np.array([True]))
    data = bytearray(pickle.dumps(value, protocol))
    for at, byte in damage:
        data[at % len(data)] = byte
    found = outcome(bytes(data), folder)
    assert not isinstance(found, str) or "\n" not in found
