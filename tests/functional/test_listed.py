import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.functional.listed import best_threshold, listed_scores
from tests.functional import slow


def accuracy(scores, same, t):
    return sum((s >= t) == g for s, g in zip(scores, same, strict=True)) / len(scores)


def brute(scores, same):
    """Try the middle of every two neighbouring scores, join neighbours that are as good, keep the widest."""
    levels = sorted(set(scores))
    gaps = [(levels[0], levels[0]), *pairwise(levels)]
    trials = [levels[0], *[(a + b) / 2 for a, b in gaps[1:]]]
    best = max(accuracy(scores, same, t) for t in [*trials, math.inf])
    runs, last = [], None
    for place, (gap, t) in enumerate(zip(gaps, trials, strict=True)):
        if accuracy(scores, same, t) == best:
            if last == place - 1 and runs:
                runs[-1] = (runs[-1][0], gap[1])
            else:
                runs.append(gap)
            last = place
    if not runs:
        return math.inf, best
    low, high = max(runs, key=lambda run: run[1] - run[0])
    return (low + high) / 2, best


@given(st.lists(st.tuples(st.integers(-8, 8).map(lambda k: k / 8), st.booleans()), min_size=1, max_size=14))
@settings(deadline=None, max_examples=300, derandomize=True)
def test_the_threshold_is_the_middle_of_the_widest_best_plateau_as_loops_find_it(pairs):
    scores, same = [p[0] for p in pairs], [p[1] for p in pairs]
    found = best_threshold(torch.tensor(scores), torch.tensor(same))
    assert found == brute(scores, same)
    assert accuracy(scores, same, found.threshold) == found.accuracy


@pytest.mark.parametrize(
    ("scores", "same", "threshold", "share"),
    [
        # Two plateaus of 0.75, (0.2, 0.3] and (0.5, 0.9]: the wider one.
        ([0.2, 0.3, 0.5, 0.9], [0, 1, 0, 1], 0.7, 0.75),
        # Equally wide: the lower one.
        ([0.25, 0.5, 0.75, 1.0], [0, 1, 0, 1], 0.375, 0.75),
        # A tie of a genuine with an impostor inside a plateau does not end it.
        ([0.0, 0.5, 0.5, 1.0], [0, 0, 1, 1], 0.5, 0.75),
        ([0.25, 0.5], [1, 1], 0.25, 1.0),
        ([0.25, 0.5], [0, 0], math.inf, 1.0),
        ([0.5, 0.5], [0, 1], 0.5, 0.5),
    ],
)
def test_plateaus_by_hand(scores, same, threshold, share):
    found = best_threshold(torch.tensor(scores), torch.tensor(same, dtype=torch.bool))
    assert found == (pytest.approx(threshold), share)


def test_the_threshold_lies_between_neighbouring_floats():
    for dtype in (torch.float32, torch.float64):
        low = torch.tensor(0.5, dtype=dtype)
        scores = torch.stack([low, torch.nextafter(low, low + 1)])
        found = best_threshold(scores, torch.tensor([False, True]))
        assert (scores.double() >= found.threshold).tolist() == [False, True]


def test_listed_scores_are_those_of_a_loop_in_any_block():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(30, 11, generator=generator)
    embedding[4] = 0
    pairs = torch.randint(30, (57, 2), generator=generator)
    rows = [slow.unit(row) for row in embedding.tolist()]
    expected = [float(slow.cosine(rows[i], rows[j])) for i, j in pairs.tolist()]
    for block in (1, 5, 57, 512):
        assert listed_scores(embedding, pairs, block=block).tolist() == expected


def test_no_pairs_have_no_scores():
    assert listed_scores(torch.ones(2, 3), torch.zeros(0, 2, dtype=torch.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (torch.zeros(3, dtype=torch.int64), r"pairs has shape \(3,\)"),
        (torch.zeros(3, 2), "pairs is torch.float32"),
        (torch.tensor([[0, 1], [0, 2], [-1, 0]]), r"2 of 3 pairs name rows outside 0\.\.1"),
    ],
)
def test_wrong_lists_are_refused_in_one_line(pairs, message):
    with pytest.raises(ValueError, match=message):
        listed_scores(torch.ones(2, 3), pairs)


def test_rows_and_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 of 2 embedding rows hold NaN"):
        listed_scores(torch.tensor([[1.0], [math.nan]]), torch.tensor([[0, 0]]))
    with pytest.raises(ValueError, match="1 of 1 scores are NaN"):
        best_threshold(torch.tensor([math.nan]), torch.tensor([True]))
    with pytest.raises(ValueError, match="no pairs"):
        best_threshold(torch.ones(0), torch.ones(0, dtype=torch.bool))
    with pytest.raises(ValueError, match="expected bool"):
        best_threshold(torch.ones(1), torch.ones(1))
    with pytest.raises(ValueError, match=r"expected \(p,\) each"):
        best_threshold(torch.ones(2), torch.ones(1, dtype=torch.bool))


@pytest.mark.parametrize("listed", [3000, 40])
@pytest.mark.parametrize("block", [1, 7, 1024])
def test_pairs_scored_in_tiles_and_one_by_one_agree_in_every_bit(listed, block):
    # 3,000 of 2,500 cells are multiplied in tiles, 40 one by one; 7 leaves tiles cut off at the edges.
    generator = torch.Generator().manual_seed(listed)
    rows = torch.randn(200, 16, generator=generator)
    pairs = torch.randint(0, 200 if listed < 100 else 50, (listed, 2), generator=generator)
    single = torch.cat([listed_scores(rows, pair.unsqueeze(0)) for pair in pairs[:100]])
    assert torch.equal(listed_scores(rows, pairs, block=block)[:100], single)
    doubled = slow.unit(rows[pairs[0, 0]].tolist()), slow.unit(rows[pairs[0, 1]].tolist())
    assert float(single[0]) == pytest.approx(slow.cosine(*doubled), abs=1e-6)


def test_no_pair_has_no_score():
    assert listed_scores(torch.eye(3), torch.zeros(0, 2, dtype=torch.int64)).shape == (0,)
