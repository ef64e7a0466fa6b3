"""The architecture-agnostic cost by hand: ties, absent classes, and what it becomes when a class weighs nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.adcf import ASVSPOOF5, COST_MODEL, a_dcf, a_dcf_of_rates, adcf_weights, min_a_dcf
from auricle.metrics.detection import min_dcf

scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)


def test_by_hand():
    # weights: miss .9, nontarget .5, spoof 1; accepting all costs 1.5, refusing all .9
    # above 2: 1 of 4 targets missed (.225), 1 of 2 nontargets passes (.25), 0 of 5 spoofs -> .475
    # above 1: 0 missed, 1 of 2 nontargets (.25), 2 of 5 spoofs (.4) -> .65; above 3: .45 + 0 + 0 = .45, the least
    target, nontarget, spoof = [2.0, 3.0, 4.0, 5.0], [0.0, 3.0], [0.0, 0.0, 1.0, 2.0, 2.0]
    best = min_a_dcf(target, nontarget, spoof)
    assert best.cost == pytest.approx(0.45 / 0.9, abs=1e-12)
    assert best[1:] == (3.0, 0.5, 0.0, 0.0)
    at_two = a_dcf(target, nontarget, spoof, 2.0)
    assert at_two.cost == pytest.approx(0.475 / 0.9, abs=1e-12)
    assert at_two[2:] == (0.25, 0.5, 0.0)
    at_one = a_dcf(target, nontarget, spoof, 1.0)
    assert at_one.cost == pytest.approx(0.65 / 0.9, abs=1e-12)


def test_other_priors_and_costs_by_hand():
    # tandem weights .9405, .095, .5; accepting all costs .595 and is the better constant
    settings = {"p_target": 0.9405, "p_nontarget": 0.0095, "p_spoof": 0.05, "c_fa_nontarget": 10.0, "c_fa_spoof": 10.0}
    best = min_a_dcf([1.0, 3.0], [0.0, 2.0], [0.0, 0.0, 0.0, 2.0], **settings)
    # above 0: no miss, .5 * .095 + .25 * .5 = .1725
    assert best.cost == pytest.approx(0.1725 / 0.595, abs=1e-12)
    assert best.threshold == 0.0


def test_of_rates_by_hand():
    # .9 * .25 + .5 * .5 + 1 * .1 = .575, the better constant answer costs .9
    assert a_dcf_of_rates(0.25, 0.5, 0.1) == pytest.approx(0.575 / 0.9, abs=1e-12)
    many = a_dcf_of_rates([1.0, 0.0, 0.5], [0.0, 1.0, np.nan], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(many, [1.0, 1.5 / 0.9, np.nan], atol=1e-12)
    only = adcf_weights(0.5, 0.0, 0.5, 1.0, 1.0, 1.0)
    assert a_dcf_of_rates(0.5, np.nan, 0.25, weights=only) == pytest.approx(0.375 / 0.5, abs=1e-12)
    assert adcf_weights(**COST_MODEL) == adcf_weights() == pytest.approx((0.9, 0.5, 1.0, 0.9), abs=1e-12)
    assert adcf_weights(**ASVSPOOF5) == pytest.approx((0.9405, 0.095, 0.5, 0.595), abs=1e-12)


def test_asvspoof_5_has_costs_of_its_own():
    # as its calculate_metrics.py passes them; the CostModel's own defaults are others
    assert ASVSPOOF5 == {
        "p_target": 0.9405,
        "p_nontarget": 0.0095,
        "p_spoof": 0.05,
        "c_miss": 1.0,
        "c_fa_nontarget": 10.0,
        "c_fa_spoof": 10.0,
    }
    scores = [1.0, 3.0], [0.0, 2.0], [0.0, 0.0, 0.0, 2.0]
    assert min_a_dcf(*scores, **ASVSPOOF5).cost == pytest.approx(0.1725 / 0.595, abs=1e-12)
    # above 0: .5 * .5 + .25 * 1 = .5; above 2: .5 * .9 = .45, the least, of .9
    assert min_a_dcf(*scores).cost == min_a_dcf(*scores, **COST_MODEL).cost == pytest.approx(0.5, abs=1e-12)


@given(scores, scores, scores, st.floats(-5, 5))
def test_of_rates_is_the_very_cost_of_the_scores(target, nontarget, spoof, threshold):
    for found in (a_dcf(target, nontarget, spoof, threshold), min_a_dcf(target, nontarget, spoof)):
        assert a_dcf_of_rates(found.miss, found.false_alarm_nontarget, found.false_alarm_spoof) == found.cost


def test_ends():
    assert min_a_dcf([1.0], [0.0], [0.0]).cost == 0.0
    # all scores equal: only the constant answers are left; refusing all is the better one
    constant = min_a_dcf([1.0, 1.0], [1.0], [1.0])
    assert constant.cost == pytest.approx(1.0, abs=1e-12)
    assert constant.miss == 1.0
    # accepting all is the better one when spoofs are cheap, at a threshold below all scores
    accept = min_a_dcf([0.0], [1.0], [1.0], c_fa_nontarget=1.0, c_fa_spoof=1.0)
    assert accept.cost == pytest.approx(1.0, abs=1e-12)
    assert accept.threshold < 0
    assert accept[2:] == (0.0, 1.0, 1.0)
    # a threshold beyond the scores costs what refusing all costs, and a bad one more than 1
    assert a_dcf([0.0], [1.0], [1.0], 9.0).cost == pytest.approx(1.0, abs=1e-12)
    assert a_dcf([0.0], [1.0], [1.0], 0.5).cost == pytest.approx(2.4 / 0.9, abs=1e-12)


def test_equal_scores_move_together():
    # a target, a nontarget and a spoof share the score 1: no threshold can part them
    tied = min_a_dcf([1.0, 2.0], [1.0], [1.0])
    # above 1: .5 * .9; below: .5 + 1
    assert tied.cost == pytest.approx(0.45 / 0.9, abs=1e-12)
    mixed = [min_a_dcf(t, [1.0, 0.0], [1.0, 0.0, 1.0]) for t in ([1.0, 2.0, 1.0], [2.0, 1.0, 1.0])]
    assert mixed[0] == mixed[1]


@given(scores, scores, scores)
def test_equals_a_search_over_all_thresholds(target, nontarget, spoof):
    def cost(s: float) -> float:
        miss = sum(x <= s for x in target) / len(target)
        passed = sum(x > s for x in nontarget) / len(nontarget)
        fooled = sum(x > s for x in spoof) / len(spoof)
        return (0.9 * miss + 0.5 * passed + fooled) / 0.9

    best = min_a_dcf(target, nontarget, spoof)
    assert best.cost == pytest.approx(min(cost(s) for s in (-9.0, *target, *nontarget, *spoof)), abs=1e-9)
    assert best.cost == pytest.approx(cost(best.threshold), abs=1e-9)
    assert a_dcf(target, nontarget, spoof, best.threshold) == best
    assert 0 <= best.cost <= 1 + 1e-12


@given(scores, scores)
def test_without_nontargets_it_is_the_detection_cost(bonafide, spoof):
    only = min_a_dcf(bonafide, None, spoof, p_target=0.95, p_nontarget=0.0, p_spoof=0.05, c_fa_spoof=10.0)
    assert only.cost == pytest.approx(min_dcf(bonafide, spoof, 0.95, 1.0, 10.0), abs=1e-9)
    assert math.isnan(only.false_alarm_nontarget)


def test_a_class_without_weight_may_be_there_and_changes_nothing():
    base = {"p_target": 0.95, "p_nontarget": 0.0, "p_spoof": 0.05}
    without, beside = min_a_dcf([1, 2], None, [0, 2], **base), min_a_dcf([1, 2], [0.5, 7.0], [0, 2], **base)
    assert beside.cost == without.cost
    # refusing all is cheapest only when nothing else is; here one spoof passes below 2
    assert beside.false_alarm_nontarget in (0.0, 0.5, 1.0)
    assert min_a_dcf([1, 2], [0, 2], [], p_target=0.9, p_nontarget=0.1, p_spoof=0.0).cost == pytest.approx(5 / 9)


@pytest.mark.parametrize("absent", [None, [], np.empty(0)])
def test_absent_classes_are_named(absent):
    for at, name in enumerate(("target", "nontarget", "spoof")):
        given = [[1.0], [0.0], [0.0]]
        given[at] = absent
        with pytest.raises(DataError, match=f"no {name} scores"):
            min_a_dcf(*given)
        with pytest.raises(DataError, match=f"no {name} scores"):
            a_dcf(*given, 0.5)


def test_bad_scores_priors_and_costs_are_refused():
    with pytest.raises(DataError, match="NaN or Inf"):
        min_a_dcf([1.0, float("nan")], [0.0], [0.0])
    with pytest.raises(ConfigError, match="add up to 1"):
        min_a_dcf([1.0], [0.0], [0.0], p_target=0.5)
    with pytest.raises(ConfigError, match="add up to 1"):
        min_a_dcf([1.0], [0.0], [0.0], p_target=1.2, p_nontarget=-0.2, p_spoof=0.0)
    with pytest.raises(ConfigError, match="positive"):
        min_a_dcf([1.0], [0.0], [0.0], c_miss=0.0)
    with pytest.raises(ConfigError, match="no decision"):
        min_a_dcf([1.0], None, None, p_target=1.0, p_nontarget=0.0, p_spoof=0.0)
    with pytest.raises(ConfigError, match="NaN"):
        a_dcf([1.0], [0.0], [0.0], float("nan"))
