"""The caches: right when they hit, healed when torn, done without when they cannot be written."""

from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from lossbench.datasets import Blobs, Dataset, Glyphs, cache, load
from lossbench.datasets.cache import Arrays, cached_arrays, digest
from tests.datasets.conftest import DEFAULTS

TOY = {"samples": 5, "noise": 0.1, "classes": 2, "shift": 0.0}


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Counted:
    """Draws the same arrays each time, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Arrays:
        self.calls += 1
        return {"images": np.arange(600, dtype=np.uint8).reshape(6, 10, 10), "name": np.array(["a", "bc"])}


def same(one: Arrays, other: Arrays) -> bool:
    return digest(one) == digest(other)


def test_a_second_asking_reads_instead_of_drawing(own_cache: Path) -> None:
    draw = Counted()
    first, second = cached_arrays("k", draw), cached_arrays("k", draw)
    assert draw.calls == 1
    assert same(first, second)
    assert [path.name for path in own_cache.iterdir()] == ["k.npz"]


def test_a_cache_hit_gives_the_fresh_drawing(default_glyphs: Dataset, monkeypatch) -> None:
    monkeypatch.setattr("lossbench.datasets.glyphs.draw_characters", lambda files: pytest.fail("drawn again"))
    again = Glyphs(**DEFAULTS).load()
    assert again.sha256 == default_glyphs.sha256
    for role, split in default_glyphs.splits.items():
        np.testing.assert_array_equal(again.splits[role].data, split.data)
        np.testing.assert_array_equal(again.splits[role].labels, split.labels)


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"\x80garbage" * 100)


def other_shape(path: Path) -> None:
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "images": arrays["images"].reshape(6, 100)})


def flipped_bit(path: Path) -> None:
    arrays = dict(np.load(path))
    arrays["images"][3, 3, 3] ^= 1
    np.savez(path, **arrays)


def no_sha256(path: Path) -> None:
    np.savez(path, **Counted()())


def pickled(path: Path) -> None:
    np.savez(path, images=np.array([{}], dtype=object), sha256=np.array("0"))


@pytest.mark.parametrize("damage", [torn, empty, garbage, other_shape, flipped_bit, no_sha256, pickled])
def test_a_damaged_file_is_reported_and_drawn_again(damage, own_cache: Path, caplog) -> None:
    draw = Counted()
    whole = cached_arrays("k", draw)
    damage(own_cache / "k.npz")
    assert same(cached_arrays("k", draw), whole)
    assert draw.calls == 2
    (record,) = caplog.records
    assert "k.npz is damaged" in record.message
    assert "\n" not in record.message
    assert same(cached_arrays("k", draw), whole)
    assert draw.calls == 2


def test_a_cache_folder_that_is_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"^LOSSBENCH_CACHE=.*/file: is a file; name a folder"):
        cached_arrays("k", Counted())


def test_a_cache_folder_below_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOSSBENCH_CACHE", "~/my cache")
    cached_arrays("k", Counted())
    assert cache.cache_folder() == tmp_path / "my cache"
    assert (tmp_path / "my cache" / "k.npz").is_file()


def test_an_unwritable_folder_is_reported_once_and_done_without(tmp_path: Path, monkeypatch, caplog) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "file" / "below"))
    cache.report_unwritable.cache_clear()
    draw = Counted()
    with caplog.at_level(logging.WARNING):
        assert same(cached_arrays("k", draw), cached_arrays("k", draw))
    assert draw.calls == 2
    (record,) = caplog.records
    assert record.message.startswith("cannot write the cache folder")


def test_a_full_disk_leaves_no_half_written_file(own_cache: Path, monkeypatch, caplog) -> None:
    def full(file, **arrays) -> None:
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    cached_arrays("k", Counted())
    assert list(own_cache.iterdir()) == []
    assert "no space left" in caplog.text


def _prepare(barrier, results) -> None:
    barrier.wait(timeout=30)
    results.put(digest(cached_arrays("k", Counted())))


def test_processes_preparing_at_once_all_get_whole_arrays(own_cache: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(3), spawn.Queue()
    workers = [spawn.Process(target=_prepare, args=(barrier, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    digests = {results.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join(timeout=30)
    assert digests == {digest(Counted()())}
    assert [path.name for path in own_cache.iterdir()] == ["k.npz"]


def test_load_reads_each_source_once_and_keeps_the_last_two(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(Blobs(**TOY, seed=0))
    assert load(Blobs(**TOY, seed=0)) is first
    load(Blobs(**TOY, seed=1))
    assert load(Blobs(**TOY, seed=0)) is first
    load(Blobs(**TOY, seed=2))
    load(Blobs(**TOY, seed=3))
    assert load(Blobs(**TOY, seed=0)) is not first


def test_digest_tells_names_types_shapes_and_contents_apart() -> None:
    array = np.arange(6, dtype=np.int64)
    others = [
        {"b": array},
        {"a": array.astype(np.uint64)},
        {"a": array.reshape(2, 3)},
        {"a": array + 1},
        {"a": array, "b": array},
        {"a": array[:0]},
    ]
    assert len({digest(arrays) for arrays in [{"a": array}, *others]}) == 7
    assert digest({"a": array, "b": array}) == digest({"b": array, "a": array})
