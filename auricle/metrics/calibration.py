"""From scores to probabilities and decisions: Platt scaling, threshold and the undecided band, all set on dev."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from auricle.core.errors import DataError
from auricle.metrics.detection import eer
from auricle.metrics.trials import FloatArray, check_labels, check_scores

Label = Literal["bonafide", "spoof", "undecided"]

# A file is called real or fake only when its calibrated odds are above 65 to 35.
UNDECIDED_BELOW = 0.65
UNCALIBRATED = "uncalibrated: no labelled clips have set a threshold for this model, so its score decides nothing"


@dataclass(frozen=True)
class Platt:
    """A logistic map from scores to log likelihood ratios: slope * score + intercept.

    Attributes:
        slope: at least 0, so a higher score never gives a lower probability.
        intercept: log likelihood ratio of score 0.
    """

    slope: float
    intercept: float

    def llr(self, scores: npt.ArrayLike) -> FloatArray:
        """Give natural-log likelihood ratios (bona fide over spoof), shape of `scores`."""
        return self.slope * np.asarray(scores, dtype=np.float64) + self.intercept

    def apply(self, scores: npt.ArrayLike) -> FloatArray:
        """Give the probability of bona fide at prior 0.5, shape of `scores`."""
        return np.asarray(expit(self.llr(scores)))


def fit_platt(scores: npt.ArrayLike, labels: npt.ArrayLike) -> Platt:
    """Fit Platt scaling at prior 0.5.

    Minimises the cross-entropy in which both classes weigh the same, towards the smoothed targets 1 - 1 / (N + 2) and
    1 / (N + 2), N the size of the smaller class, which keep the map finite when the classes are separated. Sources:
    Platt (1999) for the smoothing; Lin, Lin & Weng (2007) for the convex problem. A detector that is no better than
    chance on dev gets slope 0: its probability is 0.5 for every file.

    Args:
        scores: dev scores, shape (N,), higher is more bona fide.
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).

    Returns:
        The fitted map.

    Raises:
        DataError: a class is missing, scores are not finite, or lengths differ.
    """
    values = check_scores(scores, "dev")
    truth = check_labels(labels, values.size)
    n_real, n_fake = int(truth.sum()), int((~truth).sum())
    # one amount of smoothing for both classes: with Platt's two, unequal class sizes would shift the prior from 0.5
    smooth = 1 / (min(n_real, n_fake) + 2)
    targets = np.where(truth, 1 - smooth, smooth)
    weights = np.where(truth, 0.5 / n_real, 0.5 / n_fake)
    centre, scale = float(np.mean(values)), float(np.std(values))
    if scale == 0 or np.mean(values[truth]) <= np.mean(values[~truth]):
        # the loss is convex and its slope at 0 has the sign of the difference of class means: the best slope >= 0 is 0
        return Platt(0.0, 0.0)
    slope, intercept = _newton((values - centre) / scale, targets, weights)
    return Platt(slope / scale, intercept - slope * centre / scale)


def _newton(z: FloatArray, targets: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Minimise the weighted logistic loss of slope * z + intercept by Newton steps with halving."""
    design = np.stack([z, np.ones_like(z)], axis=1)  # (N, 2)
    theta = np.zeros(2)

    def loss(theta: FloatArray) -> float:
        logit = design @ theta
        return float(np.sum(weights * (np.logaddexp(0.0, logit) - targets * logit)))

    current = loss(theta)
    for _ in range(100):
        p = expit(design @ theta)
        gradient = design.T @ (weights * (p - targets))
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design
        # far from the optimum the curvature can underflow; a small ridge keeps the step defined, not the optimum
        step = np.linalg.solve(hessian + 1e-12 * np.eye(2), gradient)
        size = 1.0
        while size > 1e-10 and loss(theta - size * step) > current:
            size /= 2
        theta = theta - size * step
        current = loss(theta)
        if float(np.max(np.abs(gradient))) < 1e-12:
            break
    return float(theta[0]), float(theta[1])


def undecided_band(dev_scores: npt.ArrayLike, dev_labels: npt.ArrayLike) -> tuple[float, float]:
    """Give the scores between which a detector should not decide.

    The band runs from the score with probability 0.35 to the one with 0.65 (Platt scaling on dev at prior 0.5), and
    is widened to hold the dev-EER threshold where calibration and threshold disagree. Outside it, the side of the
    threshold and the probability say the same. A detector no better than chance on dev is undecided everywhere.

    Args:
        dev_scores: shape (N,), higher is more bona fide.
        dev_labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).

    Returns:
        (low, high): scores in [low, high] are undecided.

    Raises:
        DataError: a class is missing, scores are not finite, or lengths differ.
    """
    calibration = calibrate(dev_scores, dev_labels)
    return calibration.undecided_low, calibration.undecided_high


@dataclass(frozen=True)
class Calibration:
    """What turns a detector's score into an answer; all of it is set on dev.

    Attributes:
        slope: slope of the Platt map.
        intercept: intercept of the Platt map.
        threshold: scores above it are on the bona fide side; the dev-EER threshold, half-way between two dev scores, or
            the score of even odds, see `auricle.metrics.held_out`.
        undecided_low: lower end of the undecided band, inclusive.
        undecided_high: upper end of the undecided band, inclusive.
        used: whether the probability is given; threshold and band hold either way.
        cllr: of the probability on dev clips that it was not fitted on; None where nobody has measured it.
    """

    slope: float
    intercept: float
    threshold: float
    undecided_low: float
    undecided_high: float
    used: bool = True
    cllr: float | None = None

    def probability(self, scores: npt.ArrayLike) -> FloatArray:
        """Give the probability of bona fide at prior 0.5, shape of `scores`."""
        return Platt(self.slope, self.intercept).apply(scores)

    def label(self, score: float) -> Label:
        """Decide one score."""
        if self.undecided_low <= score <= self.undecided_high:
            return "undecided"
        return "bonafide" if score > self.threshold else "spoof"

    @property
    def unused(self) -> str | None:
        """Why no probability is given; None where it is."""
        if self.used:
            return None
        if self.cllr is None:
            return "no probability: dev has too few voices and families to measure a calibration on what it left out"
        worse = "worse" if self.cllr > 1 else "no better"
        return f"no probability: the calibration was {worse} than none on held-out dev voices (Cllr {self.cllr:.2f})"

    def to_dict(self) -> dict[str, Any]:
        """Give the values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Read what `to_dict` wrote; older versions wrote neither ``used`` nor ``cllr``.

        Raises:
            DataError: a number is missing, or something else is there.
        """
        names = [field.name for field in fields(cls)]
        given = {"used": True, "cllr": None, **values}
        if sorted(given) != sorted(names):
            raise DataError(f"a calibration holds {', '.join(names)}; got {', '.join(sorted(values)) or 'nothing'}")
        used, measured = given.pop("used"), given.pop("cllr")
        if not isinstance(used, bool):
            raise DataError(f"a calibration's 'used' is {used!r}; it is true or false")
        try:
            numbers = {name: float(value) for name, value in given.items()}
            measured = None if measured is None else float(measured)
        except (TypeError, ValueError) as error:
            raise DataError(f"a calibration holds numbers: {error}") from None
        check_scores([*numbers.values(), measured or 0.0], "calibration")
        return cls(**numbers, used=used, cllr=measured)


@dataclass(frozen=True)
class Decision:
    """What a detector says about one score.

    Attributes:
        p_bonafide: probability of bona fide at prior 0.5; None where none can be given.
        label: bonafide, spoof or undecided; None where there was nothing to set a threshold on.
        threshold: scores above it are on the bona fide side; None likewise.
        reason: why the probability or the label is missing; None where both are given.
    """

    p_bonafide: float | None
    label: Label | None
    threshold: float | None
    reason: str | None


def decide(calibration: Calibration | None, score: float, unlike: str | None = None) -> Decision:
    """Decide one score, or say why not.

    Args:
        calibration: of the detector; None where no labelled clips have set one.
        score: higher is more bona fide.
        unlike: why the input is none that the detector knows; None for one that it knows.

    Returns:
        Without a calibration nothing but the reason. An input of another kind is undecided. Where the probability is
        not used, the label stays.
    """
    if calibration is None:
        return Decision(None, None, None, UNCALIBRATED)
    if unlike is not None:
        return Decision(None, "undecided", calibration.threshold, unlike)
    label, why = calibration.label(score), calibration.unused
    if why is not None:
        return Decision(None, label, calibration.threshold, why)
    return Decision(float(calibration.probability([score])[0]), label, calibration.threshold, None)


def _between(scores: FloatArray, threshold: float) -> float:
    """Move a threshold half-way to the next score: the same decisions on dev, and no dev trial on the edge."""
    above = scores[scores > threshold]
    return threshold if above.size == 0 else threshold + (float(above.min()) - threshold) / 2


def calibrate(dev_scores: npt.ArrayLike, dev_labels: npt.ArrayLike) -> Calibration:
    """Set probability map, threshold and undecided band on dev.

    Args:
        dev_scores: shape (N,), higher is more bona fide.
        dev_labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).

    Returns:
        The calibration, all numbers finite.

    Raises:
        DataError: a class is missing, scores are not finite, or lengths differ.
    """
    values = check_scores(dev_scores, "dev")
    truth = check_labels(dev_labels, values.size)
    threshold = _between(values, eer(values[truth], values[~truth]).threshold)
    return calibration_of(fit_platt(values, truth), threshold)


def calibration_of(
    platt: Platt,
    threshold: float,
    *,
    undecided_below: float = UNDECIDED_BELOW,
    used: bool = True,
    cllr: float | None = None,
) -> Calibration:
    """Put a probability map and a threshold together, with the band in which neither decides.

    Args:
        platt: the map.
        threshold: a score.
        undecided_below: probability of the surer side below which a score is undecided, from 0.5 to 1.
        used: whether the probability is given.
        cllr: of the map on clips that it was not fitted on.
    """
    # no slope, no decision: the band is everything (as the largest numbers, since JSON has no infinity)
    low, high = -sys.float_info.max, sys.float_info.max
    if platt.slope > 0:
        half = float(np.log(undecided_below / (1 - undecided_below)))
        low = max(low, min((-half - platt.intercept) / platt.slope, threshold))
        high = min(high, max((half - platt.intercept) / platt.slope, threshold))
    return Calibration(platt.slope, platt.intercept, threshold, low, high, used, cllr)
