"""Verification by hand: enrolment, cosine, AS-norm, and thresholds at exact false-accept targets with ties."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.verification import as_norm, bypass_rate, cosine, enrol, false_rejection, threshold_at_far


def test_enrolment_by_hand():
    # (3, 4) and (0, 10) at unit length: (.6, .8) and (0, 1); their mean (.3, .9) has the length sqrt(.9)
    np.testing.assert_allclose(enrol([[3, 4], [0, 10]]), np.array([0.3, 0.9]) / np.sqrt(0.9), atol=1e-15)
    np.testing.assert_allclose(enrol([[3e-200, 4e-200]]), [0.6, 0.8], atol=1e-15)


def test_cosine_by_hand_and_scale_free():
    a, b = np.array([[1.0, 0], [1, 1], [3, 4]]), np.array([[0, 2.0], [-1, -1], [4, 3]])
    np.testing.assert_allclose(cosine(a, b), [0, -1, 0.96], atol=1e-15)
    assert np.array_equal(cosine(a * 8, b / 4), cosine(a, b))
    assert cosine(a, a).max() <= 1.0


def test_as_norm_by_hand():
    # top 2 of the enrolment cohort: 1, 3 (mean 2, deviation 1); of the test cohort: 0, 4 (mean 2, deviation 2)
    got = as_norm([4.0], [[3, -9, 1]], [[4, 0, -1]], top=2)
    np.testing.assert_allclose(got, [0.5 * ((4 - 2) / 1 + (4 - 2) / 2)], atol=1e-15)
    cohort = np.random.default_rng(0).normal(size=(2, 5, 30))
    scores = np.random.default_rng(1).normal(size=5)
    moved = as_norm(7 * scores + 3, 7 * cohort[0] + 3, 7 * cohort[1] + 3, top=10)
    np.testing.assert_allclose(moved, as_norm(scores, *cohort, top=10), atol=1e-12)


ZERO = [0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.4, 0.5, 0.5, 0.6]


@pytest.mark.parametrize(
    ("far", "threshold", "share"),
    [
        (0.1, 0.6, 0.1),  # one of ten
        (0.2, 0.6, 0.1),  # .5 stands twice: at .5 three of ten pass
        (0.3, 0.5, 0.3),
        (0.39, 0.5, 0.3),
        (0.4, 0.4, 0.4),
        (0.6, 0.4, 0.4),  # .3 stands three times: seven of ten
        (0.7, 0.3, 0.7),
        (0.9, 0.2, 0.9),
        (0.99, 0.2, 0.9),
        (0.09, np.nextafter(0.6, 1), 0.0),
    ],
)
def test_threshold_by_hand_with_ties(far, threshold, share):
    point = threshold_at_far(ZERO[::-1], far)
    assert (point.threshold, point.far, point.n, point.far_target) == (threshold, share, 10, far)


def test_threshold_is_the_smallest_that_fits():
    draws = np.random.default_rng(0)
    for _ in range(300):
        scores = draws.integers(0, 8, draws.integers(1, 40)).astype(float)
        far = draws.choice([0.01, 0.1, 0.29, 1 / 3, 0.5, 0.57, 0.9])
        candidates = [*np.unique(scores), np.nextafter(scores.max(), np.inf)]
        expected = next(c for c in candidates if np.mean(scores >= c) <= far)
        point = threshold_at_far(scores, far)
        assert point.threshold == expected
        assert point.far == np.mean(scores >= expected)


def test_shares_are_compared_as_shares():
    # 0.29 * 100 is 28.999999999999996, and yet 29 of 100 are within 0.29
    assert threshold_at_far(np.arange(100), 0.29).far == 0.29


def test_how_many_trials_a_target_needs():
    for n, usable, claimable in ((299, False, False), (300, True, False), (2999, True, False), (3000, True, True)):
        point = threshold_at_far(np.arange(n), 0.01)
        assert (point.usable, point.claimable) == (usable, claimable)
    assert threshold_at_far(np.arange(30_000), 1e-4).usable
    assert not threshold_at_far(np.arange(29_999), 1e-4).usable


def test_rates_at_a_threshold():
    assert bypass_rate([0.1, 0.5, 0.5, 0.9], 0.5) == 0.75
    assert false_rejection([0.1, 0.5, 0.5, 0.9], 0.5) == 0.25
    scores = np.random.default_rng(0).integers(0, 9, 50)
    rates = [bypass_rate(scores, tau) for tau in np.linspace(-1, 10, 40)]
    assert all(before >= after for before, after in pairwise(rates))
    assert rates[0] == 1
    assert rates[-1] == 0


def test_refusals():
    for far in (0, 1, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="false-accept target"):
            threshold_at_far(ZERO, far)
    with pytest.raises(DataError, match="no zero-effort scores"):
        threshold_at_far([], 0.1)
    with pytest.raises(DataError, match="NaN or Inf"):
        bypass_rate([np.nan], 0)
    with pytest.raises(ConfigError, match="threshold is NaN"):
        false_rejection([1.0], float("nan"))
    with pytest.raises(DataError, match="row 1: all zero"):
        enrol([[1, 0], [0, 0]])
    with pytest.raises(DataError, match="cancel"):
        enrol([[1, 0], [-1, 0]])
    with pytest.raises(DataError, match="shape"):
        enrol([1.0, 2.0])
    with pytest.raises(DataError, match="one shape"):
        cosine([[1, 0]], [[1, 0, 0]])
    with pytest.raises(ConfigError, match="top must be from 2 to the cohort's size, 3"):
        as_norm([1.0], [[1, 2, 3]], [[1, 2, 3]], top=4)
    with pytest.raises(DataError, match="all equal"):
        as_norm([1.0], [[1, 1, 0]], [[1, 2, 3]], top=2)
    with pytest.raises(DataError, match="enrolment cohort scores must have the shape"):
        as_norm([1.0, 2.0], [[1, 2, 3]], [[1, 2, 3]], top=2)
