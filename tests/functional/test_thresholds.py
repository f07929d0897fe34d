import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbench.functional.thresholds import allowed, blufr_threshold, exact_threshold, unresolved

SCORES = st.lists(st.integers(0, 9).map(lambda k: k / 8), min_size=1, max_size=12)


def share(scores, t):
    return sum(score >= t for score in scores) / len(scores)


def descending(scores):
    return torch.tensor(sorted(scores, reverse=True))


@given(SCORES, SCORES, st.floats(0.01, 1))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_the_exact_threshold_is_the_best_of_all_thresholds_and_the_strictest_of_those(genuine, impostor, far):
    fair = [t for t in {*genuine, *impostor, math.inf} if share(impostor, t) <= far]
    best = max(share(genuine, t) for t in fair)
    t = exact_threshold(torch.tensor(genuine), descending(impostor), len(impostor), far)
    assert share(impostor, t) <= far
    assert share(genuine, t) == best
    assert all(share(genuine, strict) < best for strict in fair if strict > t)


@given(SCORES, SCORES, st.floats(0.0001, 1))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_the_blufr_threshold_follows_the_toolkit_line_by_line(genuine, impostor, far):
    ranked = sorted(impostor, reverse=True)
    x = far * len(ranked)
    alarms = int(x) + (x - int(x) >= 0.5)
    if alarms == 0:
        above = [score for score in genuine if score > ranked[0]]
        expected = (ranked[0] + min(above)) / 2 if above else ranked[0] + math.sqrt(2.0**-52)
    elif alarms == len(ranked):
        expected = min(ranked[-1], min(genuine)) - math.sqrt(2.0**-52)
    else:
        expected = ranked[alarms - 1]
    assert blufr_threshold(torch.tensor(genuine), descending(impostor), len(impostor), far) == expected


@pytest.mark.parametrize(("far", "k"), [(0.25, 1), (0.249, 0), (0.75, 2), (0.74, 1)])
def test_blufr_rounds_halves_up_unlike_python(far, k):
    impostor = torch.tensor([0.75, 0.5])
    t = blufr_threshold(torch.tensor([1.0]), impostor, 2, far)
    assert int((impostor >= t).sum()) == k


def test_a_tie_at_the_limit_is_refused_by_the_exact_rule_and_accepted_by_blufr():
    genuine, impostor = torch.tensor([0.9, 0.5]), torch.tensor([0.5, 0.5, 0.1, 0.0])
    assert exact_threshold(genuine, impostor, 4, 0.25) == pytest.approx(0.9)
    assert blufr_threshold(genuine, impostor, 4, 0.25) == 0.5


def test_the_highest_scores_say_the_same_as_all_of_them():
    scores = torch.rand(5000, generator=torch.Generator().manual_seed(0))
    impostor, genuine = scores[:4000].sort(descending=True).values, scores[4000:] + 0.2
    for rule in (exact_threshold, blufr_threshold):
        assert rule(genuine, impostor[:101], 4000, 0.025) == rule(genuine, impostor, 4000, 0.025)


def test_a_tail_too_short_for_the_rate_is_refused():
    impostor = torch.tensor([0.5, 0.4])
    for rule in (exact_threshold, blufr_threshold):
        with pytest.raises(ValueError, match="impostor holds 2 of 100 scores: this FAR needs the highest"):
            rule(torch.tensor([0.9]), impostor, 100, 0.05)


@given(st.integers(1, 10**7), st.floats(1e-7, 1))
@settings(deadline=None, max_examples=300, derandomize=True)
def test_the_allowed_count_is_the_largest_whose_rate_is_within_the_far(impostors, far):
    k = allowed(far, impostors)
    assert k / impostors <= far
    assert k == impostors or (k + 1) / impostors > far


@pytest.mark.parametrize("decade", range(1, 8))
def test_one_pair_in_as_many_as_the_rate_names_resolves_it(decade):
    far, n = 10.0**-decade, 10**decade
    assert unresolved(far, n) is None
    assert allowed(far, n) == 1
    assert f"at least {n:,} probes: there are {n - 1:,}" in unresolved(far, n - 1, "probes")
