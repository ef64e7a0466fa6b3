"""Bootstrap intervals: agreement with the plain metric, coverage, clusters, pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.bootstrap import (
    PairedScores,
    _Trials,
    bootstrap,
    paired_bootstrap,
    paired_bootstrap_runs,
    replicates,
)
from auricle.metrics.detection import auc, eer, min_dcf
from auricle.metrics.shares import exact_limits


def two_classes(seed: int, n: int = 200, gap: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [n, n])
    return generator.normal(0, 1, 2 * n) + gap * labels, labels


@pytest.mark.parametrize("statistic", ["eer", "auc", "min_dcf"])
def test_weights_equal_repeated_trials(statistic):
    """A weighted replicate is the metric of the list in which each trial stands as often as its weight says."""
    generator = np.random.default_rng(1)
    scores, labels = generator.integers(0, 9, 60).astype(float), np.arange(60) % 3 == 0
    weights = generator.integers(0, 4, (20, 60))
    got = _Trials(scores, labels).statistic(statistic, weights)
    metric = {"eer": lambda b, s: eer(b, s).eer, "auc": auc, "min_dcf": min_dcf}[statistic]
    for row, value in zip(weights, got, strict=True):
        repeated, truth = np.repeat(scores, row), np.repeat(labels, row)
        assert value == pytest.approx(metric(repeated[truth], repeated[~truth]), abs=1e-12)


def test_functions_and_names_are_the_same():
    scores, labels = two_classes(0, n=40)
    by_name = replicates("eer", scores, labels, n=100, seed=5)
    assert np.array_equal(replicates(eer, scores, labels, n=100, seed=5), by_name)
    own = replicates(lambda b, s: eer(b, s).eer, scores, labels, n=100, seed=5)
    assert np.allclose(own, by_name, atol=1e-12, rtol=0)
    assert not np.array_equal(replicates("eer", scores, labels, n=100, seed=6), by_name)


def test_item_interval_covers_the_true_eer():
    """Over 80 draws of two known normal classes, a 95 % interval holds the true EER in most cases."""
    truth = norm.cdf(-1.0)
    inside = 0
    for seed in range(80):
        low, high = bootstrap("eer", *two_classes(seed), n=300, seed=seed)
        inside += low <= truth <= high
    # binomial(80, 0.95) is below 70 hardly ever; a factor of two in the width would fail
    assert 70 <= inside <= 79


def speakers(seed: int, n_speakers: int, each: int = 20, spread: float = 1.0) -> tuple[np.ndarray, ...]:
    """Scores in which every speaker shifts all of its trials."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_speakers), 2 * each)
    labels = np.tile(np.repeat([1, 0], each), n_speakers)
    shift = generator.normal(0, spread, (n_speakers, 2))
    scores = generator.normal(0, 1, groups.size) + 2 * labels + shift[groups, labels]
    return scores, labels, groups


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def test_speaker_interval_is_wider_when_speakers_differ():
    scores, labels, groups = speakers(0, 20)
    by_item = width(bootstrap("eer", scores, labels, n=500, seed=1))
    assert width(bootstrap("eer", scores, labels, groups, n=500, seed=1)) > 1.5 * by_item


def test_speaker_interval_equals_item_interval_when_each_trial_is_a_pair():
    """With as many groups as pairs and nothing shared in a pair, both intervals have the same width."""
    scores, labels = two_classes(2)
    groups = np.tile(np.arange(200), 2)
    ratio = width(bootstrap("auc", scores, labels, groups, n=2000, seed=0)) / width(
        bootstrap("auc", scores, labels, n=2000, seed=0)
    )
    assert 0.9 < ratio < 1.1


def test_speaker_interval_covers_with_few_speakers():
    """Eight speakers with shifts of their own: the interval by speaker holds the truth far more often than by item."""
    truth = norm.cdf(-1 / np.sqrt(2))
    by_speaker = by_item = 0
    for seed in range(80):
        scores, labels, groups = speakers(seed, 8)
        low, high = bootstrap("eer", scores, labels, groups, n=200, seed=seed)
        by_speaker += low <= truth <= high
        low, high = bootstrap("eer", scores, labels, n=200, seed=seed)
        by_item += low <= truth <= high
    assert by_speaker >= 70
    assert by_item <= 50


def test_paired_clips_stay_together():
    """Each speaker's bona fide and spoof scores move together: resampling whole speakers gives no spread at all."""
    groups = np.repeat(np.arange(10), 2)
    labels = np.tile([1, 0], 10)
    scores = np.where(labels == 1, 1.0, 0.0)
    assert set(replicates("auc", scores, labels, groups, n=200, seed=0)) == {1.0}
    # what ten real and ten fake clips without an error leave open
    assert bootstrap("auc", scores, labels, groups, n=200, seed=0) == (exact_limits(10, 10)[0], 1.0)
    weights = replicates(lambda b, s: float(len(b) == len(s) == 9), scores, labels, groups, n=200, seed=0)
    assert weights.min() == 1.0


def test_paired_difference_is_sharper_than_two_intervals():
    generator = np.random.default_rng(4)
    scores, labels = two_classes(4, n=300)
    worse = scores + generator.normal(0, 0.7, scores.size)
    got = paired_bootstrap(worse, scores, labels, n=1000, seed=0)
    assert got.a == eer(worse[labels == 1], worse[labels == 0]).eer
    assert got.b == eer(scores[labels == 1], scores[labels == 0]).eer
    assert got.difference == got.a - got.b
    assert got.ci95[0] > 0
    separate = np.hypot(width(bootstrap("eer", worse, labels, seed=0)), width(bootstrap("eer", scores, labels, seed=0)))
    assert width(got.ci95) < separate
    swapped = paired_bootstrap(scores, worse, labels, n=1000, seed=0)
    assert swapped.ci95 == pytest.approx((-got.ci95[1], -got.ci95[0]), abs=1e-12)


def test_a_detector_does_not_differ_from_itself():
    scores, labels, groups = speakers(0, 6)
    assert paired_bootstrap(scores, 3 * scores + 1, labels, groups, seed=0) == (
        eer(scores[labels == 1], scores[labels == 0]).eer,
        eer(scores[labels == 1], scores[labels == 0]).eer,
        0.0,
        (0.0, 0.0),
    )


def test_several_runs_share_their_speakers():
    scores, labels, groups = speakers(0, 8)
    other = scores + np.random.default_rng(0).normal(0, 1, scores.size)
    one = paired_bootstrap_runs([PairedScores(scores, other, labels, groups)], n=400, seed=0)
    twice = paired_bootstrap_runs([PairedScores(scores, other, labels, groups)] * 2, n=400, seed=0)
    # the same speakers twice are no new evidence
    assert twice == one
    names = np.array([f"new-{group}" for group in groups])
    both = paired_bootstrap_runs(
        [PairedScores(scores, other, labels, groups), PairedScores(scores, other, labels, names)], n=400, seed=0
    )
    assert both.difference == pytest.approx(one.difference)
    assert width(both.ci95) < width(one.ci95)


def test_bad_requests_are_refused():
    scores, labels = two_classes(0, n=5)
    with pytest.raises(DataError, match="no spoof trials"):
        bootstrap("eer", [1.0, 2.0], [1, 1], seed=0)
    with pytest.raises(DataError, match="2 scores and 1 labels"):
        bootstrap("eer", [1.0, 2.0], [1], seed=0)
    with pytest.raises(DataError, match="labels must be 0"):
        bootstrap("eer", [1.0, 2.0], [1, 2], seed=0)
    with pytest.raises(DataError, match="at least 2 groups"):
        bootstrap("eer", scores, labels, ["one"] * 10, seed=0)
    with pytest.raises(DataError, match="one group per score"):
        bootstrap("eer", scores, labels, ["one"], seed=0)
    with pytest.raises(DataError, match="hold both classes"):
        bootstrap("eer", scores, labels, labels, seed=0)
    with pytest.raises(DataError, match="1 of 10 given scores are NaN"):
        bootstrap("eer", np.append(scores[:-1], np.nan), labels, seed=0)
    with pytest.raises(ConfigError, match="unknown"):
        bootstrap("err", scores, labels, seed=0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 100"):
        bootstrap("eer", scores, labels, n=10, seed=0)
    with pytest.raises(DataError, match="some runs have groups"):
        paired_bootstrap_runs(
            [PairedScores(scores, scores, labels), PairedScores(scores, scores, labels, labels)], seed=0
        )
