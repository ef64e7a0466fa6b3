"""Trials of a two-class detector: checked scores and labels, and the step counts that every metric is made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def check_scores(scores: npt.ArrayLike, name: str) -> FloatArray:
    """Give scores as a float64 vector.

    Args:
        scores: numbers, any shape that ravels to (N,).
        name: what they are, for the error message.

    Returns:
        The scores, shape (N,).

    Raises:
        DataError: no score at all, or NaN or Inf among them.
    """
    try:
        values = np.asarray(scores, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} scores must be numbers: {error}") from None
    if values.size == 0:
        raise DataError(f"there are no {name} scores; a detection metric needs at least one of each class")
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise DataError(f"{bad} of {values.size} {name} scores are NaN or Inf; every trial needs a finite score")
    return values


def check_labels(labels: npt.ArrayLike, size: int) -> npt.NDArray[np.bool_]:
    """Give labels as booleans, True for bona fide.

    Args:
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        size: the number of scores.

    Raises:
        DataError: another length, other values than 0 and 1, or only one class.
    """
    values = np.asarray(labels).ravel()
    if values.size != size:
        raise DataError(f"there are {size} scores and {values.size} labels; give one label per score")
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise DataError(f"labels must be 0 (spoof) or 1 (bona fide), got {np.unique(values)[:5].tolist()}")
    truth = values.astype(bool)
    if truth.all() or not truth.any():
        missing = "spoof" if truth.all() else "bona fide"
        raise DataError(f"there are no {missing} trials among {size}; a detection metric needs both classes")
    return truth


def split(scores: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Split scores by label into (bona fide, spoof).

    Args:
        scores: shape (N,), higher is more bona fide.
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).

    Raises:
        DataError: as `check_scores` and `check_labels`.
    """
    values = check_scores(scores, "given")
    truth = check_labels(labels, values.size)
    return values[truth], values[~truth]


class Counts(NamedTuple):
    """Cumulative counts at or below each threshold: integers, shape (..., K + 1), thresholds (K + 1,)."""

    bonafide: IntArray
    spoof: IntArray
    thresholds: FloatArray


def cumulative_counts(bonafide: npt.ArrayLike, spoof: npt.ArrayLike) -> Counts:
    """Count the trials of each class at or below each distinct score, and below all of them.

    Args:
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
    """
    real = np.sort(check_scores(bonafide, "bona fide"))
    fake = np.sort(check_scores(spoof, "spoof"))
    distinct = np.unique(np.concatenate([real, fake]))
    thresholds = np.concatenate([[np.nextafter(distinct[0], -np.inf)], distinct])
    return Counts(
        np.searchsorted(real, thresholds, side="right").astype(np.int64),
        np.searchsorted(fake, thresholds, side="right").astype(np.int64),
        thresholds,
    )
