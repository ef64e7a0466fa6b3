"""Calibration for voices and fakes that nobody has met: fitted, shrunk and measured on folds that the fit left out.

A map from scores to probabilities that is fitted on all dev clips is too sure of itself. So each cell of a voice and a
family of fakes is left out in turn: the map is fitted on the other voices with the other families and asked about this
one. What these answers need to be right is a second map, as a rule a flatter one, and it is put behind the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auricle.metrics.calibration import Calibration, Platt, calibrate, calibration_of, fit_platt
from auricle.metrics.detection import cllr
from auricle.metrics.trials import FloatArray, check_labels, check_scores

MOST_VOICES = 10  # folds of voices; more voices share them
WORSE_THAN_NONE = 1.0  # Cllr in bits of a detector that always says "even odds"
# A map that was shrunk on what it had not met may decide nearer to even odds than one that is too sure.
UNDECIDED_BELOW = 0.55


@dataclass(frozen=True)
class _Fold:
    """What one fold was asked, and the log likelihood ratios that a fit without it gave."""

    voice: str
    family: str
    llrs: FloatArray
    labels: np.ndarray


def calibrate_held_out(
    scores: npt.ArrayLike, labels: npt.ArrayLike, voices: npt.ArrayLike, families: npt.ArrayLike
) -> Calibration:
    """Set probability map, threshold and undecided band on dev, for voices and families that dev does not have.

    Args:
        scores: dev scores, shape (N,), higher is more bona fide.
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        voices: name of each trial's voice, shape (N,).
        families: name of each fake's family, shape (N,); what stands beside bona fide trials does not matter.

    Returns:
        A calibration whose threshold has even odds, with `Calibration.cllr` from trials that neither of its two maps
        had met. Where that is above 1, or where dev has one voice and one family, its probability is not used and its
        threshold is that of the dev EER.

    Raises:
        DataError: a class is missing, scores are not finite, or lengths differ.
    """
    values = check_scores(scores, "dev")
    truth = check_labels(labels, values.size)
    plain = calibrate(values, truth)
    folds = _folds(values, truth, np.asarray(voices).astype(str), np.asarray(families).astype(str))
    measured = _measured(folds)
    second = None if measured is None else _second(folds)
    if second is None or measured is None or measured > WORSE_THAN_NONE or plain.slope * second.slope <= 0:
        return calibration_of(Platt(plain.slope, plain.intercept), plain.threshold, used=False, cllr=measured)
    slope, intercept = plain.slope * second.slope, second.slope * plain.intercept + second.intercept
    even = -intercept / slope
    return calibration_of(Platt(slope, intercept), even, undecided_below=UNDECIDED_BELOW, cllr=measured)


def _folds(values: FloatArray, truth: np.ndarray, voices: np.ndarray, families: np.ndarray) -> list[_Fold]:
    """Ask fits without a voice and a family about that voice's real trials and its fakes of that family."""
    names = np.unique(voices)
    place = {name: str(index % MOST_VOICES) for index, name in enumerate(names)}
    merged = np.array([place[name] for name in voices])
    kinds = np.unique(families[~truth])
    folds = []
    for voice in np.unique(merged):
        for family in kinds:
            held = (merged == voice) & (truth | (families == family))
            rest = np.ones(len(values), bool)
            if len(names) > 1:
                rest &= merged != voice
            if len(kinds) > 1:
                rest &= truth | (families != family)
            if (len(names) == 1 and len(kinds) == 1) or not held.any() or not _both(truth[rest]):
                continue
            map_ = fit_platt(values[rest], truth[rest])
            folds.append(_Fold(voice, str(family), map_.llr(values[held]), truth[held]))
    return folds


def _second(folds: list[_Fold]) -> Platt | None:
    """Fit what the answers of folds need to be right; never a steeper map, and none where a class is missing."""
    if not folds:
        return None
    llrs, labels = np.concatenate([fold.llrs for fold in folds]), np.concatenate([fold.labels for fold in folds])
    if not _both(labels):
        return None
    fitted = fit_platt(llrs, labels)
    return fitted if fitted.slope <= 1 else Platt(1.0, 0.0)


def _measured(folds: list[_Fold]) -> float | None:
    """Give the Cllr of both maps on trials that neither was fitted on; None where that cannot be had."""
    llrs, labels = [], []
    for fold in folds:
        others = [other for other in folds if other.voice != fold.voice and other.family != fold.family]
        others = others or [other for other in folds if other is not fold]
        second = _second(others)
        if second is not None:
            llrs.append(second.llr(fold.llrs))
            labels.append(fold.labels)
    if not llrs or not _both(truth := np.concatenate(labels)):
        return None
    answers = np.concatenate(llrs)
    return float(cllr(answers[truth], answers[~truth]))


def _both(labels: np.ndarray) -> bool:
    return bool(labels.any() and not labels.all())
