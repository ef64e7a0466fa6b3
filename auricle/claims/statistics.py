"""The statistics of claims: differences paired over seeds, ratios of spreads, and what they could have shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc, fdtri, ndtr, stdtr, stdtrit

from auricle.claims.claim import Outcome
from auricle.core.errors import ConfigError, DataError
from auricle.core.seed import rng
from auricle.metrics.bootstrap import PairedScores, paired_bootstrap_runs

FloatArray = npt.NDArray[np.float64]
REPLICATES = 4000
POWER = 0.8
_USABLE = 0.5  # share of bootstrap replicates in which both arms must have a spread


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: the estimate.
        ci95: (low, high).
        n: pairs, or values of each arm, behind it.
        minimum_detectable: see `auricle.claims.claim.Verdict`; None where it is not known.
        p: two-sided p value where the method has one.
    """

    value: float
    ci95: tuple[float, float]
    n: int
    minimum_detectable: float | None = None
    p: float | None = None


def _pairs(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """Check two paired samples and give their differences a - b, shape (S,)."""
    first, second = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    if first.size != second.size or first.size < 2:
        raise DataError(f"a paired comparison needs 2 or more pairs, got {first.size} and {second.size} values")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise DataError("a paired comparison was given values that are not finite")
    return first - second


def paired_t(a: npt.ArrayLike, b: npt.ArrayLike) -> Estimate:
    """Give the mean of a - b over pairs with its t interval.

    Args:
        a: one value per seed, shape (S,), S at least 2.
        b: the same seeds in the other arm, shape (S,).

    Returns:
        mean(d), mean(d) -+ t(0.975, S - 1) sd(d) / sqrt(S), and (t(0.975) + t(0.8)) sd(d) / sqrt(S) as the smallest
        difference that is found with power 0.8.

    Raises:
        DataError: lengths differ, fewer than two pairs, or values that are not finite.
    """
    d = _pairs(a, b)
    mean, error = float(d.mean()), float(d.std(ddof=1)) / math.sqrt(d.size)
    at_level, at_power = (float(stdtrit(d.size - 1, q)) for q in (0.975, POWER))
    if error > 0:
        p = 2 * float(stdtr(d.size - 1, -abs(mean) / error))
    else:
        p = 1.0 if mean == 0 else 0.0
    interval = (mean - at_level * error, mean + at_level * error)
    return Estimate(mean, interval, d.size, (at_level + at_power) * error, p)


def paired_ratio(a: npt.ArrayLike, b: npt.ArrayLike) -> Estimate:
    """Give the geometric mean of a / b over pairs with its t interval, computed on logarithms.

    Args:
        a: positive values, shape (S,).
        b: positive values of the same seeds, shape (S,).

    Returns:
        The ratio; `minimum_detectable` is the smallest factor above 1 that is found with power 0.8.

    Raises:
        DataError: as `paired_t`, or a value that is not positive.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if (first <= 0).any() or (second <= 0).any():
        raise DataError("a ratio needs values above 0")
    logs = paired_t(np.log(first), np.log(second))
    low, high = (math.exp(end) for end in logs.ci95)
    return Estimate(math.exp(logs.value), (low, high), logs.n, math.exp(logs.minimum_detectable or 0.0), logs.p)


def paired_bootstrap_mean(a: npt.ArrayLike, b: npt.ArrayLike, *, seed: int, n: int = REPLICATES) -> Estimate:
    """Give the mean of a - b over pairs with its bootstrap interval.

    Args:
        a: one value per seed, shape (S,).
        b: the same seeds in the other arm, shape (S,).
        seed: of the resampling.
        n: replicates.

    Returns:
        The mean and an expanded percentile interval (Hesterberg 2015), which is not too short for few pairs.

    Raises:
        DataError: as `paired_t`.
    """
    d = _pairs(a, b)
    means = d[rng(seed, "paired seeds").integers(0, d.size, (n, d.size))].mean(axis=1)
    tail = _tail(d.size)
    low, high = np.quantile(means, (tail, 1 - tail))
    return Estimate(float(d.mean()), (float(low), float(high)), d.size)


def sd_ratio(a: npt.ArrayLike, b: npt.ArrayLike, *, seed: int, n: int = REPLICATES) -> Estimate:
    """Give sd(a) / sd(b) over seeds with its bootstrap interval.

    The arms are resampled independently: one seed does not make two different networks alike.

    Args:
        a: one value per seed, at least 3.
        b: one value per seed of the other arm, at least 3.
        seed: of the resampling.
        n: replicates.

    Returns:
        The ratio of standard deviations (ddof 1) and an expanded percentile interval; `minimum_detectable` is the
        ratio below 1 that is found with power 0.8 (see `detectable_sd_ratio`).

    Raises:
        DataError: fewer than three values, values that are not finite, or an arm without any spread.
    """
    samples = [np.asarray(values, np.float64).ravel() for values in (a, b)]
    if min(sample.size for sample in samples) < 3:
        raise DataError(f"a ratio of spreads needs 3 or more values an arm, got {[s.size for s in samples]}")
    if not all(np.isfinite(sample).all() for sample in samples):
        raise DataError("a ratio of spreads was given values that are not finite")
    spreads = [float(sample.std(ddof=1)) for sample in samples]
    if min(spreads) == 0:
        raise DataError(f"an arm has no spread over seeds (standard deviations {spreads}); there is no ratio")
    draws = rng(seed, "ratio of spreads")
    above, below = (s[draws.integers(0, s.size, (n, s.size))].std(axis=1, ddof=1) for s in samples)
    # a replicate of one value alone has no spread, up to rounding
    usable = (above > 1e-9 * spreads[0]) & (below > 1e-9 * spreads[1])
    if usable.mean() < _USABLE:
        raise DataError("most bootstrap replicates have no spread; the arms hold too few different values")
    tail = _tail(min(sample.size for sample in samples))
    low, high = np.quantile(np.log(above[usable] / below[usable]), (tail, 1 - tail))
    sizes = (samples[0].size, samples[1].size)
    return Estimate(spreads[0] / spreads[1], (math.exp(low), math.exp(high)), min(sizes), detectable_sd_ratio(*sizes))


def _tail(n: int) -> float:
    """Tail of an expanded percentile interval for n values: what t leaves out, in normal terms."""
    return float(ndtr(stdtrit(n - 1, 0.025)))


def detectable_sd_ratio(n_a: int, n_b: int) -> float:
    """Give the true ratio sd(a) / sd(b) below 1 that a two-sided 5 % F test finds with power 0.8.

    From P(F < F_0.025 / r^2) = 0.8: r = sqrt(F_0.025 / F_0.8) with n_a - 1 and n_b - 1 degrees of freedom.

    Args:
        n_a: values of the first arm.
        n_b: values of the second arm.
    """
    low, at_power = (float(fdtri(n_a - 1, n_b - 1, q)) for q in (0.025, POWER))
    return math.sqrt(low / at_power)


def brown_forsythe(*samples: npt.ArrayLike) -> tuple[float, float]:
    """Test whether groups have equal spread (Brown and Forsythe 1974: Levene's test about medians).

    Args:
        *samples: two or more groups of two or more values.

    Returns:
        F and its p value.

    Raises:
        DataError: too few groups or values, or no variation of the distances from the medians.
    """
    groups = [np.asarray(sample, np.float64).ravel() for sample in samples]
    if len(groups) < 2 or min(group.size for group in groups) < 2:
        raise DataError("Levene's test needs two or more groups of two or more values")
    distances = [np.abs(group - np.median(group)) for group in groups]
    total, count = sum(group.size for group in groups), len(groups)
    grand = float(np.concatenate(distances).mean())
    between = sum(d.size * (float(d.mean()) - grand) ** 2 for d in distances) / (count - 1)
    within = sum(float(((d - d.mean()) ** 2).sum()) for d in distances) / (total - count)
    if within == 0:
        raise DataError("Levene's test: the distances from the medians do not vary")
    f = between / within
    return f, float(fdtrc(count - 1, total - count, f))


def over_seeds(values: npt.ArrayLike) -> Estimate:
    """Give the mean of a number over seeds with its t interval.

    Args:
        values: one value per seed, shape (S,), S at least 2.

    Raises:
        DataError: as `paired_t`.
    """
    given = np.asarray(values, np.float64)
    return paired_t(given, np.zeros_like(given))


def percentile_interval(draws: npt.ArrayLike) -> tuple[float, float]:
    """Give the 95 % percentile interval of bootstrap draws, without those that have no value.

    Args:
        draws: replicates, shape (R,); NaN where a replicate has no value.

    Raises:
        DataError: fewer than half of them have one.
    """
    given = np.asarray(draws, np.float64)
    known = given[np.isfinite(given)]
    if known.size < _USABLE * given.size:
        raise DataError("most replicates have no value: there are too few speakers or trials")
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def around(value: float, draws: npt.ArrayLike, n: int) -> Estimate:
    """Give a value with the percentile interval of draws over units, which is widened to hold it.

    Args:
        value: the estimate.
        draws: replicates over speakers, files or other units, shape (R,).
        n: seeds, or values, behind it.

    Raises:
        DataError: as `percentile_interval`.
    """
    low, high = percentile_interval(draws)
    return Estimate(value, (min(low, value), max(high, value)), n)


def over_seeds_and_units(values: npt.ArrayLike, draws: Sequence[npt.ArrayLike]) -> Estimate:
    """Give the mean over seeds with the hull of two intervals: t over seeds, and the bootstrap over units.

    Args:
        values: one value per seed, shape (S,).
        draws: for each seed its replicates over units, S of shape (R,), the same units drawn in each; they are averaged
            over seeds before the interval is read off.

    Raises:
        DataError: as `paired_t` and `percentile_interval`.
    """
    given = np.asarray(values, np.float64)
    mean = float(np.mean(given))
    return hull([over_seeds(given), around(mean, np.mean(np.stack(list(draws)), axis=0), given.size)])


def paired_over_seeds_and_units(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> Estimate:
    """Give the mean of a - b with the hull of two intervals: paired t over seeds, paired bootstrap over units.

    Args:
        a: one value per seed and unit (file, speaker), shape (S, U).
        b: the same seeds and units in the other arm, shape (S, U).

    Raises:
        DataError: as `paired_t`, or seeds with different units.
    """
    if len({len(row) for row in (*a, *b)}) != 1:
        raise DataError("an interval over seeds and units needs the same units for every seed and arm")
    by_seed = [[sum(row) / len(row) for row in one] for one in (a, b)]
    by_unit = [[sum(column) / len(column) for column in zip(*one, strict=True)] for one in (a, b)]
    return hull([paired_t(*by_seed), paired_bootstrap_mean(*by_unit, seed=0)])


def paired_eer(values: tuple[npt.ArrayLike, npt.ArrayLike], runs: Sequence[PairedScores]) -> Estimate:
    """Give the EER of one detector less that of another, in points, with the hull over seeds and over voices.

    Args:
        values: EERs in percent of both detectors, each of shape (S,).
        runs: for each seed the scores of both on the same clips.

    Returns:
        The mean difference; the widest of the paired t interval over seeds and the paired bootstrap over voices.

    Raises:
        DataError: as `paired_t` and `auricle.metrics.bootstrap.paired_bootstrap_runs`.
    """
    seeds = paired_t(*values)
    low, high = (100 * end for end in paired_bootstrap_runs(runs, seed=0).ci95)
    # the bootstrap has no spread of its own to plan with: its half width, from 95 % to power 0.8
    detectable = (high - low) / 2 * (1.96 + 0.84) / 1.96
    return hull([seeds, Estimate(seeds.value, (low, high), seeds.n, detectable)])


def share_draws(taken: npt.ArrayLike, among: npt.ArrayLike, groups: npt.ArrayLike, *, seed: int, n: int) -> FloatArray:
    """Give the share of some items among others over resampled groups.

    Args:
        taken: booleans (N,).
        among: booleans (N,).
        groups: what is resampled: the speaker of each item, say, shape (N,).
        seed: of the draws; the same one draws the same groups.
        n: replicates.

    Returns:
        Shares (n,), NaN where a draw has none of `among`.

    Raises:
        DataError: fewer than two groups.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise DataError(f"a bootstrap over groups needs two or more, got {len(names)}")
    counts = rng(seed, "shares").multinomial(len(names), np.full(len(names), 1 / len(names)), n)  # (R, G)
    chosen = np.asarray(among, bool)
    top = np.bincount(index, np.asarray(taken, bool) & chosen, len(names))
    bottom = np.bincount(index, chosen, len(names))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: FloatArray = (counts @ top) / (counts @ bottom)
    return shares


def hull(estimates: Sequence[Estimate]) -> Estimate:
    """Join estimates of one effect made in different ways: the first's value, the widest interval.

    A hull that leaves out 0 does so by every way, over seeds and over speakers say.

    Raises:
        ConfigError: nothing to join.
    """
    if not estimates:
        raise ConfigError("hull was given no estimate")
    low = min(estimate.ci95[0] for estimate in estimates)
    high = max(estimate.ci95[1] for estimate in estimates)
    known = [e.minimum_detectable for e in estimates if e.minimum_detectable is not None]
    first = estimates[0]
    return Estimate(first.value, (low, high), first.n, max(known) if known else None, first.p)


def side(ci95: tuple[float, float], bound: float, claimed: Literal["below", "above"]) -> Outcome:
    """Say on which side of a bound an interval lies.

    Args:
        ci95: (low, high).
        bound: 0 for differences, 1 for ratios.
        claimed: the side that the claim is on.

    Returns:
        ``confirmed`` when the whole interval is on the claimed side, ``refuted`` when it is on the other one, else
        ``not resolved``; an end on the bound is not beyond it.
    """
    low, high = ci95
    if high < bound:
        return "confirmed" if claimed == "below" else "refuted"
    if low > bound:
        return "confirmed" if claimed == "above" else "refuted"
    return "not resolved"


def all_of(outcomes: Sequence[Outcome]) -> Outcome:
    """Combine parts that must all hold: confirmed when all are, refuted when one is, else not resolved."""
    if outcomes and all(outcome == "confirmed" for outcome in outcomes):
        return "confirmed"
    return "refuted" if "refuted" in outcomes else "not resolved"
