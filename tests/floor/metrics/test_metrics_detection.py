"""Detection metrics against hand-worked lists, brute force, scikit-learn and their own properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.detection import (
    act_dcf,
    auc,
    balanced_accuracy,
    cllr,
    det_curve,
    eer,
    eer_convex_hull,
    error_rates,
    min_cllr,
    min_dcf,
)

# few distinct values, so that ties within and across classes are common
lists = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)


def eer_by_hand(bonafide: list[float], spoof: list[float]) -> float:
    """The paper's definition, one threshold at a time, in plain Python."""
    best = (2.0, 0.0)
    for s in [-math.inf, *sorted(set(bonafide) | set(spoof))]:
        frr = sum(b <= s for b in bonafide) / len(bonafide)
        far = sum(f > s for f in spoof) / len(spoof)
        if abs(frr - far) < best[0]:
            best = (abs(frr - far), (frr + far) / 2)
    return best[1]


@pytest.mark.parametrize(
    ("bonafide", "spoof", "expected", "threshold"),
    [
        # perfect: at the highest spoof score nothing is wrong
        ([3, 4, 5], [0, 1, 2], 0.0, 2),
        # reversed: at 2 all bona fide are rejected and all spoofs accepted
        ([0, 1, 2], [3, 4, 5], 1.0, 2),
        # one of four each way, at 2
        ([2, 4, 5, 6], [0, 1, 1.5, 3], 0.25, 2),
        # a tie across classes at 2: FRR 1/4 and FAR 1/4 there
        ([2, 3, 4, 5], [0, 1, 2, 6], 0.25, 2),
        # unequal sizes: at 3, FRR 1/2 and FAR 1/4; the mean is 3/8
        ([3, 7], [1, 2, 3, 5], 0.375, 3),
        # single trials
        ([1], [0], 0.0, 0),
        ([0], [1], 1.0, 0),
        # 1 of 3 rejected at 1, 1 of 3 accepted
        ([1, 2, 3], [0, 0, 2.5], 1 / 3, 1),
    ],
)
def test_eer_of_hand_worked_lists(bonafide, spoof, expected, threshold):
    got = eer(bonafide, spoof)
    assert got.eer == pytest.approx(expected, abs=1e-12)
    assert got.threshold == threshold


def test_eer_equals_the_item_by_item_procedure_of_the_scorer():
    """Without ties, walking through the sorted trials one by one gives the same number, draws included."""
    generator = np.random.default_rng(1)
    for _ in range(300):
        bonafide = generator.normal(1, 1, generator.integers(1, 60))
        spoof = generator.normal(0, 1, generator.integers(1, 60))
        truth = np.repeat([1, 0], [bonafide.size, spoof.size])[np.argsort(np.concatenate([bonafide, spoof]))]
        frr = np.append(0.0, np.cumsum(truth) / bonafide.size)
        far = np.append(1.0, (spoof.size - np.cumsum(1 - truth)) / spoof.size)
        at = np.argmin(np.abs(frr - far))
        assert eer(bonafide, spoof).eer == pytest.approx((frr[at] + far[at]) / 2, abs=1e-12)


def official(bonafide: np.ndarray, spoof: np.ndarray) -> tuple[float, float]:
    """The scorer of ASVspoof 2021 (eval_metrics.py), line for line."""
    n_scores = bonafide.size + spoof.size
    all_scores = np.concatenate((bonafide, spoof))
    labels = np.concatenate((np.ones(bonafide.size), np.zeros(spoof.size)))
    indices = np.argsort(all_scores, kind="mergesort")
    labels = labels[indices]
    tar_trial_sums = np.cumsum(labels)
    nontarget_trial_sums = spoof.size - (np.arange(1, n_scores + 1) - tar_trial_sums)
    frr = np.concatenate((np.atleast_1d(0), tar_trial_sums / bonafide.size))
    far = np.concatenate((np.atleast_1d(1), nontarget_trial_sums / spoof.size))
    thresholds = np.concatenate((np.atleast_1d(all_scores[indices[0]] - 0.001), all_scores[indices]))
    min_index = np.argmin(np.abs(frr - far))
    return float(np.mean((frr[min_index], far[min_index]))), float(thresholds[min_index])


def test_the_official_tie_rule_is_that_of_the_scorer():
    generator = np.random.default_rng(2)
    differ = 0
    for digits in (0, 1, 8) * 100:
        bonafide = np.round(generator.normal(1, 1, generator.integers(1, 60)), digits)
        spoof = np.round(generator.normal(0, 1, generator.integers(1, 60)), digits)
        value, threshold = official(bonafide, spoof)
        found = eer(bonafide, spoof, ties="official")
        assert found.eer == value
        if value > 0:  # below all scores the scorer goes down by a thousandth, here it is the next number
            assert found.threshold == pytest.approx(threshold, abs=0.0011)
        differ += abs(value - eer(bonafide, spoof).eer) > 1e-12
    assert differ > 100
    assert eer([2.0] * 5, [2.0] * 7, ties="official").eer == 1.0  # every bona fide is passed before any spoof
    with pytest.raises(ConfigError, match="'together' or by the 'official' rule, not 'random'"):
        eer([1.0], [0.0], ties="random")


def test_eer_of_equal_scores_is_one_half():
    assert eer([2.0] * 5, [2.0] * 7).eer == 0.5
    assert eer([1.0], [1.0]).eer == 0.5
    assert eer_convex_hull([2.0] * 5, [2.0] * 7) == 0.5


@settings(max_examples=200, deadline=None)
@given(lists, lists)
def test_eer_equals_the_definition(bonafide, spoof):
    assert eer(bonafide, spoof).eer == pytest.approx(eer_by_hand(bonafide, spoof), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(lists, lists, st.randoms(use_true_random=False))
def test_order_does_not_matter(bonafide, spoof, random):
    before = (eer(bonafide, spoof), min_dcf(bonafide, spoof), auc(bonafide, spoof), min_cllr(bonafide, spoof))
    random.shuffle(bonafide)
    random.shuffle(spoof)
    assert (eer(bonafide, spoof), min_dcf(bonafide, spoof), auc(bonafide, spoof), min_cllr(bonafide, spoof)) == before


@settings(max_examples=100, deadline=None)
@given(lists, lists)
def test_monotone_transform_changes_nothing(bonafide, spoof):
    warped = [[math.exp(s) + s**3 for s in scores] for scores in (bonafide, spoof)]
    for metric in (auc, min_dcf, min_cllr, eer_convex_hull):
        assert metric(*warped) == metric(bonafide, spoof)
    assert eer(*warped).eer == eer(bonafide, spoof).eer


@settings(max_examples=100, deadline=None)
@given(lists, lists)
def test_swapping_classes_and_sign(bonafide, spoof):
    flipped = [-s for s in spoof], [-s for s in bonafide]
    assert auc(*flipped) == pytest.approx(auc(bonafide, spoof), abs=1e-12)
    assert eer_convex_hull(*flipped) == pytest.approx(eer_convex_hull(bonafide, spoof), abs=1e-12)
    assert min_cllr(*flipped) == pytest.approx(min_cllr(bonafide, spoof), abs=1e-12)


def test_eer_threshold_reproduces_the_rates():
    generator = np.random.default_rng(0)
    bonafide, spoof = generator.normal(1, 1, 501), generator.normal(0, 1, 700)
    got = eer(bonafide, spoof)
    assert sum(error_rates(bonafide, spoof, got.threshold)) / 2 == pytest.approx(got.eer, abs=1e-12)
    assert balanced_accuracy(bonafide, spoof, got.threshold) == pytest.approx(1 - got.eer, abs=1e-12)


def test_det_curve_by_hand():
    frr, far, thresholds = det_curve([1, 2], [0, 1])
    assert frr.tolist() == [0, 0, 0.5, 1]
    assert far.tolist() == [1, 0.5, 0, 0]
    assert thresholds[1:].tolist() == [0, 1, 2]
    assert thresholds[0] < 0


def test_convex_hull_by_hand():
    # operating points (FAR, FRR): (1,0) (.5,0) (.5,.5) (0,.5) (0,1); hull (1,0) (.5,0) (0,.5) (0,1): crosses at .25
    assert eer_convex_hull([1, 3], [0, 2]) == pytest.approx(0.25, abs=1e-12)
    # reversed scores: the hull is the chance line
    assert eer_convex_hull([0, 1], [2, 3]) == pytest.approx(0.5, abs=1e-12)
    assert eer_convex_hull([1, 2], [0]) == 0.0


@settings(max_examples=100, deadline=None)
@given(lists, lists)
def test_convex_hull_lies_below_every_step(bonafide, spoof):
    """The hull's EER is the smallest value that mixing any two operating points reaches."""
    frr, far, _ = det_curve(bonafide, spoof)
    best = 1.0
    for i in range(len(frr)):
        for j in range(len(frr)):
            a, b = frr[i] - far[i], frr[j] - far[j]
            if a == 0:
                best = min(best, frr[i])
            elif a < 0 <= b:
                share = -a / (b - a)
                best = min(best, frr[i] + share * (frr[j] - frr[i]))
    assert eer_convex_hull(bonafide, spoof) == pytest.approx(best, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(lists, lists)
def test_auc_equals_scikit_learn(bonafide, spoof):
    truth = [1] * len(bonafide) + [0] * len(spoof)
    assert auc(bonafide, spoof) == pytest.approx(roc_auc_score(truth, bonafide + spoof), abs=1e-12)


def test_min_dcf_by_hand():
    # equal weights 0.5: the best threshold of this list makes one error of four on one side
    assert min_dcf([2, 4, 5, 6], [0, 1, 1.5, 3], p_target=0.5, c_miss=1, c_fa=1) == pytest.approx(0.25, abs=1e-12)
    # a false acceptance costs ten times more, prior 0.5: rejecting one of four bona fide more is the better choice
    # thresholds: at 3, FRR 1/4, FAR 0 -> 0.5 * 0.25 / 0.5 = 0.25; at 1.5, FAR 1/4 -> 5 * 0.25 / 0.5 = 2.5
    assert min_dcf([2, 4, 5, 6], [0, 1, 1.5, 3], p_target=0.5, c_miss=1, c_fa=10) == pytest.approx(0.25, abs=1e-12)
    # weights 0.95 and 0.5, normalised by 0.5: at 1.5, 0.5 * 0.25; at 3, 0.95 * 0.25
    assert min_dcf([2, 4, 5, 6], [0, 1, 1.5, 3]) == pytest.approx(0.25, abs=1e-12)
    assert min_dcf([0, 0], [0, 0, 0]) == pytest.approx(1.0)
    assert min_dcf([1, 2], [0]) == 0.0


def test_act_dcf_by_hand():
    # p 0.5, equal costs: threshold 0. One of two bona fide below, one of four spoofs above: 0.5 + 0.25
    assert act_dcf([-1, 2], [-3, -2, -1, 1], 0.5, 1, 1) == pytest.approx(0.75, abs=1e-12)
    # the default costs put the threshold at log(0.5 / 0.95) = -0.642: -0.5 is accepted, -0.7 is not
    assert act_dcf([-0.5, 1], [-0.7, -2]) == 0.0
    assert act_dcf([-0.7, 1], [-2.0, -0.5]) == pytest.approx((0.95 * 0.5 + 0.5 * 0.5) / 0.5, abs=1e-12)


def test_a_score_on_the_threshold_is_accepted_by_the_official_rule():
    assert error_rates([0, 1], [0, -1], 0.0) == (0.5, 0.0)
    assert error_rates([0, 1], [0, -1], 0.0, "official") == (0.0, 0.5)
    # equal priors and costs: the threshold is 0
    assert act_dcf([0, 1], [0, -1], 0.5, 1, 1) == 0.5
    assert act_dcf([0, 1], [0, -1], 0.5, 1, 1, "official") == 0.5
    assert act_dcf([0, 1], [-2, -1], 0.5, 1, 1, "official") == 0.0


@settings(max_examples=50, deadline=None)
@given(lists, lists)
def test_minima_are_below_actual_costs(bonafide, spoof):
    assert min_dcf(bonafide, spoof) <= act_dcf(bonafide, spoof) + 1e-12
    assert min_cllr(bonafide, spoof) <= cllr(bonafide, spoof) + 1e-12


def test_cllr_by_hand():
    assert cllr([0, 0], [0]) == pytest.approx(1.0, abs=1e-12)
    # llr = log 3: bona fide costs log2(4/3), spoof costs log2(4)
    assert cllr([math.log(3)], [math.log(3)]) == pytest.approx((math.log2(4 / 3) + 2) / 2, abs=1e-12)
    assert cllr([800.0], [-800.0]) == 0.0
    assert cllr([-800.0], [800.0]) == pytest.approx(800 / math.log(2), rel=1e-12)


def test_min_cllr_by_hand():
    assert min_cllr([5, 6], [1, 2]) == 0.0
    assert min_cllr([0, 1], [2, 3]) == pytest.approx(1.0, abs=1e-12)
    # blocks of the sorted list s b s b: [s], [b s], [b]; the middle one has llr 0 and costs 1 bit for half of each
    assert min_cllr([1, 3], [0, 2]) == pytest.approx(0.5, abs=1e-12)
    # one block with 2 of 2 bona fide and 1 of 2 spoofs: llr log 2
    expected = (math.log2(1.5) + 0.5 * math.log2(3)) / 2
    assert min_cllr([1, 1], [0, 1]) == pytest.approx(expected, abs=1e-12)


def test_min_cllr_equals_isotonic_regression():
    from sklearn.isotonic import IsotonicRegression

    generator = np.random.default_rng(3)
    bonafide, spoof = generator.normal(1, 1, 90).round(1), generator.normal(0, 1, 60).round(1)
    scores, truth = np.concatenate([bonafide, spoof]), np.repeat([1.0, 0.0], [90, 60])
    p = IsotonicRegression(y_min=0, y_max=1).fit(scores, truth).predict(scores)
    with np.errstate(divide="ignore"):
        llr = np.log(p / (1 - p)) - math.log(90 / 60)
    nats = np.mean(np.logaddexp(0, -llr[:90])) + np.mean(np.logaddexp(0, llr[90:]))
    assert min_cllr(bonafide, spoof) == pytest.approx(nats / 2 / math.log(2), abs=1e-9)


@pytest.mark.parametrize("metric", [eer, auc, min_dcf, act_dcf, cllr, min_cllr, det_curve, eer_convex_hull])
def test_bad_scores_are_refused(metric):
    with pytest.raises(DataError, match="no bona fide scores"):
        metric([], [1.0])
    with pytest.raises(DataError, match="no spoof scores"):
        metric([1.0], [])
    with pytest.raises(DataError, match="2 of 3 spoof scores are NaN or Inf"):
        metric([1.0], [float("nan"), 0.0, float("inf")])
    with pytest.raises(DataError, match="must be numbers"):
        metric(["a"], [1.0])


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="p_target"):
        min_dcf([1], [0], p_target=1.0)
    with pytest.raises(ConfigError, match="positive costs"):
        act_dcf([1], [0], c_fa=0)
    with pytest.raises(ConfigError, match="threshold is NaN"):
        error_rates([1], [0], float("nan"))
