"""Exact limits of shares: by hand, against scipy's own, and only where nothing varies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from auricle.core.errors import DataError
from auricle.metrics.bootstrap import bootstrap, mean_bootstrap
from auricle.metrics.shares import FEWEST_ITEMS, apart, at_edge, exact_limits


def test_by_hand():
    assert exact_limits(0, 20) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20), abs=1e-12))
    assert exact_limits(11, 11) == (pytest.approx(0.025 ** (1 / 11), abs=1e-12), 1.0)
    assert exact_limits(0, 11)[1] == pytest.approx(0.2849, abs=1e-4)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_as_scipy_has_it(n):
    for hits in range(n + 1):
        found = binomtest(hits, n).proportion_ci(0.95, "exact")
        assert exact_limits(hits, n) == pytest.approx((found.low, found.high), abs=1e-12)


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_what_is_no_share_is_refused(hits, n):
    with pytest.raises(DataError, match="is no share"):
        exact_limits(hits, n)


def test_only_the_edge_is_widened():
    assert at_edge(0.5, (0.5, 0.5), 10) == (0.5, 0.5)
    assert at_edge(1e-9, (0.0, 0.1), 10) == (0.0, 0.1)
    assert at_edge(0.0, (0.0, 0.9), 10) == (0.0, 0.9)
    # three trials a class without an error: both rates may be 0.708, which costs more than always refusing
    assert apart("min_dcf", 0.0, (0.0, 0.0), 3) == (0.0, 1.0)
    assert apart("min_dcf", 0.0, (0.0, 0.0), 100) == (0.0, pytest.approx(2.9 * exact_limits(0, 100)[1]))
    assert apart("min_dcf", 0.1, (0.1, 0.1), 100) == (0.1, 0.1)


def test_the_bootstrap_of_a_perfect_detector():
    scores, labels = np.r_[np.full(30, 2.0), np.full(20, 1.0)], np.r_[np.ones(30), np.zeros(20)]
    upper = exact_limits(0, 20)[1]
    for statistic, limits in (("eer", (0.0, upper)), ("auc", (1 - upper, 1.0)), ("min_dcf", (0.0, 2.9 * upper))):
        assert bootstrap(statistic, scores, labels, n=100, seed=0) == pytest.approx(limits, abs=1e-12)
    # a function of one's own is not known to be a share
    assert bootstrap(lambda real, fake: 0.0, scores, labels, n=100, seed=0) == (0.0, 0.0)


def test_a_mean_is_a_share_when_it_is_of_booleans():
    assert mean_bootstrap(np.ones(10, bool), 100, seed=0) == exact_limits(10, 10)
    assert mean_bootstrap(np.ones(10), 100, seed=0) == (1.0, 1.0)
    mixed = np.arange(20) % 3 == 0
    assert mean_bootstrap(mixed, 200, seed=0) == mean_bootstrap(mixed.astype(float), 200, seed=0)
    assert mean_bootstrap(np.ones(FEWEST_ITEMS - 1, bool), 100, seed=0) is None
