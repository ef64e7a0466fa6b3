"""Two-class detection: EER, DET, AUC, detection costs, Cllr. A higher score means more bona fide.

Every function works from the same two step functions (Martin et al., 1997): a trial is accepted as bona fide when its
score is above the threshold, so that

    FRR(s) = share of bona fide scores <= s        FAR(s) = share of spoof scores > s

evaluated below the smallest score and at each distinct score. Trials with equal scores move together, so no result
depends on the order of the trials.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError
from auricle.metrics.trials import Counts, FloatArray, IntArray, check_scores, cumulative_counts

Ties = Literal["together", "official"]


class EqualErrorRate(NamedTuple):
    """An equal error rate in [0, 1] and the score it was read at."""

    eer: float
    threshold: float


class DetCurve(NamedTuple):
    """Error rates at each threshold, thresholds ascending, each of shape (K + 1,)."""

    frr: FloatArray
    far: FloatArray
    thresholds: FloatArray


class ErrorRates(NamedTuple):
    """Share of bona fide trials rejected and of spoof trials accepted at one threshold."""

    frr: float
    far: float


def eer_index(bonafide: IntArray, spoof: IntArray) -> IntArray:
    """Find where FRR and FAR differ least, the first such place, along the last axis of cumulative counts.

    The rates are divided first and then compared, as the scorer of ASVspoof does: where two neighbouring scores are
    equally good, rounding decides, and it has to decide the same way here.

    Args:
        bonafide: cumulative counts of bona fide trials, shape (..., K + 1); the last entry is their number.
        spoof: the same for spoof trials.

    Returns:
        Indices, shape (...).
    """
    n_real, n_fake = bonafide[..., -1:], spoof[..., -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.argmin(np.abs(bonafide / n_real - (n_fake - spoof) / n_fake), axis=-1))


def eer_from_counts(bonafide: IntArray, spoof: IntArray) -> FloatArray:
    """Give the EER of each row of cumulative counts, shape (...); NaN where a class has no trial."""
    index = eer_index(bonafide, spoof)[..., None]
    n_real, n_fake = bonafide[..., -1].astype(np.float64), spoof[..., -1].astype(np.float64)
    rejected = np.take_along_axis(bonafide, index, axis=-1)[..., 0]
    accepted = spoof[..., -1] - np.take_along_axis(spoof, index, axis=-1)[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((rejected / n_real + accepted / n_fake) / 2)


def eer(bonafide: npt.ArrayLike, spoof: npt.ArrayLike, ties: Ties = "together") -> EqualErrorRate:
    """Measure the equal error rate.

    Sort all scores; take the score s where FRR(s) and FAR(s) differ least (the lowest one if several do) and average
    the two. Where all scores differ this is what the scorers of ASVspoof give, to the last bit.

    Args:
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).
        ties: ``together``: equal scores are passed at once, so the result does not depend on an order. ``official``:
            one by one, bona fide first, as the scorers of ASVspoof 2019, 2021 and 5 do; with scores of few different
            values this is what the field publishes, and no threshold can reach it.

    Returns:
        (eer in [0, 1], threshold s): a trial is accepted when its score is above s.

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
        ConfigError: another rule.
    """
    if _official(ties):
        return _official_eer(check_scores(bonafide, "bona fide"), check_scores(spoof, "spoof"))
    counts = cumulative_counts(bonafide, spoof)
    index = int(eer_index(counts.bonafide, counts.spoof))
    return EqualErrorRate(float(eer_from_counts(counts.bonafide, counts.spoof)), float(counts.thresholds[index]))


def _official(ties: Ties) -> bool:
    if ties not in ("together", "official"):
        raise ConfigError(f"equal scores are passed 'together' or by the 'official' rule, not {ties!r}")
    return ties == "official"


def _official_eer(real: FloatArray, fake: FloatArray) -> EqualErrorRate:
    scores = np.concatenate([real, fake])
    order = np.argsort(scores, kind="stable")  # of equal scores the bona fide ones come first
    passed = np.concatenate([[0], np.cumsum(order < real.size)])
    left = fake.size - (np.arange(scores.size + 1) - passed)
    frr, far = passed / real.size, left / fake.size
    index = int(np.argmin(np.abs(frr - far)))
    threshold = scores[order[index - 1]] if index else np.nextafter(scores[order[0]], -np.inf)
    return EqualErrorRate(float((frr[index] + far[index]) / 2), float(threshold))


def _hull_blocks(counts: Counts) -> list[tuple[int, int]]:
    """Pool adjacent violators: blocks (bona fide, spoof) whose share of bona fide rises strictly with the score."""
    real, fake = np.diff(counts.bonafide), np.diff(counts.spoof)
    # neighbours of one class only have the same share: join them first, so that the loop sees few blocks
    kind = np.where(fake == 0, 1, np.where(real == 0, 0, np.arange(real.size) + 2))
    starts = np.flatnonzero(np.concatenate([[True], kind[1:] != kind[:-1]]))
    blocks: list[tuple[int, int]] = []
    for r, f in zip(np.add.reduceat(real, starts).tolist(), np.add.reduceat(fake, starts).tolist(), strict=True):
        while blocks and blocks[-1][0] * f >= r * blocks[-1][1]:
            before = blocks.pop()
            r, f = r + before[0], f + before[1]
        blocks.append((r, f))
    return blocks


def eer_convex_hull(bonafide: npt.ArrayLike, spoof: npt.ArrayLike) -> float:
    """Measure the EER on the convex hull of the ROC curve (ROCCH-EER).

    The hull holds every operating point that mixing two thresholds can reach; its crossing with FRR = FAR needs no
    choice between steps. Source: Brümmer & de Villiers, The BOSARIS Toolkit, 2013 (arXiv 1304.2865).

    Args:
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).

    Returns:
        The EER in [0, 0.5].

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
    """
    counts = cumulative_counts(bonafide, spoof)
    n_real, n_fake = int(counts.bonafide[-1]), int(counts.spoof[-1])
    edges = np.asarray(_hull_blocks(counts), dtype=np.int64)
    # FRR - FAR, times both class sizes, grows linearly along an edge: find the edge on which it reaches zero
    growth = edges[:, 0] * n_fake + edges[:, 1] * n_real
    end = np.cumsum(growth) - n_real * n_fake
    edge = int(np.argmax(end >= 0))
    rejected = int(np.sum(edges[: edge + 1, 0]))
    return float((rejected - edges[edge, 0] * (end[edge] / growth[edge])) / n_real)


def det_curve(bonafide: npt.ArrayLike, spoof: npt.ArrayLike) -> DetCurve:
    """Give both error rates at every threshold, from "accept all" to "reject all".

    Args:
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).

    Returns:
        FRR (rising), FAR (falling) and thresholds (rising): below the smallest score, then each distinct score.

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
    """
    counts = cumulative_counts(bonafide, spoof)
    n_real, n_fake = counts.bonafide[-1], counts.spoof[-1]
    return DetCurve(counts.bonafide / n_real, (n_fake - counts.spoof) / n_fake, counts.thresholds)


def auc_from_counts(bonafide: IntArray, spoof: IntArray) -> FloatArray:
    """Give the AUC of each row of cumulative counts, shape (...); NaN where a class has no trial."""
    real, below = np.diff(bonafide, axis=-1), spoof[..., :-1]
    # twice the Mann-Whitney count, so that a tie's half stays an integer
    doubled = np.sum(real * (below + spoof[..., 1:]), axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(doubled / (2.0 * bonafide[..., -1] * spoof[..., -1]))


def auc(bonafide: npt.ArrayLike, spoof: npt.ArrayLike) -> float:
    """Measure the area under the ROC curve: the chance that a bona fide trial scores above a spoof; ties count half.

    Args:
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
    """
    counts = cumulative_counts(bonafide, spoof)
    return float(auc_from_counts(counts.bonafide, counts.spoof))


def _costs(p_target: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """Give the weights of FRR and FAR in the detection cost."""
    if not 0 < p_target < 1:
        raise ConfigError(f"p_target is the prior of bona fide trials, between 0 and 1; got {p_target}")
    if not (0 < c_miss < np.inf and 0 < c_fa < np.inf):
        raise ConfigError(f"c_miss and c_fa are positive costs; got {c_miss} and {c_fa}")
    return p_target * c_miss, (1 - p_target) * c_fa


def min_dcf_from_counts(
    bonafide: IntArray, spoof: IntArray, p_target: float = 0.95, c_miss: float = 1.0, c_fa: float = 10.0
) -> FloatArray:
    """Give the minimum normalised detection cost of each row of cumulative counts; NaN where a class is missing."""
    miss, false_alarm = _costs(p_target, c_miss, c_fa)
    with np.errstate(invalid="ignore", divide="ignore"):
        frr = bonafide / bonafide[..., -1:].astype(np.float64)
        far = (spoof[..., -1:] - spoof) / spoof[..., -1:].astype(np.float64)
        return np.asarray(np.min(miss * frr + false_alarm * far, axis=-1) / min(miss, false_alarm))


def min_dcf(
    bonafide: npt.ArrayLike,
    spoof: npt.ArrayLike,
    p_target: float = 0.95,
    c_miss: float = 1.0,
    c_fa: float = 10.0,
) -> float:
    """Measure the smallest detection cost over all thresholds, relative to the better constant answer.

    min_s [p_target c_miss FRR(s) + (1 - p_target) c_fa FAR(s)] / min(p_target c_miss, (1 - p_target) c_fa). The
    default values are those of ASVspoof 5.

    Args:
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).
        p_target: prior of bona fide trials.
        c_miss: cost of rejecting a bona fide trial.
        c_fa: cost of accepting a spoof.

    Returns:
        The cost in [0, 1].

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
        ConfigError: a prior outside (0, 1) or a cost that is not positive.
    """
    counts = cumulative_counts(bonafide, spoof)
    return float(min_dcf_from_counts(counts.bonafide, counts.spoof, p_target, c_miss, c_fa))


def act_dcf(
    bonafide: npt.ArrayLike,
    spoof: npt.ArrayLike,
    p_target: float = 0.95,
    c_miss: float = 1.0,
    c_fa: float = 10.0,
    ties: Ties = "together",
) -> float:
    """Measure the detection cost at the Bayes threshold, with the scores read as natural-log likelihood ratios.

    The threshold is log((1 - p_target) c_fa / (p_target c_miss)); normalised as `min_dcf`, so 1 is the better
    constant answer and values above 1 mean that the scores do harm.

    Args:
        bonafide: log likelihood ratios (bona fide over spoof) of bona fide trials, shape (N,).
        spoof: the same of spoof trials, shape (M,).
        p_target: prior of bona fide trials.
        c_miss: cost of rejecting a bona fide trial.
        c_fa: cost of accepting a spoof.
        ties: as in `error_rates`.

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
        ConfigError: a prior outside (0, 1) or a cost that is not positive.
    """
    miss, false_alarm = _costs(p_target, c_miss, c_fa)
    frr, far = error_rates(bonafide, spoof, float(np.log(false_alarm / miss)), ties)
    return (miss * frr + false_alarm * far) / min(miss, false_alarm)


def cllr(bonafide: npt.ArrayLike, spoof: npt.ArrayLike) -> float:
    """Measure the cost of log likelihood ratios in bits: 0 is perfect, 1 is what a constant LLR of 0 gets.

    0.5 [mean log2(1 + exp(-llr)) over bona fide + mean log2(1 + exp(llr)) over spoof]. Source: Brümmer & du Preez,
    Computer Speech & Language 20 (2006), eq. 35.

    Args:
        bonafide: natural-log likelihood ratios of bona fide trials, shape (N,).
        spoof: the same of spoof trials, shape (M,).

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
    """
    real, fake = check_scores(bonafide, "bona fide"), check_scores(spoof, "spoof")
    nats = np.mean(np.logaddexp(0.0, -real)) + np.mean(np.logaddexp(0.0, fake))
    return float(nats / (2 * np.log(2)))


def min_cllr(bonafide: npt.ArrayLike, spoof: npt.ArrayLike) -> float:
    """Measure the smallest Cllr that a monotone recalibration of the scores can reach.

    Pool adjacent violators gives the best monotone likelihood ratio of each block of scores: its share of the bona
    fide trials over its share of the spoof trials. Source: Brümmer & du Preez (2006), section 5.

    Args:
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).

    Returns:
        The cost in [0, 1] bits.

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
    """
    counts = cumulative_counts(bonafide, spoof)
    blocks = np.asarray(_hull_blocks(counts), dtype=np.float64)
    real, fake = blocks[:, 0] / counts.bonafide[-1], blocks[:, 1] / counts.spoof[-1]
    # a block of one class costs nothing: its likelihood ratio is infinite on the right side
    mixed = (real > 0) & (fake > 0)
    llr = np.log(real[mixed]) - np.log(fake[mixed])
    nats = np.sum(real[mixed] * np.logaddexp(0.0, -llr)) + np.sum(fake[mixed] * np.logaddexp(0.0, llr))
    return float(nats / (2 * np.log(2)))


def error_rates(bonafide: npt.ArrayLike, spoof: npt.ArrayLike, threshold: float, ties: Ties = "together") -> ErrorRates:
    """Measure both error rates when scores above `threshold` are accepted as bona fide.

    Args:
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).
        threshold: the decision threshold.
        ties: ``official`` accepts a score exactly on the threshold too, as the scorer of ASVspoof 5 does.

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
        ConfigError: the threshold is NaN.
    """
    if np.isnan(threshold):
        raise ConfigError("the threshold is NaN; give a number")
    real, fake = check_scores(bonafide, "bona fide"), check_scores(spoof, "spoof")
    if _official(ties):
        return ErrorRates(float(np.mean(real < threshold)), float(np.mean(fake >= threshold)))
    return ErrorRates(float(np.mean(real <= threshold)), float(np.mean(fake > threshold)))


def balanced_accuracy(bonafide: npt.ArrayLike, spoof: npt.ArrayLike, threshold: float) -> float:
    """Measure the mean of both classes' accuracies at one threshold.

    Args:
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).
        threshold: the decision threshold; scores above it are accepted.

    Raises:
        DataError: an empty class, or NaN or Inf among the scores.
        ConfigError: the threshold is NaN.
    """
    frr, far = error_rates(bonafide, spoof, threshold)
    return 1 - (frr + far) / 2
