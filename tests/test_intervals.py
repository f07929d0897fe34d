import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, t, ttest_1samp

from lossbench.intervals import bootstrap_p, clopper_pearson, holm, mean_interval, mean_test


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (1, 1), (0, 100), (3, 7), (47, 47_000_000), (99, 100)]
)
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_interval_is_that_of_scipy(successes, trials, level):
    expected = binomtest(successes, trials).proportion_ci(level, method="exact")
    assert clopper_pearson(successes, trials, level=level) == pytest.approx(tuple(expected), rel=1e-6)


def test_the_interval_covers_every_true_share_at_least_as_often_as_it_says():
    intervals = [clopper_pearson(k, 20) for k in range(21)]
    for p in [k / 200 for k in range(1, 200)]:
        covered = sum(binom.pmf(k, 20, p) for k, (low, high) in enumerate(intervals) if low <= p <= high)
        assert covered >= 0.95


def test_no_trials_say_nothing_and_wrong_counts_are_refused():
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="successes=5"):
        clopper_pearson(5, 4)
    with pytest.raises(ValueError, match="level=1"):
        clopper_pearson(1, 4, level=1)


def test_no_success_among_many_trials_leaves_about_the_rule_of_three():
    # At one side of 95 %, so both sides of 90 %.
    assert clopper_pearson(0, 10**6, level=0.9)[1] == pytest.approx(3 / 10**6, rel=2e-3)


def test_the_interval_of_a_mean_is_that_of_scipy():
    values = [0.91, 0.93, 0.9, 0.95, 0.92]
    expected = ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean_interval(values, level=0.9) == pytest.approx(tuple(expected), abs=1e-12)
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)
    with pytest.raises(ValueError, match=r"len\(values\)=1"):
        mean_interval([0.5])


def test_the_p_of_a_mean_is_that_of_scipy_and_1_where_nothing_varies():
    values = [0.02, -0.01, 0.03, 0.01]
    assert mean_test(values).p == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert mean_test([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5, 1.0)


def two_parts(seeds, spread, mean=0.0):
    """Values and replicates with these standard errors: of ``seeds`` values, and 1 of 400 identities."""
    values = np.array([-1.0, 0, 1] if seeds == 3 else np.linspace(-1, 1, seeds))
    people = np.sin(np.arange(400))
    values *= spread * math.sqrt(seeds) / values.std(ddof=1)
    return (mean + values).tolist(), (people / people.std(ddof=1)).tolist()


@pytest.mark.parametrize(("spread", "distance"), [(1, 3), (0.3, 4), (2, 8), (0.1, 6)])
def test_two_sources_of_chance_are_the_sum_of_two_t_variables(spread, distance):
    draw = np.random.default_rng(0)
    drawn = np.abs(spread * draw.standard_t(2, 10**6) + draw.standard_t(399, 10**6))
    values, people = two_parts(3, spread, mean=distance)
    found = mean_test(values, replicates=people)
    expected = (drawn > distance).mean()
    assert found.p == pytest.approx(expected, abs=4 * math.sqrt(expected / 10**6))
    assert found.high - distance == pytest.approx(np.quantile(drawn, 0.95), rel=0.01)
    # whichever varies more, and on either side of zero
    values, people = two_parts(3, spread, mean=-distance)
    assert mean_test(values, replicates=people).p == pytest.approx(found.p, rel=1e-9)


def test_one_source_that_hardly_varies_leaves_the_t_test_of_the_other():
    values, people = two_parts(5, 1e-6, mean=2.0)
    assert mean_test(values, replicates=people).p == pytest.approx(2 * t.sf(2.0, 399), rel=1e-3)
    values, people = two_parts(5, 1.0, mean=2.0)
    still = [1e-7 * person for person in people]
    alone = mean_test(values)
    assert mean_test(values, replicates=still) == pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_spread_over_seeds_that_is_small_by_luck_makes_nothing_sure(seeds):
    """Of chance alone, no more than 1 in 100 have a p below 0.01 (Satterthwaite's freedom: 3 to 4)."""
    draw, low, tried = np.random.default_rng(0), 0, 1000
    people = two_parts(seeds, 1.0)[1]
    for _ in range(tried):
        values = draw.standard_normal() + 2 * math.sqrt(seeds) * draw.standard_normal(seeds)
        low += mean_test(values.tolist(), replicates=people).p < 0.01
    assert low <= 0.01 * tried + 2 * math.sqrt(0.01 * tried)


def test_few_identities_make_a_wider_interval_however_many_replicates_there_are():
    people = [0.1 * math.sin(k) for k in range(400)]
    many, ten = (mean_test([0.5, 0.5, 0.5], replicates=people, identities=n) for n in (None, 10))
    ratio = math.sqrt(10 / 9) * t.ppf(0.975, 9) / t.ppf(0.975, 399)
    assert (ten.high - ten.low) / (many.high - many.low) == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize("people", [5, 20, 100])
def test_a_bootstrap_over_people_finds_nothing_in_one_case_of_twenty(people):
    draw, tried = np.random.default_rng(people), 1000
    found = 0
    for _ in range(tried):
        gaps = draw.standard_normal(people)
        replicates = draw.multinomial(people, np.full(people, 1 / people), size=300) @ gaps / people
        found += bootstrap_p(float(gaps.mean()), replicates.tolist(), people) < 0.05
    assert 0.02 * tried < found < 0.075 * tried


def test_a_bootstrap_that_never_moves_tells_nothing():
    assert bootstrap_p(0.3, [0.3] * 10, 50) == 1.0


def test_holm_by_hand():
    # 0.01 * 4, 0.015 * 3, 0.02 * 2 = 0.04 but no less than 0.045, 0.3 * 1
    assert holm([0.02, 0.3, 0.01, 0.015]) == pytest.approx([0.045, 0.3, 0.04, 0.045])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []
    with pytest.raises(ValueError, match=r"p=1\.5"):
        holm([1.5])


def test_holm_is_the_closed_test_of_bonferroni():
    p = [0.004, 0.03, 0.012, 0.2, 0.03]
    for i, adjusted in enumerate(holm(p)):
        families = [f for k in range(1, 6) for f in itertools.combinations(range(5), k) if i in f]
        assert adjusted == pytest.approx(max(min(1, len(f) * min(p[j] for j in f)) for f in families))


def test_holm_refuses_what_is_no_number():
    with pytest.raises(ValueError, match="p=nan"):
        holm([math.nan])
