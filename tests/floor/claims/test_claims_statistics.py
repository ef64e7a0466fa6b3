import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from auricle.claims import statistics as stats
from auricle.core.errors import ConfigError, DataError
from auricle.metrics.bootstrap import PairedScores, paired_bootstrap_runs


def test_paired_t_by_hand():
    # differences 1, 2, 3: mean 2, sd 1, error 1 / sqrt(3); t(0.975, 2) = 4.302653, t(0.8, 2) = 1.060660
    found = stats.paired_t([2, 4, 6], [1, 2, 3])
    assert found.value == pytest.approx(2)
    assert found.ci95 == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), abs=1e-6)
    assert found.minimum_detectable == pytest.approx((4.302653 + 1.060660) / math.sqrt(3), abs=1e-6)
    assert found.p == pytest.approx(scipy_stats.ttest_rel([2, 4, 6], [1, 2, 3]).pvalue)


def test_paired_t_without_spread_has_an_interval_of_width_zero():
    assert stats.paired_t([2, 3], [1, 2]).ci95 == (1, 1)
    assert stats.paired_t([2, 3], [1, 2]).p == 0
    assert stats.paired_t([2, 3], [2, 3]).p == 1


def test_paired_ratio_by_hand():
    # ratios 2 and 8: geometric mean 4; logs differ by 2 log 2, error of their mean log 2, t(0.975, 1) = 12.7062
    found = stats.paired_ratio([2, 8], [1, 1])
    assert found.value == pytest.approx(4)
    assert found.ci95[0] == pytest.approx(4 * 2**-12.7062, rel=1e-4)
    with pytest.raises(DataError, match="above 0"):
        stats.paired_ratio([0, 1], [1, 1])


def test_paired_bootstrap_covers_the_mean_and_repeats():
    a, b = np.array([3.1, 5.07, 4.2, 5.92, 6.71]), np.array([1.0, 2.0, 3.0, 2.0, 3.0])
    found = stats.paired_bootstrap_mean(a, b, seed=1)
    assert found.value == pytest.approx(2.8)
    assert found.ci95[0] < 2.8 < found.ci95[1]
    assert min(a - b) <= found.ci95[0]
    assert found.ci95[1] <= max(a - b)
    assert found == stats.paired_bootstrap_mean(a, b, seed=1)
    few = [stats.paired_bootstrap_mean(a, b, seed=seed, n=50).ci95 for seed in range(4)]
    assert len(set(few)) > 1


def test_sd_ratio_by_hand_and_its_mirror():
    a, b = [1.0, 2.0, 3.0, 4.0, 5.0, 6.5], [2.0, 4.0, 6.0, 8.0, 10.0, 13.0]
    found = stats.sd_ratio(a, b, seed=0)
    assert found.value == pytest.approx(0.5)
    assert found.ci95[0] < 0.5 < found.ci95[1]


def test_sd_ratio_interval_covers_the_truth_about_as_often_as_it_says():
    draws = np.random.default_rng(3)
    hits = 0
    for trial in range(200):
        low, high = stats.sd_ratio(draws.normal(0, 1, 16), draws.normal(0, 2, 16), seed=trial, n=400).ci95
        hits += low <= 0.5 <= high
    assert 176 <= hits <= 199  # 88 to 99.5 %: close to 95, as a percentile interval is for 16 values


def test_sd_ratio_without_a_spread_is_refused():
    with pytest.raises(DataError, match="no spread"):
        stats.sd_ratio([1, 1, 1], [1, 2, 3], seed=0)
    with pytest.raises(DataError, match="3 or more"):
        stats.sd_ratio([1, 2], [1, 2, 3], seed=0)


def test_detectable_sd_ratio_has_the_power_it_says():
    ratio = stats.detectable_sd_ratio(16, 16)
    assert 0.4 < ratio < 0.55  # so that 0.7 is out of reach, as the issue says of ten seeds
    draws = np.random.default_rng(0)
    f = (ratio * draws.normal(size=(20000, 16))).var(axis=1, ddof=1) / draws.normal(size=(20000, 16)).var(
        axis=1, ddof=1
    )
    found = np.mean(f < scipy_stats.f.ppf(0.025, 15, 15))
    assert found == pytest.approx(0.8, abs=0.015)


def test_brown_forsythe_is_levenes_test_about_medians():
    a, b = [1.0, 2.0, 3.0, 5.0], [2.0, 8.0, 14.0, 30.0]
    f, p = stats.brown_forsythe(a, b)
    theirs = scipy_stats.levene(a, b, center="median")
    assert (f, p) == pytest.approx((theirs.statistic, theirs.pvalue))
    # by hand: medians 2.5 and 11; distances 1.5 .5 .5 2.5 (mean 1.25) and 9 3 3 19 (mean 8.5)
    within = sum((d - 1.25) ** 2 for d in (1.5, 0.5, 0.5, 2.5)) + sum((d - 8.5) ** 2 for d in (9, 3, 3, 19))
    assert f == pytest.approx(8 * (7.25 / 2) ** 2 / (within / 6))
    with pytest.raises(DataError, match="do not vary"):
        stats.brown_forsythe([1.0, 2.0], [1.0, 2.0])


def test_hull_is_the_widest():
    one, two = stats.Estimate(1.0, (0.5, 1.5), 3, 0.2), stats.Estimate(1.1, (-0.1, 1.4), 3, 0.7)
    assert stats.hull([one, two]) == stats.Estimate(1.0, (-0.1, 1.5), 3, 0.7)
    with pytest.raises(ConfigError, match="no estimate"):
        stats.hull([])


@pytest.mark.parametrize(
    ("interval", "claimed", "outcome"),
    [
        ((-2, -1), "below", "confirmed"),
        ((1, 2), "below", "refuted"),
        ((-1, 2), "below", "not resolved"),
        ((-1, 0), "below", "not resolved"),
        ((1, 2), "above", "confirmed"),
        ((-2, -1), "above", "refuted"),
    ],
)
def test_side(interval, claimed, outcome):
    assert stats.side(interval, 0.0, claimed) == outcome


def test_all_of():
    assert stats.all_of(["confirmed", "confirmed"]) == "confirmed"
    assert stats.all_of(["confirmed", "refuted"]) == "refuted"
    assert stats.all_of(["confirmed", "not resolved"]) == "not resolved"
    assert stats.all_of([]) == "not resolved"


@pytest.mark.parametrize("bad", [([1], [1]), ([1, 2], [1]), ([1, math.nan], [1, 2])])
def test_pairs_that_are_none_are_refused(bad):
    with pytest.raises(DataError):
        stats.paired_t(*bad)


def test_over_seeds_is_the_t_interval_of_the_mean():
    assert stats.over_seeds([1.0, 2.0, 3.0]) == stats.paired_t([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])


def test_percentile_interval_leaves_out_draws_without_a_value():
    draws = np.concatenate([np.arange(101.0), np.full(50, np.nan)])
    assert stats.percentile_interval(draws) == pytest.approx((2.5, 97.5))
    with pytest.raises(DataError, match="most replicates"):
        stats.percentile_interval(np.concatenate([np.arange(10.0), np.full(11, np.nan)]))


def test_an_interval_over_units_holds_its_value():
    found = stats.around(200.0, np.arange(101.0), 3)
    assert (found.value, found.n) == (200.0, 3)
    assert found.ci95 == pytest.approx((2.5, 200.0))


def test_seeds_and_units_give_the_wider_interval():
    draws = [np.linspace(-50, 50, 1001), np.linspace(-48, 52, 1001)]  # means over seeds: -49 to 51
    wide = stats.over_seeds_and_units([0.9, 1.1], draws)
    assert wide.value == pytest.approx(1.0)
    assert wide.ci95 == pytest.approx((-46.5, 48.5), abs=0.1)
    narrow = stats.over_seeds_and_units([0.0, 2.0], [np.full(1001, 1.0), np.full(1001, 1.0)])
    assert narrow.ci95 == stats.over_seeds([0.0, 2.0]).ci95


def test_paired_seeds_and_units_by_hand():
    a, b = [[3.0, 5.0], [4.0, 6.0]], [[1.0, 2.0], [1.0, 3.0]]
    seeds = stats.paired_t([4.0, 5.0], [1.5, 2.0])
    units = stats.paired_bootstrap_mean([3.5, 5.5], [1.0, 2.5], seed=0)
    assert stats.paired_over_seeds_and_units(a, b) == stats.hull([seeds, units])
    with pytest.raises(DataError, match="same units"):
        stats.paired_over_seeds_and_units(a, [[1.0], [2.0]])


def test_paired_eer_is_the_hull_over_seeds_and_voices():
    draw = np.random.default_rng(0)
    labels = np.tile([True, False], 60)
    groups = np.repeat([f"v{i}" for i in range(6)], 20)
    runs = [
        PairedScores(labels + draw.normal(0, 0.5, 120), labels + draw.normal(0, 1.5, 120), labels, groups)
        for _ in range(3)
    ]
    seeds = stats.paired_t([10.0, 12.0, 11.0], [20.0, 21.0, 25.0])
    low, high = (100 * end for end in paired_bootstrap_runs(runs, seed=0).ci95)
    found = stats.paired_eer(([10.0, 12.0, 11.0], [20.0, 21.0, 25.0]), runs)
    assert found.value == seeds.value
    assert found.ci95 == (min(low, seeds.ci95[0]), max(high, seeds.ci95[1]))
    assert found.minimum_detectable == max(seeds.minimum_detectable, (high - low) / 2 * 2.8 / 1.96)


def test_share_draws_resample_groups():
    taken = np.array([True, True, False, False])
    groups = np.array(["a", "a", "b", "b"])
    draws = stats.share_draws(taken, np.ones(4, bool), groups, seed=0, n=400)
    # two groups, one always taken and one never: a draw of two has shares 0, 1/2 or 1
    assert set(np.round(draws, 6)) == {0.0, 0.5, 1.0}
    assert draws.mean() == pytest.approx(0.5, abs=0.06)
    assert np.array_equal(draws, stats.share_draws(taken, np.ones(4, bool), groups, seed=0, n=400))
    only = stats.share_draws(taken, np.array([True, True, False, False]), groups, seed=0, n=400)
    assert np.isnan(only).any()
    with pytest.raises(DataError, match="two or more"):
        stats.share_draws(taken, taken, np.array(["a"] * 4), seed=0, n=100)
