"""Rows about what a detector decides: what needs a threshold or a calibration, and how often it decides at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.core.report import MetricRow
from auricle.metrics.calibration import Calibration, Decision
from auricle.metrics.detection import act_dcf, auc, balanced_accuracy, cllr, min_dcf
from auricle.metrics.rows import percent


def pooled_rows(scores: np.ndarray, labels: np.ndarray, calibration: Calibration | None) -> list[MetricRow]:
    """Give the area under the curve, and what needs a threshold or a calibration, both set on dev.

    Args:
        scores: (N,), higher is more bona fide.
        labels: (N,), true for bona fide.
        calibration: of the detector; None costs the rows that need it.
    """
    real, fake = scores[labels], scores[~labels]
    size = len(scores)
    rows = [
        MetricRow(name="auc", value=auc(real, fake), n=size, group="pooled"),
        MetricRow(name="min_dcf", value=min_dcf(real, fake), n=size, group="pooled"),
    ]
    if calibration is None:
        return rows
    llr_real, llr_fake = (calibration.slope * part + calibration.intercept for part in (real, fake))
    return [
        *rows,
        percent("balanced_accuracy", balanced_accuracy(real, fake, calibration.threshold), size, group="pooled"),
        MetricRow(name="act_dcf", value=act_dcf(llr_real, llr_fake), n=size, group="pooled"),
        MetricRow(name="cllr", value=cllr(llr_real, llr_fake), unit="bit", n=size, group="pooled"),
    ]


def share_rows(decisions: Sequence[Decision], labels: np.ndarray) -> list[MetricRow]:
    """Give the shares of clips that get a label (bonafide or spoof) and a probability, of all and of the real ones.

    Args:
        decisions: N of them.
        labels: (N,), true for bona fide.
    """
    labelled = np.array([one.label in ("bonafide", "spoof") for one in decisions])
    certain = np.array([one.p_bonafide is not None for one in decisions])
    rows = []
    for group, chosen in (("pooled", np.ones(len(labels), bool)), ("bonafide", labels)):
        for name, have in (("with_label", labelled), ("with_probability", certain), ("with_both", labelled & certain)):
            rows.append(percent(name, float(have[chosen].mean()), int(chosen.sum()), group=group))
    return rows
