"""Speaker verification: enrolment, cosine, score normalisation, and thresholds set at a false-accept target.

A trial is accepted when its score is at or above the threshold, as verifiers are used; the two-class metrics of
`auricle.metrics.detection` accept above it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.trials import FloatArray, check_scores

# With n independent impostor trials a share of f is a usable point from 3 / f on (the rule of three: no accept in 3 / f
# trials bounds the share by f at 95 %), and is known to about a third of itself from 30 / f on.
USABLE_ACCEPTS = 3
CLAIMABLE_ACCEPTS = 30


class OperatingPoint(NamedTuple):
    """A threshold that was set at a false-accept target.

    Attributes:
        threshold: accept at or above it.
        far_target: the share of zero-effort trials that may be accepted.
        far: the share that is.
        n: zero-effort trials that it was set on.
        usable: whether there are at least 3 / f of them.
        claimable: whether there are at least 30 / f of them.
    """

    threshold: float
    far_target: float
    far: float
    n: int
    usable: bool
    claimable: bool


def _vectors(values: npt.ArrayLike, name: str) -> FloatArray:
    """Give rows of float64, shape (N, D), finite and none of length zero, at unit length."""
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.size == 0:
        raise DataError(f"{name} must have the shape (rows, dimensions) with at least one of each, got {rows.shape}")
    if not np.isfinite(rows).all():
        raise DataError(f"{name} hold NaN or Inf; every embedding needs finite numbers")
    # first by the largest entry: squares of tiny or huge entries leave the range of float64
    peak = np.max(np.abs(rows), axis=1, keepdims=True)
    if not peak.all():
        raise DataError(f"{name}, row {int(np.argmin(peak))}: all zero; such an embedding has no direction")
    rows = rows / peak
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def enrol(embeddings: npt.ArrayLike) -> FloatArray:
    """Make one speaker's model of K utterances: each at unit length, their mean, at unit length.

    Args:
        embeddings: shape (K, D).

    Returns:
        The model, shape (D,), length 1.

    Raises:
        DataError: another shape, NaN or Inf, an embedding of zeros, or embeddings that cancel each other.
    """
    mean = np.mean(_vectors(embeddings, "enrolment embeddings"), axis=0)
    length = float(np.linalg.norm(mean))
    if length < 1e-12:
        raise DataError("the enrolment embeddings cancel each other; enrol utterances of one speaker")
    return np.asarray(mean / length)


def cosine(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """Give the cosine of each row of `a` with the same row of `b`.

    Args:
        a: shape (N, D).
        b: shape (N, D).

    Returns:
        Shape (N,), each in [-1, 1].

    Raises:
        DataError: different shapes, NaN or Inf, or a row of zeros.
    """
    left, right = _vectors(a, "embeddings"), _vectors(b, "embeddings")
    if left.shape != right.shape:
        raise DataError(f"cosines need two arrays of one shape, got {left.shape} and {right.shape}")
    return np.asarray(np.clip(np.einsum("nd,nd->n", left, right), -1.0, 1.0))


def as_norm(scores: npt.ArrayLike, enrol_cohort: npt.ArrayLike, test_cohort: npt.ArrayLike, top: int) -> FloatArray:
    """Normalise scores by the nearest of a cohort, once for each side, and average both.

    0.5 [(s - m_e) / d_e + (s - m_t) / d_t], with m and d the mean and the (population) standard deviation of the `top`
    highest cohort scores. Source: adaptive S-norm, Matejka et al., Interspeech 2017.

    Args:
        scores: shape (N,).
        enrol_cohort: scores of each trial's enrolment against the cohort, shape (N, C).
        test_cohort: scores of each trial's test utterance against the cohort, shape (N, C).
        top: how many of the highest cohort scores to use, from 2 to C.

    Returns:
        Shape (N,).

    Raises:
        DataError: shapes that do not fit, NaN or Inf, or a cohort whose top scores are all equal.
        ConfigError: `top` is not from 2 to C.
    """
    values = check_scores(scores, "verifier")
    total = np.zeros_like(values)
    for cohort, name in ((enrol_cohort, "enrolment"), (test_cohort, "test")):
        rows = np.asarray(cohort, dtype=np.float64)
        if rows.ndim != 2 or len(rows) != values.size:
            raise DataError(f"the {name} cohort scores must have the shape ({values.size}, cohort), got {rows.shape}")
        if not 2 <= top <= rows.shape[1]:
            raise ConfigError(f"top must be from 2 to the cohort's size, {rows.shape[1]}; got {top}")
        if not np.isfinite(rows).all():
            raise DataError(f"the {name} cohort scores hold NaN or Inf")
        nearest = np.partition(rows, rows.shape[1] - top, axis=1)[:, -top:]  # (N, top)
        spread = np.std(nearest, axis=1)
        if not spread.all():
            raise DataError(f"the top {top} {name} cohort scores of trial {int(np.argmin(spread))} are all equal")
        total += (values - np.mean(nearest, axis=1)) / spread
    return total / 2


def check_far(far: float) -> float:
    """Give a false-accept target back.

    Args:
        far: the target, a share.

    Raises:
        ConfigError: it is not above 0 and below 1.
    """
    if not 0 < far < 1:
        raise ConfigError(f"a false-accept target is a share above 0 and below 1, such as 0.01; got {far}")
    return float(far)


def threshold_at_far(zero_effort: npt.ArrayLike, far: float) -> OperatingPoint:
    """Set the threshold at a false-accept target.

    tau(f) is the smallest score at which the share of zero-effort trials with score >= tau is at most f. Candidates
    are the observed zero-effort scores and, where even the highest of them is shared by too many trials, the next
    number above it. Trials with equal scores are accepted or refused together.

    Args:
        zero_effort: scores of zero-effort impostors, shape (N,).
        far: the share of them that may be accepted, in (0, 1).

    Returns:
        The threshold, the share that it accepts, and whether N carries the target.

    Raises:
        DataError: no scores, or NaN or Inf among them.
        ConfigError: `far` is not in (0, 1).
    """
    scores, target = check_scores(zero_effort, "zero-effort"), check_far(far)
    n = scores.size
    # the most trials that may pass; compared as shares, so that 29 of 100 is within 0.29
    most = min(n - 1, int(target * n) + 1)
    while most / n > target:
        most -= 1
    refused = np.partition(scores, n - most - 1)[n - most - 1]  # the highest score that must not pass
    above = scores[scores > refused]
    threshold = float(above.min()) if above.size else float(np.nextafter(refused, np.inf))
    expected = n * target + 1e-9  # 3 / 0.0003 trials are enough, whatever the last bit of the product says
    return OperatingPoint(
        threshold, target, above.size / n, n, expected >= USABLE_ACCEPTS, expected >= CLAIMABLE_ACCEPTS
    )


def bypass_rate(spoof: npt.ArrayLike, threshold: float) -> float:
    """Measure the share of spoofs of the claimed speaker that are accepted: score >= threshold.

    Args:
        spoof: scores of spoof trials, shape (N,).
        threshold: accept at or above it.

    Raises:
        DataError: no scores, or NaN or Inf among them.
        ConfigError: the threshold is NaN.
    """
    return float(np.mean(check_scores(spoof, "spoof") >= _threshold(threshold)))


def false_rejection(target: npt.ArrayLike, threshold: float) -> float:
    """Measure the share of the true speaker's own trials that are refused: score < threshold.

    Args:
        target: scores of target trials, shape (N,).
        threshold: accept at or above it.

    Raises:
        DataError: no scores, or NaN or Inf among them.
        ConfigError: the threshold is NaN.
    """
    return float(np.mean(check_scores(target, "target") < _threshold(threshold)))


def _threshold(value: float) -> float:
    if np.isnan(value):
        raise ConfigError("the threshold is NaN; give a number")
    return float(value)
