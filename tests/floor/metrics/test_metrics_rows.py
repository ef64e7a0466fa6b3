"""Rows of metrics with their intervals: values by hand, and the very numbers of the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.core.report import MetricRow
from auricle.metrics.bootstrap import bootstrap, mean_bootstrap
from auricle.metrics.detection import eer
from auricle.metrics.rows import FEWEST_SPEAKERS, eer_row, mean_row, percent
from auricle.metrics.shares import FEWEST_ITEMS

# above .3 lie three of four real scores and one of four fakes: a quarter of each is wrong
SCORES = 2 * [0.9, 0.8, 0.7, 0.3, 0.1, 0.2, 0.25, 0.4]
LABELS = 2 * [1, 1, 1, 1, 0, 0, 0, 0]
SPEAKERS = 2 * ["a", "b", "c", "d", "a", "b", "c", "d"]


def test_percent_scales_value_and_interval():
    row = percent("hit", 0.125, 8, (0.0625, 0.25), group="seen", baseline="constant")
    assert row == MetricRow(name="hit", value=12.5, unit="%", n=8, ci95=(6.25, 25.0), group="seen", baseline="constant")
    assert percent("hit", 1.0, 3) == MetricRow(name="hit", value=100.0, unit="%", n=3)
    # a difference of two shares may be negative
    assert percent("eer minus other", -0.25, 3, (-0.5, 0.0)).ci95 == (-50.0, 0.0)


def test_eer_by_hand():
    row, note = eer_row(SCORES, LABELS, SPEAKERS, group="pooled", replicates=200, seed=3)
    assert (row.name, row.value, row.unit, row.n, row.group, row.baseline) == ("eer", 25.0, "%", 16, "pooled", None)
    assert note is None
    low, high = bootstrap("eer", SCORES, LABELS, SPEAKERS, 200, seed=3)
    assert row.ci95 == (100 * low, 100 * high)
    named, _ = eer_row(SCORES, LABELS, None, name="leak_eer", group="x", baseline="gmm", replicates=200, seed=3)
    assert (named.name, named.value, named.baseline) == ("leak_eer", 25.0, "gmm")


def test_few_speakers_leave_an_interval_over_clips():
    few = 2 * ["a", "b", "c", "a", "a", "b", "c", "a"]
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
    values = [1.0, 2.0, 2.0, 4.0, 6.0]
    row = mean_row("mel_l1", values, unit="dB", group="music", baseline="opus", replicates=300, seed=1)
    assert (row.value, row.unit, row.n, row.group, row.baseline) == (3.0, "dB", 5, "music", "opus")
    assert row.ci95 == mean_bootstrap(values, 300, seed=1)
    # in percent already: 3 of 4 right
    right = mean_row("accuracy", 100.0 * np.array([1, 1, 0, 1]), unit="%", group="all", replicates=100, seed=1)
    assert (right.value, right.unit) == (75.0, "%")
    # equal values have an interval of no width, few have none
    assert mean_row("x", [2.0] * FEWEST_ITEMS, group="all", replicates=100, seed=0).ci95 == (2.0, 2.0)
    assert mean_row("x", [1.0, 2.0, 3.0, 4.0], group="all", replicates=100, seed=0).ci95 is None


def test_shares_at_the_edge_have_exact_limits():
    # 0 of 20: 1 - 0.025^(1/20) = 16.84 %; 11 of 11: 0.025^(1/11) = 71.51 %
    none = mean_row("bypass", np.zeros(20, bool), group="all", replicates=100, seed=0)
    assert (none.value, none.ci95) == (0.0, pytest.approx((0.0, 0.1684), abs=5e-5))
    for values, limits in (
        (np.full(11, 100.0), (71.51, 100.0)),
        (np.zeros(20), (0.0, 16.84)),
    ):
        row = mean_row("accuracy", values, unit="%", group="all", replicates=100, seed=0)
        assert row.ci95 == pytest.approx(limits, abs=5e-3)
    # a difference of shares is no share, and neither are numbers of another unit
    assert mean_row("hit_over_majority", np.zeros(20), unit="%", group="all", replicates=100, seed=0).ci95 == (0, 0)
    assert mean_row("mel_l1", np.zeros(20), unit="dB", group="all", replicates=100, seed=0).ci95 == (0, 0)


def test_an_eer_at_the_edge_has_exact_limits_and_few_clips_none():
    scores, labels = np.r_[np.full(30, 2.0), np.full(20, 1.0)], np.r_[np.ones(30), np.zeros(20)]
    row, note = eer_row(scores, labels, None, group="all", replicates=100, seed=0)
    assert (row.value, note) == (0.0, None)
    assert row.ci95 == pytest.approx((0.0, 16.84), abs=5e-3)
    by_speaker, _ = eer_row(scores, labels, np.arange(50) % 5, group="all", replicates=100, seed=0)
    assert by_speaker.ci95 == row.ci95
    turned, _ = eer_row(-scores, labels, None, group="all", replicates=100, seed=0)
    assert (turned.value, turned.ci95) == (100.0, pytest.approx((83.16, 100.0), abs=5e-3))
    few, note = eer_row([2.0, 2.0, 2.0, 2.0, 1.0], [1, 1, 1, 1, 0], None, group="all", replicates=100, seed=0)
    assert (few.value, few.ci95) == (0.0, None)
    assert note == "eer of all: fewer than 5 clips of a class are too few for an interval"


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
