"""Distances from what is known: length allowed for, limit set on groups that were left out."""

import json

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.metrics.novelty import Known, fit_known


def recordings(groups=8, each=40, spread=1.0, seed=0):
    """Means over recordings of several lengths: each group has its own centre."""
    draws = np.random.default_rng(seed)
    lengths = draws.uniform(0.5, 8, groups * each)
    names = np.repeat([f"g{number}" for number in range(groups)], each)
    centres = np.repeat(spread * draws.normal(0, 1, (groups, 3)), each, axis=0)
    return centres + draws.normal(0, 1, (groups * each, 3)) / np.sqrt(lengths)[:, None], lengths, names


def fit(points, lengths, names, **how):
    return fit_known(points, lengths, names, np.ones(len(points), bool), **{"quantile": 0.9, **how})


def test_without_shrinking_it_is_the_mahalanobis_distance():
    draws = np.random.default_rng(0)
    points = draws.normal(0, 1, (500, 2)) @ np.array([[2.0, 0.0], [1.5, 0.5]])
    known = fit(points, np.ones(500), np.zeros(500), shrink=0.0)
    inverse = np.linalg.inv(np.cov(points.T, ddof=1))
    away = points - points.mean(0)
    squares = np.einsum("nd,de,ne->n", away, inverse, away) / 2
    found = known.distances(points, np.ones(500)) ** 2 * known.steady
    np.testing.assert_allclose(found, squares, rtol=5e-3)  # cov has ddof 1, the scale has not
    assert known.steady == pytest.approx(np.mean(squares), rel=5e-3)
    assert known.short == 0


def test_a_short_recording_may_scatter_more():
    points, lengths, names = recordings()
    known = fit(points, lengths, names)
    assert known.short > 0.3 * known.steady
    distances = known.distances(points, lengths)
    short, long = distances[lengths < 1.5], distances[lengths > 6]
    assert np.median(short) == pytest.approx(np.median(long), rel=0.15)
    assert known.distances([[9.0, 0, 0]], [0.5]) < known.distances([[9.0, 0, 0]], [8.0])


def test_the_limit_holds_for_groups_that_it_has_not_met():
    points, lengths, names = recordings(groups=24, spread=2.0)
    new, new_lengths, _ = recordings(groups=60, spread=2.0, seed=1)
    apart, together = fit(points, lengths, names), fit(points, lengths, np.zeros(len(names)))
    beyond = np.mean(apart.distances(new, new_lengths) > apart.far)
    assert 0.05 <= beyond <= 0.16
    assert apart.far > together.far  # with one group its own distances count


def test_only_the_judged_set_the_limit():
    points, lengths, names = recordings()
    near = np.abs(points).max(1) < 1
    some = fit_known(points, lengths, names, near, quantile=0.9)
    assert some.far < fit(points, lengths, names).far
    np.testing.assert_array_equal(some.whiten, fit(points, lengths, names).whiten)


def test_it_goes_through_json():
    known = fit(*recordings())
    again = Known.from_dict(json.loads(json.dumps(known.to_dict())))
    np.testing.assert_array_equal(again.whiten, known.whiten)
    assert (again.steady, again.short, again.far) == (known.steady, known.short, known.far)
    for changed in ({"mean": [0.0]}, {"far": float("nan")}, {"far": None}, {"whiten": "no"}):
        with pytest.raises(DataError, match="what is known holds"):
            Known.from_dict(known.to_dict() | changed)


@pytest.mark.parametrize(
    ("points", "lengths", "judged"),
    [([[1.0]], [1], [True]), ([[1.0], [2]], [1], [True, True]), ([[1.0], [2]], [1, 2], [False, False])],
)
def test_what_cannot_be_fitted_is_refused(points, lengths, judged):
    with pytest.raises(DataError, match="at least two points"):
        fit_known(points, lengths, ["a"] * len(points), judged, quantile=0.9)
