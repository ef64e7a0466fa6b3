"""What a report says of decisions."""

import numpy as np
import pytest

from auricle.metrics.calibration import Calibration, decide
from auricle.metrics.decision_rows import pooled_rows, share_rows
from auricle.metrics.detection import cllr

SCORES, LABELS = np.array([2.0, 1.0, -0.1, -1.0, 0.5, -2.0]), np.array([True, True, True, False, False, False])
CALIBRATION = Calibration(2.0, 0.0, 0.0, -0.3, 0.3)


def values(rows):
    return {(row.name, row.group): row.value for row in rows}


def test_shares_count_labels_and_probabilities_apart():
    decisions = [decide(CALIBRATION, score, "odd" if score == 2.0 else None) for score in SCORES]
    found = values(share_rows(decisions, LABELS))
    assert found["with_probability", "pooled"] == pytest.approx(100 * 5 / 6)
    assert found["with_label", "pooled"] == pytest.approx(100 * 4 / 6)  # one is odd, one is in the band
    assert found["with_both", "bonafide"] == pytest.approx(100 / 3)
    assert found["with_probability", "bonafide"] == pytest.approx(200 / 3)


def test_what_needs_a_calibration_is_left_out_without_one():
    with_one, without = values(pooled_rows(SCORES, LABELS, CALIBRATION)), values(pooled_rows(SCORES, LABELS, None))
    assert set(without) == {("auc", "pooled"), ("min_dcf", "pooled")}
    assert {name for name, _ in with_one} - {name for name, _ in without} == {"balanced_accuracy", "act_dcf", "cllr"}
    assert with_one["cllr", "pooled"] == pytest.approx(cllr(2 * SCORES[LABELS], 2 * SCORES[~LABELS]))
    assert with_one["balanced_accuracy", "pooled"] == pytest.approx(100 * (2 / 3 + 2 / 3) / 2)
