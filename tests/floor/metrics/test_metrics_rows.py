"""Rows of metrics with their intervals: values by hand, and the very numbers of the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.core.report import MetricRow
from auricle.metrics.bootstrap import bootstrap, mean_bootstrap
from auricle.metrics.detection import eer
from auricle.metrics.rows import FEWEST_SPEAKERS, eer_row, mean_row, percent

# above .3 lie three of four real scores and one of four fakes: a quarter of each is wrong
SCORES = [0.9, 0.8, 0.7, 0.3, 0.1, 0.2, 0.25, 0.4]
LABELS = [1, 1, 1, 1, 0, 0, 0, 0]
SPEAKERS = ["a", "b", "c", "d", "a", "b", "c", "d"]


def test_percent_scales_value_and_interval():
    row = percent("hit", 0.125, 8, (0.0625, 0.25), group="seen", baseline="constant")
    assert row == MetricRow(name="hit", value=12.5, unit="%", n=8, ci95=(6.25, 25.0), group="seen", baseline="constant")
    assert percent("hit", 1.0, 3) == MetricRow(name="hit", value=100.0, unit="%", n=3)
    # a difference of two shares may be negative
    assert percent("eer minus other", -0.25, 3, (-0.5, 0.0)).ci95 == (-50.0, 0.0)


def test_eer_by_hand():
    row, note = eer_row(SCORES, LABELS, SPEAKERS, group="pooled", replicates=200, seed=3)
    assert (row.name, row.value, row.unit, row.n, row.group, row.baseline) == ("eer", 25.0, "%", 8, "pooled", None)
    assert note is None
    low, high = bootstrap("eer", SCORES, LABELS, SPEAKERS, 200, seed=3)
    assert row.ci95 == (100 * low, 100 * high)
    named, _ = eer_row(SCORES, LABELS, None, name="leak_eer", group="x", baseline="gmm", replicates=200, seed=3)
    assert (named.name, named.value, named.baseline) == ("leak_eer", 25.0, "gmm")


def test_few_speakers_leave_an_interval_over_clips():
    few = ["a", "b", "c", "a", "a", "b", "c", "a"]
    assert len(set(few)) == FEWEST_SPEAKERS - 1
    row, note = eer_row(SCORES, LABELS, few, group="seen", replicates=200, seed=3)
    assert note == "eer of seen: 3 speakers are too few, its interval is over clips"
    clips, silent = eer_row(SCORES, LABELS, None, group="seen", replicates=200, seed=3)
    assert (row, silent) == (clips, None)
    # where three are enough, they are what is resampled
    kept, nothing = eer_row(SCORES, LABELS, few, group="seen", replicates=200, seed=3, fewest=3)
    low, high = bootstrap("eer", SCORES, LABELS, few, 200, seed=3)
    assert (kept.ci95, nothing) == ((100 * low, 100 * high), None)


def test_eer_of_arrays_is_that_of_the_plain_functions():
    draws = np.random.default_rng(0)
    labels = draws.random(300) < 0.4
    scores = (draws.normal(size=300) + labels).astype(np.float32)
    speakers = draws.choice(["s1", "s2", "s3", "s4", "s5"], 300)
    row, _ = eer_row(scores, labels, speakers, group="all", replicates=100, seed=7)
    low, high = bootstrap("eer", scores, labels, speakers, 100, seed=7)
    assert (row.value, row.ci95) == (100 * eer(scores[labels], scores[~labels]).eer, (100 * low, 100 * high))
    assert eer_row(scores, labels, speakers, group="all", replicates=100, seed=8)[0].ci95 != row.ci95


def test_mean_by_hand():
    row = mean_row("mel_l1", [1.0, 2.0, 6.0], unit="dB", group="music", baseline="opus", replicates=300, seed=1)
    assert (row.value, row.unit, row.n, row.group, row.baseline) == (3.0, "dB", 3, "music", "opus")
    assert row.ci95 == mean_bootstrap([1.0, 2.0, 6.0], 300, seed=1)
    # in percent already: 3 of 4 right
    right = mean_row("accuracy", 100.0 * np.array([1, 1, 0, 1]), unit="%", group="all", replicates=100, seed=1)
    assert (right.value, right.unit) == (75.0, "%")
    # equal values have an interval of no width, a single one has none
    assert mean_row("x", [2.0, 2.0], group="all", replicates=100, seed=0).ci95 == (2.0, 2.0)
    assert mean_row("x", [2.0], group="all", replicates=100, seed=0).ci95 is None


def test_mean_keeps_the_precision_of_the_values():
    values = np.array([0.1, 0.2, 0.4], np.float32)
    assert mean_row("x", values, group="all", replicates=100, seed=0).value == float(np.mean(values))


def test_what_is_refused():
    with pytest.raises(DataError, match="no values of 'mel_l1' in 'music'"):
        mean_row("mel_l1", [], group="music", replicates=100, seed=0)
    with pytest.raises(ConfigError, match="at least 100 replicates"):
        mean_row("x", [1.0, 2.0], group="all", replicates=10, seed=0)
    with pytest.raises(DataError, match="no spoof trials"):
        eer_row([1.0, 2.0], [1, 1], None, group="all", replicates=100, seed=0)
    with pytest.raises(ConfigError, match="at least 100 replicates"):
        eer_row(SCORES, LABELS, None, group="all", replicates=10, seed=0)
