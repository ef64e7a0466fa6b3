"""Architecture-agnostic detection cost (a-DCF): one score decides about impostors and spoofs at once.

Source: Shim et al., "a-DCF: an architecture agnostic metric with application to spoofing-robust speaker verification",
Odyssey 2024 (arXiv 2403.01355). Two sets of priors and costs go by the name of a-DCF: `COST_MODEL`, the default here,
is that of the authors' code (shimhz/a_dcf, ``CostModel``), and `ASVSPOOF5` that of the released scorer of ASVspoof 5.
"""

from __future__ import annotations

from typing import NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.trials import FloatArray, check_scores


class Adcf(NamedTuple):
    """A cost, the threshold it holds for, and the three error rates there; a rate is NaN where the class is absent."""

    cost: float
    threshold: float
    miss: float
    false_alarm_nontarget: float
    false_alarm_spoof: float


class AdcfWeights(NamedTuple):
    """What an error of each kind costs, prior included, and the cost of the better constant answer."""

    miss: float
    nontarget: float
    spoof: float
    constant: float


def adcf_weights(
    p_target: float = 0.9,
    p_nontarget: float = 0.05,
    p_spoof: float = 0.05,
    c_miss: float = 1.0,
    c_fa_nontarget: float = 10.0,
    c_fa_spoof: float = 20.0,
) -> AdcfWeights:
    """Multiply priors and costs; see `min_a_dcf`.

    Args:
        p_target: prior of targets.
        p_nontarget: prior of nontargets.
        p_spoof: prior of spoofs.
        c_miss: cost of refusing a target.
        c_fa_nontarget: cost of accepting a nontarget.
        c_fa_spoof: cost of accepting a spoof.

    Raises:
        ConfigError: priors that do not add up to 1, costs that are not positive, or only one side to decide between.
    """
    priors = (p_target, p_nontarget, p_spoof)
    if not all(0 <= p <= 1 for p in priors) or abs(sum(priors) - 1) > 1e-9:
        raise ConfigError(f"the priors of targets, nontargets and spoofs must add up to 1; got {priors}")
    costs = (c_miss, c_fa_nontarget, c_fa_spoof)
    if not all(0 < c < np.inf for c in costs):
        raise ConfigError(f"the costs of a miss and of both false alarms must be positive; got {costs}")
    miss, nontarget, spoof = p_target * c_miss, p_nontarget * c_fa_nontarget, p_spoof * c_fa_spoof
    if not (miss > 0 and nontarget + spoof > 0):
        raise ConfigError(f"without targets or without anything to refuse there is no decision; priors are {priors}")
    return AdcfWeights(miss, nontarget, spoof, min(miss, nontarget + spoof))


class AdcfCosts(TypedDict):
    """Priors and costs, as `min_a_dcf` and `a_dcf` take them: ``min_a_dcf(target, nontarget, spoof, **ASVSPOOF5)``."""

    p_target: float
    p_nontarget: float
    p_spoof: float
    c_miss: float
    c_fa_nontarget: float
    c_fa_spoof: float


COST_MODEL: AdcfCosts = {
    "p_target": 0.9,
    "p_nontarget": 0.05,
    "p_spoof": 0.05,
    "c_miss": 1.0,
    "c_fa_nontarget": 10.0,
    "c_fa_spoof": 20.0,
}
ASVSPOOF5: AdcfCosts = {
    "p_target": 0.9405,
    "p_nontarget": 0.0095,
    "p_spoof": 0.05,
    "c_miss": 1.0,
    "c_fa_nontarget": 10.0,
    "c_fa_spoof": 10.0,
}
_DEFAULT = adcf_weights(**COST_MODEL)


def a_dcf_of_rates(
    miss: npt.ArrayLike, nontarget: npt.ArrayLike, spoof: npt.ArrayLike, *, weights: AdcfWeights = _DEFAULT
) -> FloatArray:
    """Give the normalised a-DCF of error rates that are known, such as those of many replicates.

    Args:
        miss: shares of targets refused, any shape.
        nontarget: shares of nontargets accepted, the same shape.
        spoof: shares of spoofs accepted, the same shape.
        weights: what each error costs; that of `COST_MODEL` by default.

    Returns:
        The cost, in the shape of the rates; NaN where a rate that weighs something is NaN.
    """
    return np.asarray(_cost(np.asarray(miss), np.asarray(nontarget), np.asarray(spoof), weights) / weights.constant)


def _cost(miss: FloatArray, nontarget: FloatArray, spoof: FloatArray, weights: AdcfWeights) -> FloatArray:
    """Give the cost of error rates, not normalised; a class that weighs nothing adds nothing, its rate known or not."""
    cost = weights.miss * miss
    cost = cost + (weights.nontarget * nontarget if weights.nontarget > 0 else 0.0)
    return cost + (weights.spoof * spoof if weights.spoof > 0 else 0.0)


def _sorted(scores: npt.ArrayLike | None, name: str, weight: float) -> FloatArray:
    """Sort the scores of a class; a class that weighs nothing may be absent."""
    if scores is None or np.size(scores) == 0:
        if weight > 0:
            raise DataError(f"there are no {name} scores; the a-DCF needs them, or a prior of 0 for their class")
        return np.empty(0)
    return np.sort(check_scores(scores, name))


def _rates(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Give the share of scores at or below each threshold; NaN without scores."""
    if scores.size == 0:
        return np.full(thresholds.shape, np.nan)
    return np.asarray(np.searchsorted(scores, thresholds, side="right") / scores.size)


def _best(target: FloatArray, nontarget: FloatArray, spoof: FloatArray, at: FloatArray, weights: AdcfWeights) -> Adcf:
    """Give the cheapest of some thresholds, the lowest one if several are."""
    miss, passed, fooled = _rates(target, at), 1 - _rates(nontarget, at), 1 - _rates(spoof, at)
    cost = _cost(miss, passed, fooled, weights)
    index = int(np.argmin(cost))
    return Adcf(
        float(cost[index] / weights.constant),
        float(at[index]),
        float(miss[index]),
        float(passed[index]),
        float(fooled[index]),
    )


def min_a_dcf(
    target: npt.ArrayLike,
    nontarget: npt.ArrayLike | None,
    spoof: npt.ArrayLike | None,
    p_target: float = 0.9,
    p_nontarget: float = 0.05,
    p_spoof: float = 0.05,
    c_miss: float = 1.0,
    c_fa_nontarget: float = 10.0,
    c_fa_spoof: float = 20.0,
) -> Adcf:
    """Measure the smallest normalised a-DCF over all thresholds.

    min_s [p_target c_miss Pmiss(s) + p_nontarget c_fa_nontarget Pfa_nontarget(s) + p_spoof c_fa_spoof Pfa_spoof(s)]
    divided by min(p_target c_miss, p_nontarget c_fa_nontarget + p_spoof c_fa_spoof), the better constant answer. A
    trial is accepted when its score is above s; s runs over a value below all scores and each distinct score, so equal
    scores move together.

    Args:
        target: scores of the true speaker's own trials, shape (N,).
        nontarget: scores of zero-effort impostors, shape (M,); None if their prior is 0.
        spoof: scores of spoofed trials, shape (K,); None if their prior is 0.
        p_target: prior of targets.
        p_nontarget: prior of nontargets.
        p_spoof: prior of spoofs.
        c_miss: cost of refusing a target.
        c_fa_nontarget: cost of accepting a nontarget.
        c_fa_spoof: cost of accepting a spoof.

    Returns:
        The cost in [0, 1], its threshold and error rates.

    Raises:
        DataError: a class with a prior above 0 has no scores, or NaN or Inf among the scores.
        ConfigError: priors that do not add up to 1, costs that are not positive, or only one side to decide between.
    """
    weights = adcf_weights(p_target, p_nontarget, p_spoof, c_miss, c_fa_nontarget, c_fa_spoof)
    yes = _sorted(target, "target", weights.miss)
    no, fake = _sorted(nontarget, "nontarget", weights.nontarget), _sorted(spoof, "spoof", weights.spoof)
    distinct = np.unique(np.concatenate([yes, no, fake]))
    return _best(yes, no, fake, np.concatenate([[np.nextafter(distinct[0], -np.inf)], distinct]), weights)


def a_dcf(
    target: npt.ArrayLike,
    nontarget: npt.ArrayLike | None,
    spoof: npt.ArrayLike | None,
    threshold: float,
    p_target: float = 0.9,
    p_nontarget: float = 0.05,
    p_spoof: float = 0.05,
    c_miss: float = 1.0,
    c_fa_nontarget: float = 10.0,
    c_fa_spoof: float = 20.0,
) -> Adcf:
    """Measure the normalised a-DCF at a threshold that was set beforehand, on other data say; see `min_a_dcf`.

    Args:
        target: scores of the true speaker's own trials, shape (N,).
        nontarget: scores of zero-effort impostors, shape (M,); None if their prior is 0.
        spoof: scores of spoofed trials, shape (K,); None if their prior is 0.
        threshold: scores above it are accepted.
        p_target: prior of targets.
        p_nontarget: prior of nontargets.
        p_spoof: prior of spoofs.
        c_miss: cost of refusing a target.
        c_fa_nontarget: cost of accepting a nontarget.
        c_fa_spoof: cost of accepting a spoof.

    Returns:
        The cost, which is above 1 where the threshold does harm, and the error rates.

    Raises:
        DataError: as `min_a_dcf`.
        ConfigError: as `min_a_dcf`, or the threshold is NaN.
    """
    if np.isnan(threshold):
        raise ConfigError("the threshold is NaN; give a number")
    weights = adcf_weights(p_target, p_nontarget, p_spoof, c_miss, c_fa_nontarget, c_fa_spoof)
    yes = _sorted(target, "target", weights.miss)
    no, fake = _sorted(nontarget, "nontarget", weights.nontarget), _sorted(spoof, "spoof", weights.spoof)
    return _best(yes, no, fake, np.asarray([threshold], dtype=np.float64), weights)
