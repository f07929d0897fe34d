import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.functional.distractors import distractor_scores
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
