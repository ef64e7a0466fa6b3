"""Calibration that is fitted, shrunk and measured on folds of voices and families."""

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.metrics.calibration import calibrate, decide
from auricle.metrics.detection import cllr
from auricle.metrics.held_out import calibrate_held_out


def trials(voice_sd, family_sd, seed=0, voices=6, families=5, each=20):
    """Scores N(1, 1) and N(-1, 1), moved by each voice and each family of fakes."""
    draws = np.random.default_rng(seed)
    moved = draws.normal(0, voice_sd, voices)
    harder = draws.normal(0, family_sd, families)
    rows = []
    for voice in range(voices):
        rows += [(1 + moved[voice] + draws.normal(), True, f"v{voice}", "") for _ in range(each)]
        for family in range(families):
            score = -1 + moved[voice] + harder[family]
            rows += [(score + draws.normal(), False, f"v{voice}", f"f{family}") for _ in range(each // 4)]
    scores, labels, names, kinds = zip(*rows, strict=True)
    return np.array(scores), np.array(labels), np.array(names), np.array(kinds)


def measured(calibration, scores, labels):
    llrs = calibration.slope * scores + calibration.intercept
    return cllr(llrs[labels], llrs[~labels])


def test_where_voices_are_alike_it_is_nearly_the_plain_fit():
    given = trials(0, 0, each=80)
    plain, ours = calibrate(*given[:2]), calibrate_held_out(*given)
    assert ours.used
    assert ours.slope == pytest.approx(plain.slope, rel=0.1)
    assert ours.slope <= plain.slope
    assert ours.cllr == pytest.approx(measured(ours, *trials(0, 0, seed=9)[:2]), abs=0.1)


def test_it_is_flatter_where_voices_and_families_differ_and_better_on_new_ones():
    plain_new, ours_new, claimed = [], [], []
    for seed in range(20):
        given, new = trials(1.0, 1.0, seed=seed, voices=4), trials(1.0, 1.0, seed=100 + seed)
        plain, ours = calibrate(*given[:2]), calibrate_held_out(*given)
        assert ours.slope <= plain.slope
        if ours.used:
            plain_new.append(measured(plain, *new[:2]))
            ours_new.append(measured(ours, *new[:2]))
            claimed.append(ours.cllr)
    assert len(ours_new) >= 10
    assert np.mean(ours_new) < np.mean(plain_new)
    assert np.mean(claimed) == pytest.approx(np.mean(ours_new), abs=0.15)


def test_the_threshold_has_even_odds_and_a_narrow_band():
    calibration = calibrate_held_out(*trials(0.5, 0.5))
    assert calibration.probability([calibration.threshold])[0] == pytest.approx(0.5)
    band = calibration.probability([calibration.undecided_low, calibration.undecided_high])
    assert band == pytest.approx([0.45, 0.55])
    for score in np.linspace(-4, 4, 81):
        found = decide(calibration, score)
        assert found.label == (
            "bonafide" if found.p_bonafide > 0.55 else "spoof" if found.p_bonafide < 0.45 else "undecided"
        )


def test_what_is_worse_than_none_is_not_used_and_the_label_stays():
    # two voices whose scores say nothing of each other: what is real in one is far below what is fake in the other
    draws = np.random.default_rng(0)
    scores = np.concatenate([draws.normal(centre, 0.1, 40) for centre in (9, 5, -5, -9)])
    labels = np.tile(np.repeat([True, False], 40), 2)
    voices, families = np.repeat(["a", "b"], 80), np.where(labels, "", np.resize(["x", "y"], 160))
    calibration = calibrate_held_out(scores, labels, voices, families)
    assert calibration.cllr > 1
    assert not calibration.used
    assert calibration.threshold == calibrate(scores, labels).threshold
    found = decide(calibration, 20.0)
    assert (found.p_bonafide, found.label) == (None, "bonafide")
    assert f"worse than none on held-out dev voices (Cllr {calibration.cllr:.2f})" in found.reason


def test_one_voice_with_one_family_cannot_be_measured():
    scores, labels, *_ = trials(0, 0)
    calibration = calibrate_held_out(scores, labels, ["v"] * len(scores), ["f"] * len(scores))
    assert (calibration.used, calibration.cllr) == (False, None)
    assert "too few voices and families to measure" in decide(calibration, 3.0).reason


def test_a_detector_that_knows_nothing_gives_no_probability():
    scores, labels, voices, families = trials(0, 0)
    calibration = calibrate_held_out(-scores, labels, voices, families)
    assert not calibration.used
    assert decide(calibration, 1.0).label == "undecided"


def test_many_voices_share_folds_and_order_does_not_matter():
    scores, labels, voices, families = trials(0.5, 0.5, voices=30, each=8)
    one = calibrate_held_out(scores, labels, voices, families)
    order = np.random.default_rng(1).permutation(len(scores))
    other = calibrate_held_out(scores[order], labels[order], voices[order], families[order])
    assert other.cllr == pytest.approx(one.cllr)
    assert other.slope == pytest.approx(one.slope)


def test_bad_dev_sets_are_refused():
    with pytest.raises(DataError, match="no bona fide"):
        calibrate_held_out([1.0, 2.0], [0, 0], ["a", "b"], ["x", "y"])
