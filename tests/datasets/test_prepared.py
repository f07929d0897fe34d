"""Images decoded once: what is stored, what is read again, and what damage costs."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import numpy as np
import pytest

from lossbench.datasets import cache, prepared, threads
from lossbench.datasets.decoding import Decoded
from lossbench.datasets.duplicates import pixel_digests
from lossbench.datasets.prepared import Plan

KEY = "0123456789abcdef" * 4
ROWS = np.random.default_rng(0).integers(0, 256, (7, 4, 3, 2), dtype=np.uint8)
NAMES = ("anna", "bo", "Čapek")
LABELS = np.array([0, 1, 1, 2, 0, 0, 1])


def plan(left_out=(), given=None):
    """Rows in blocks of two, the last first."""
    columns = {"labels": LABELS, "origin": np.array([f"{row}.png" for row in range(7)])}
    if given is not None:
        columns["given"] = np.array(given)
    kept = [row for row in reversed(range(7)) if row not in left_out]
    blocks = ((kept[at : at + 2], ROWS[kept[at : at + 2]]) for at in range(0, len(kept), 2))
    return Plan(ROWS.shape, columns, NAMES, blocks, {"passed_over": 3})


def never():
    pytest.fail("prepared again")


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LOSSBENCH_CACHE", str(folder))
    cache.report_unwritable.cache_clear()
    return folder


def check_rows(found, rows):
    np.testing.assert_array_equal(found.images, ROWS[rows])
    assert found.columns["origin"].tolist() == [f"{row}.png" for row in rows]
    assert [found.names[label] for label in found.columns["labels"]] == [NAMES[LABELS[row]] for row in rows]
    np.testing.assert_array_equal(found.columns["pixels"], pixel_digests(ROWS[rows]))


def test_what_was_prepared_is_read_again(own):
    for make in (lambda: plan(given=["train"] * 7), never):
        found = prepared.prepared("my faces/2", KEY, make)
        check_rows(found, list(range(7)))
        assert (found.names, found.facts) == (NAMES, {"passed_over": 3})
        assert isinstance(found.images, np.memmap)
        assert not found.images.flags.writeable
        collection = found.collection()
        assert (collection.names, collection.sha256) == (NAMES, found.sha256)
        assert collection.given.tolist() == ["train"] * 7
    assert sorted(path.name for path in own.iterdir() if path.is_dir()) == [f"my_faces_2-{KEY[:16]}"]


def test_the_digest_follows_pixels_labels_and_names():
    found = prepared.prepared("a", KEY, plan)
    digests = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in ROWS]
    arrays = {"pixels": np.array(digests, dtype="S16"), "labels": LABELS, "names": np.array(NAMES)}
    assert found.sha256 == cache.digest(arrays)


@pytest.fixture
def hasty():
    """Threads take turns in the middle of everything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("count", [1, 4])
def test_what_is_stored_does_not_depend_on_the_threads(own, monkeypatch, hasty, writable, count):
    monkeypatch.setattr(threads, "cores", lambda: count)
    if not writable:
        monkeypatch.setenv("LOSSBENCH_CACHE", "/proc/none")
    rows = np.random.default_rng(1).integers(0, 256, (400, 50, 60, 3), dtype=np.uint8)
    columns = {"labels": np.arange(400) % 2, "origin": np.arange(400).astype(np.str_)}
    blocks = ((range(at, at + 5), rows[at : at + 5]) for at in reversed(range(0, 400, 5)))
    found = prepared.prepared("a", KEY, lambda: Plan(rows.shape, columns, ("a", "b"), blocks))
    np.testing.assert_array_equal(found.images, rows)
    np.testing.assert_array_equal(found.columns["pixels"], pixel_digests(rows))


def decoded(block):
    """Rows of an archive: 3 and 6 are broken."""
    broken = {row: "is cut short" for row in block if row % 3 == 0 and row}
    kept = [row for row in block if row not in broken]
    return Decoded(kept, [ROWS[row % 7] for row in kept], broken)


@pytest.mark.parametrize("many", [1, 100])
def test_what_is_decoded_does_not_depend_on_who_decodes_it(monkeypatch, many):
    monkeypatch.setattr(prepared, "MANY", many)
    broken = {}
    whole = plan()
    blocks = ([row] for row in reversed(range(7)))
    made = Plan(ROWS.shape, whole.columns, NAMES, blocks, decode=decoded, broken=broken.__setitem__)
    check_rows(prepared.prepared("a", KEY, lambda: made), [0, 1, 2, 4, 5])
    assert broken == {3: "is cut short", 6: "is cut short"}


def test_another_key_is_another_folder():
    prepared.prepared("a", KEY, plan)
    assert len(prepared.prepared("a", KEY[::-1], lambda: plan(left_out=[0])).images) == 6


@pytest.mark.parametrize("writable", [True, False])
def test_rows_without_images_are_left_out_and_identities_without_rows(own, monkeypatch, writable):
    if not writable:
        own.parent.mkdir(exist_ok=True)
        monkeypatch.setenv("LOSSBENCH_CACHE", "/proc/none")
    for _ in range(2):
        found = prepared.prepared("a", KEY, lambda: plan(left_out=[0, 3]))
        check_rows(found, [1, 2, 4, 5, 6])
        assert found.names == ("anna", "bo")
        assert not found.images.flags.writeable


def test_a_cache_that_cannot_be_written_is_reported_once_and_done_without(monkeypatch, caplog):
    monkeypatch.setenv("LOSSBENCH_CACHE", "/proc/none")
    for _ in range(2):
        found = prepared.prepared("a", KEY, plan)
        check_rows(found, list(range(7)))
    assert [record.message.count("cannot write the cache folder") for record in caplog.records] == [1]


@pytest.mark.parametrize("damage", ["cut", "longer", "missing", "facts", "no facts", "header"])
def test_a_damaged_folder_is_reported_and_made_again(own, caplog, damage):
    prepared.prepared("a", KEY, plan)
    folder = own / f"a-{KEY[:16]}"
    if damage in ("cut", "longer"):
        os.truncate(
            folder / "images.npy", (folder / "images.npy").stat().st_size + (1 if damage == "longer" else -1)
        )
    elif damage == "header":
        with (folder / "images.npy").open("r+b") as file:
            file.write(b"none")
    elif damage == "facts":
        (folder / "facts.json").write_text('{"sizes": 3}')
    else:
        (folder / {"missing": "origin.npy", "no facts": "facts.json"}[damage]).unlink()
    check_rows(prepared.prepared("a", KEY, plan), list(range(7)))
    (record,) = caplog.records
    assert "is damaged" in record.message
    assert "\n" not in record.message
    check_rows(prepared.prepared("a", KEY, never), list(range(7)))


def test_a_failure_leaves_nothing_and_is_told(own):
    def failing():
        whole = plan()

        def blocks():
            yield next(whole.blocks)
            raise ValueError("row 3 is bad")

        return Plan(whole.shape, whole.columns, whole.names, blocks())

    with pytest.raises(ValueError, match="row 3 is bad"):
        prepared.prepared("a", KEY, failing)
    assert not [path for path in own.iterdir() if path.is_dir()]
    check_rows(prepared.prepared("a", KEY, plan), list(range(7)))


def test_a_disk_without_room_is_told_before_anything_is_decoded(own, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 10))
    unread = plan()
    with pytest.raises(ValueError, match=r"GB of decoded images do not fit on this disk.*name a folder"):
        prepared.prepared("a", KEY, lambda: unread)
    assert len(list(unread.blocks)) == 4


def test_a_disk_that_fills_up_on_the_way_leaves_nothing(own, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        prepared.prepared("a", KEY, plan)
    assert not [path for path in own.iterdir() if path.is_dir()]


KILLED = """
import os, sys
from tests.datasets import test_prepared as own
from lossbench.datasets import prepared
whole = own.plan()
def blocks():
    yield next(whole.blocks)
    print("begun", flush=True)
    import time
    time.sleep(60)
prepared.prepared("killed", own.KEY, lambda: prepared.Plan(whole.shape, whole.columns, whole.names, blocks()))
"""


def test_what_a_killed_process_leaves_is_never_read_and_removed_later(own):
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    partial = own / f"killed-{KEY[:16]}.partial"
    prepared.prepared("other", KEY, plan)
    assert partial.exists()  # its process lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert partial.exists()
    prepared.prepared("another", KEY, plan)
    assert not partial.exists()
    check_rows(prepared.prepared("killed", KEY, plan), list(range(7)))


def _prepare(barrier, queue):
    started = []

    def slow():
        started.append(1)
        time.sleep(0.3)
        return plan()

    barrier.wait(60)
    found = prepared.prepared("a", KEY, slow)
    queue.put((len(started), found.sha256, bool((found.images == ROWS).all())))


def test_of_two_processes_one_prepares_and_the_other_waits():
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_prepare, args=(barrier, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(times for times, _, _ in found) == [0, 1]
    assert {found[0][1:], found[1][1:]} == {(prepared.prepared("a", KEY, never).sha256, True)}


def test_facts_tell_what_is_stored(own):
    found = prepared.prepared("a", KEY, plan)
    facts = json.loads((own / f"a-{KEY[:16]}/facts.json").read_text())
    assert facts["sha256"] == found.sha256
    assert set(facts["sizes"]) == {"images.npy", "labels.npy", "names.npy", "origin.npy", "pixels.npy"}
    assert facts["facts"] == {"passed_over": 3}


@pytest.mark.parametrize("left_out", [(), (2, 5)])
def test_labels_changed_behind_our_back_are_found_and_made_again(own, caplog, left_out):
    first = prepared.prepared("faces", KEY, lambda: plan(left_out))
    (folder,) = (path for path in own.iterdir() if path.is_dir())
    prepared.prepared("faces", KEY, never)
    file = folder / "labels.npy"
    data = bytearray(file.read_bytes())
    data[-8 * len(first.images) :] = bytes(8 * len(first.images))
    file.chmod(0o644)
    file.write_bytes(data)
    check_rows(
        prepared.prepared("faces", KEY, lambda: plan(left_out)), [r for r in range(7) if r not in left_out]
    )
    assert "do not match its sha256" in caplog.text
