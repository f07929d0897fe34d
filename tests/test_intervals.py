import pytest
from scipy.stats import binom, binomtest

from lossbench.intervals import clopper_pearson


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
