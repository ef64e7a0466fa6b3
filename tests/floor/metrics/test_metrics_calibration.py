"""Platt scaling, threshold and the undecided band."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.metrics.calibration import (
    UNCALIBRATED,
    Calibration,
    Decision,
    calibrate,
    decide,
    fit_platt,
    undecided_band,
)
from auricle.metrics.detection import cllr, eer, min_cllr


def gaussians(n_real: int, n_fake: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores from N(1, 1) and N(-1, 1): their log likelihood ratio is exactly 2 * score."""
    generator = np.random.default_rng(seed)
    scores = np.concatenate([generator.normal(1, 1, n_real), generator.normal(-1, 1, n_fake)])
    return scores, np.repeat([1, 0], [n_real, n_fake])


@pytest.mark.parametrize("sizes", [(20000, 20000), (2000, 38000)])
def test_platt_finds_the_known_likelihood_ratio_at_prior_one_half(sizes):
    """The map is that of prior 0.5 whatever the class sizes on dev are."""
    platt = fit_platt(*gaussians(*sizes))
    assert platt.slope == pytest.approx(2, rel=0.06)
    assert platt.intercept == pytest.approx(0, abs=0.08)
    assert platt.apply(0.0) == pytest.approx(0.5, abs=0.02)


def test_platt_is_at_the_minimum():
    """Hand-made gradient: sum of weight * (p - target) and of weight * (p - target) * score vanish."""
    scores, labels = gaussians(30, 70)
    p = fit_platt(scores, labels).apply(scores)
    targets = np.where(labels == 1, 31 / 32, 1 / 32)
    residual = (p - targets) * np.where(labels == 1, 0.5 / 30, 0.5 / 70)
    assert abs(residual.sum()) < 1e-9
    assert abs((residual * scores).sum()) < 1e-9


def test_calibrated_scores_have_lower_cost():
    scores, labels = gaussians(500, 500)
    raw = 30 * scores - 12
    llr = fit_platt(raw, labels).llr(raw)
    before, after = cllr(raw[labels == 1], raw[labels == 0]), cllr(llr[labels == 1], llr[labels == 0])
    assert after < 0.2 * before
    assert min_cllr(raw[labels == 1], raw[labels == 0]) <= after < 0.6


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_separated_classes_stay_finite(scale):
    scores = np.array([-2.0, -1.0, 1.0, 2.0]) * scale
    calibration = calibrate(scores, [0, 0, 1, 1])
    assert np.isfinite([calibration.slope, calibration.intercept, calibration.threshold]).all()
    assert np.isfinite([calibration.undecided_low, calibration.undecided_high]).all()
    p = calibration.probability(scores)
    assert (np.diff(p) > 0).all()
    assert 0.5 < p[2] < 0.99
    assert [calibration.label(s) for s in scores] == ["spoof", "spoof", "bonafide", "bonafide"]


def test_probability_never_falls_with_the_score():
    """A detector that is worse than chance on dev is not turned round: it knows nothing."""
    scores, labels = gaussians(50, 50)
    calibration = calibrate(-scores, labels)
    assert calibration.probability([-5.0, 5.0]).tolist() == [0.5, 0.5]
    assert calibration.label(-5.0) == calibration.label(5.0) == "undecided"
    assert calibrate([1.0, 1.0], [0, 1]).label(1.0) == "undecided"


def test_band_holds_threshold_and_agrees_with_probability():
    scores, labels = gaussians(300, 60, seed=3)
    calibration = calibrate(scores, labels)
    low, high = undecided_band(scores, labels)
    assert (low, high) == (calibration.undecided_low, calibration.undecided_high)
    at_eer = eer(scores[labels == 1], scores[labels == 0]).threshold
    assert at_eer < calibration.threshold < scores[scores > at_eer].min()
    assert low <= calibration.threshold <= high
    for score, p in zip(scores, calibration.probability(scores), strict=True):
        label = calibration.label(score)
        assert (label == "undecided") or (label == "bonafide") == (p > 0.65)
        if 0.3501 < p < 0.6499:
            assert label == "undecided"


def test_band_narrows_with_a_better_detector():
    generator = np.random.default_rng(0)
    labels = np.repeat([1, 0], 400)
    noise = generator.normal(0, 1, 800)
    shares = []
    for gap in (0.5, 2.0, 5.0):
        scores = noise + gap * labels
        low, high = undecided_band(scores, labels)
        shares.append(np.mean((scores >= low) & (scores <= high)))
    assert shares[0] > shares[1] > shares[2]


def test_calibration_goes_through_json():
    calibration = calibrate(*gaussians(20, 20))
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration
    with pytest.raises(DataError, match="a calibration holds slope"):
        Calibration.from_dict({"slope": 1.0})
    with pytest.raises(DataError, match="NaN"):
        Calibration.from_dict(calibration.to_dict() | {"slope": float("nan")})
    with pytest.raises(DataError, match="'used' is 'no'; it is true or false"):
        Calibration.from_dict(calibration.to_dict() | {"used": "no"})
    with pytest.raises(DataError, match="holds numbers"):
        Calibration.from_dict(calibration.to_dict() | {"cllr": "bad"})
    unused = replace(calibration, used=False, cllr=1.25)
    assert Calibration.from_dict(json.loads(json.dumps(unused.to_dict()))) == unused


def test_a_calibration_of_an_older_version_is_used():
    values = {"slope": 2.0, "intercept": 0.0, "threshold": 0.1, "undecided_low": -0.3, "undecided_high": 0.3}
    assert Calibration.from_dict(values) == Calibration(2.0, 0.0, 0.1, -0.3, 0.3, used=True, cllr=None)


def test_a_decision_has_a_probability_or_says_why_not():
    calibration = Calibration(2.0, 0.0, 0.1, -0.3, 0.3)
    assert decide(calibration, 0.5) == Decision(pytest.approx(1 / (1 + np.exp(-1))), "bonafide", 0.1, None)
    assert decide(calibration, 0.2).label == "undecided"
    assert decide(calibration, 0.5, "too odd") == Decision(None, "undecided", 0.1, "too odd")
    unused = replace(calibration, used=False, cllr=1.234)
    why = "no probability: the calibration was worse than none on held-out dev voices (Cllr 1.23)"
    assert decide(unused, 0.5) == Decision(None, "bonafide", 0.1, why)
    assert decide(unused, -0.5) == Decision(None, "spoof", 0.1, why)
    assert decide(unused, 0.5, "too odd").reason == "too odd"
    assert decide(None, 0.5) == decide(None, 0.5, "too odd") == Decision(None, None, None, UNCALIBRATED)


def test_bad_dev_sets_are_refused():
    for function in (fit_platt, undecided_band, calibrate):
        with pytest.raises(DataError, match="no bona fide"):
            function([1.0, 2.0], [0, 0])
        with pytest.raises(DataError, match="NaN or Inf"):
            function([1.0, float("inf")], [0, 1])
        with pytest.raises(DataError, match="no dev scores"):
            function([], [])
