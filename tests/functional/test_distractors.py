import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.functional.distractors import distractor_scores
from lossbench.functional.screening import bf16_products_hold
from lossbench.functional.tile_screen import TileScreen
from tests.functional import slow


def brute(probe, distractors):
    others = [slow.unit(row) for row in distractors.tolist()]
    return [[float(slow.cosine(slow.unit(row), other)) for other in others] for row in probe.tolist()]


ROWS = st.lists(st.lists(st.integers(-1, 1), min_size=2, max_size=2), min_size=1, max_size=9)


@given(ROWS, ROWS, st.integers(1, 10), st.integers(1, 4), st.integers(0, 20), st.data())
@settings(deadline=None, max_examples=100, derandomize=True)
def test_the_best_of_every_prefix_and_the_highest_of_all_are_those_of_full_lists(
    probe, others, block, depth, keep, data
):
    probe, others = torch.tensor(probe).float(), torch.tensor(others).float()
    sizes = sorted(data.draw(st.sets(st.integers(1, len(others)), max_size=3)))
    found = distractor_scores(probe, others, sizes=sizes, depth=depth, keep=keep, block=block)
    scores = brute(probe, others)
    for size, best in zip(sizes, found.best, strict=True):
        padded = [sorted([*row[:size], *[-math.inf] * depth], reverse=True)[:depth] for row in scores]
        assert best.tolist() == padded
    assert len(found.best) == len(sizes)
    ranked = sorted((score for row in scores for score in row), reverse=True)
    assert found.highest.tolist() == ranked[:keep]
    named = [scores[i][j] for i, j in found.pairs.tolist()]
    assert named == found.highest.tolist()
    assert len({tuple(pair) for pair in found.pairs.tolist()}) == len(named)


def test_the_block_changes_no_bit():
    generator = torch.Generator().manual_seed(0)
    probe, others = torch.randn(40, 16, generator=generator), torch.randn(300, 16, generator=generator)
    whole = distractor_scores(probe, others, sizes=(10, 100, 250), depth=5, keep=200)
    for block in (1, 13, 64):
        again = distractor_scores(probe, others, sizes=(10, 100, 250), depth=5, keep=200, block=block)
        assert torch.equal(torch.stack(again.best), torch.stack(whole.best))
        assert torch.equal(again.highest, whole.highest)


def search(probe, others, **options):
    """Scores as lists; pairs too."""
    found = distractor_scores(probe, others, **options)
    best = [part.tolist() for part in found.best]
    return best, found.highest.tolist(), found.pairs.tolist()


def sorted_lists(probe, others, *, sizes, depth, keep, least=None):
    scores = brute(probe, others)
    floor = [-math.inf] * len(probe) if least is None else least.tolist()
    best = []
    for size in sizes:
        rows = [[s for s in row[:size] if s >= low] for row, low in zip(scores, floor, strict=True)]
        best.append([sorted([*row, *[-math.inf] * depth], reverse=True)[:depth] for row in rows])
    pairs = [(-scores[i][j], j, i) for j in range(len(others)) for i in range(len(probe))]
    highest = sorted(pairs)[:keep]
    return best, [-s for s, _, _ in highest], [[i, j] for _, j, i in highest]


@pytest.fixture(params=["float32", "bfloat16"])
def screened(request, monkeypatch):
    """Every entry that is open is scored alone, however many there are, in one of the two types."""
    monkeypatch.setattr("lossbench.functional.tile_screen._FEW", 0)
    if request.param == "float32":
        monkeypatch.setattr("lossbench.functional.tile_screen.bf16_products_hold", lambda device: False)
    elif not bf16_products_hold(torch.device("cpu")):
        pytest.skip("this CPU does not multiply bfloat16")


def alike(n=6, others=150, d=12):
    """Probes and distractors with copies, scores next to each other, and a zero row."""
    generator = torch.Generator().manual_seed(3)
    probe, rows = torch.randn(n, d, generator=generator), torch.randn(others, d, generator=generator)
    rows[5:20] = probe[0] + 1e-6 * rows[5:20]
    rows[20:40] = probe[1]
    rows[40:60] = rows[60:80]
    rows[80] = 0
    rows[90:110] = probe[2] + 1e-2 * rows[90:110]
    return probe, rows


@pytest.mark.parametrize("block", [1, 3, 16, 32, 80])
@pytest.mark.parametrize(("depth", "keep"), [(1, 0), (3, 40), (200, 2000)])
@pytest.mark.usefixtures("screened")
def test_screening_finds_what_sorting_all_scores_finds(block, depth, keep):
    probe, others = alike()
    asked = {"sizes": (7, 64, 130), "depth": depth, "keep": keep}
    assert search(probe, others, **asked, block=block) == sorted_lists(probe, others, **asked)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.usefixtures("screened")
def test_screening_takes_every_float_type_and_any_length_as_given(dtype):
    probe, others = (rows.to(dtype) for rows in alike())
    asked = {"sizes": (150,), "depth": 4, "keep": 30}
    assert search(probe, others, **asked, block=16) == sorted_lists(probe, others, **asked)
    scale = torch.logspace(-3, 3, 150, dtype=dtype).unsqueeze(1)
    scaled = (others * scale).to(dtype)
    assert search(probe, scaled, **asked, block=16) == sorted_lists(probe, scaled, **asked)


@pytest.mark.parametrize("size", [1e-35, 1e35])
@pytest.mark.usefixtures("screened")
def test_rows_of_extreme_lengths_are_scaled_without_loss(size):
    probe, others = alike()
    asked = {"sizes": (150,), "depth": 4, "keep": 30}
    assert search(probe, others * size, **asked, block=16) == sorted_lists(probe, others * size, **asked)


@pytest.mark.parametrize("offset", [0, 3, 30, 400])
@pytest.mark.usefixtures("screened")
def test_no_score_depends_on_how_products_are_rounded_within_the_bound(offset, monkeypatch):
    """Sums all too low by most of the bound, of cosines that lie ever closer together."""
    probe, others = alike(n=20, others=640)
    probe[:, 0], others[:, 0] = offset, offset
    asked = {"sizes": (64, 640), "depth": 5, "keep": 100, "block": 32}
    expected, plain = search(probe, others, **asked), TileScreen._product

    def shaken(self, left, right, buffer):
        low = left.float() @ right.float().T - 0.7 * self._error
        return plain(self, left, right, buffer).copy_(low)

    monkeypatch.setattr(TileScreen, "_product", shaken)
    assert search(probe, others, **asked) == expected


@pytest.mark.usefixtures("screened")
def test_scores_below_the_least_asked_for_are_left_out():
    probe, others = alike()
    least = torch.tensor([float(score) for score in (0.999, 1.0, 0.5, -1.0, 2.0, brute(probe, others)[5][3])])
    asked = {"sizes": (7, 150), "depth": 5, "keep": 10, "least": least}
    assert search(probe, others, **asked, block=16) == sorted_lists(probe, others, **asked)


def test_a_memory_mapped_file_gives_the_scores_of_its_rows(tmp_path):
    probe, others = alike(others=700)
    np.save(tmp_path / "others.npy", others.numpy())
    array = np.load(tmp_path / "others.npy", mmap_mode="r")
    asked = {"sizes": (10, 700), "depth": 4, "keep": 30, "block": 64}
    assert search(probe, array, **asked) == search(probe, others, **asked)
    with pytest.raises(ValueError, match=r"distractors has shape \(8400,\)"):
        search(probe, array.reshape(-1), **asked)


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_changes_no_score_and_no_pair(threads):
    probe, others = alike(n=40, others=3000)
    asked = {"sizes": (100, 3000), "depth": 5, "keep": 300, "block": 64}
    one = search(probe, others, **asked)
    torch.set_num_threads(threads)
    try:
        assert search(probe, others, **asked) == one
        with torch.inference_mode():
            assert search(probe.clone(), others.clone(), **asked) == one
        with pytest.raises(ValueError, match="rows 3000 to 3000: 1 of 1 embedding rows"):
            search(probe, torch.cat([others, torch.full((1, 12), math.nan)]), **asked)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)


def test_a_collapsed_model_is_scored_tile_by_tile():
    probe, others = torch.ones(5, 8), torch.ones(600, 8)
    asked = {"sizes": (600,), "depth": 3, "keep": 7}
    assert search(probe, others, **asked, block=64) == sorted_lists(probe, others, **asked)


def test_many_probes_are_compared_in_parts(monkeypatch):
    monkeypatch.setattr("lossbench.functional.distractors._PROBES", 4)
    probe, others = alike(n=10)
    asked = {"sizes": (7, 150), "depth": 3, "keep": 40}
    assert search(probe, others, **asked) == sorted_lists(probe, others, **asked)


def test_rows_that_are_not_finite_are_named():
    probe, others = alike()
    others[77, 2] = math.nan
    with pytest.raises(ValueError, match="distractors, rows 0 to 149: 1 of 150 embedding rows hold NaN"):
        search(probe, others, sizes=(), depth=1, keep=1)


def test_no_distractors_have_no_scores():
    found = distractor_scores(torch.ones(3, 2), torch.ones(0, 2), sizes=(), depth=2, keep=4)
    assert (found.best, found.highest.tolist(), found.pairs.shape) == ([], [], (0, 2))


def test_wrong_sizes_and_shapes_are_refused_in_one_line():
    probe, others = torch.ones(2, 3), torch.ones(4, 3)
    for sizes in ((0, 2), (3, 3), (2, 5)):
        with pytest.raises(ValueError, match="must ascend from 1 to at most 4 distractors"):
            distractor_scores(probe, others, sizes=sizes, depth=1, keep=1)
    with pytest.raises(ValueError, match="distractors have 2 columns: probes 3"):
        distractor_scores(probe, torch.ones(4, 2), sizes=(), depth=1, keep=1)
    with pytest.raises(ValueError, match="depth=0"):
        distractor_scores(probe, others, sizes=(), depth=0, keep=1)
