"""Speaker bootstrap from counts: resample claimed speakers by multiplying tables of counts, never by copying trials.

A replicate draws G - 1 of G claimed speakers with replacement (Rao & Wu, 1988), so it is a row of weights, and every
count of the replicate is that row times a table with one line a speaker. Where a replicate has to find a threshold of
its own, the table counts trials between the steps of a grid of thresholds. The grid follows the ranks of the observed
scores: the `per` most extreme scores of each class, one by one, then ranks that grow by a factor exp(1 / per). With the
128 of up to 5,000 speakers, thresholds are exact for up to 128 trials a class, and beyond that a share of trials is
met to within 0.8 % of itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from auricle.core.errors import ConfigError
from auricle.core.seed import rng
from auricle.metrics.audit.trials import Column, Index
from auricle.metrics.trials import FloatArray, IntArray

# steps of the grid per factor e of rank, and the entries that one table by speaker may have
_PER_E = 128
_TABLE = 24_000_000
# share of replicates that must have a value for an interval
_USABLE = 0.5
_BLOCK = 200


class Interval(NamedTuple):
    """A 95 % interval, or None and the reason."""

    ci95: tuple[float, float] | None
    note: str


class Speakers:
    """The claimed speakers of some trials, and how often each is drawn in each replicate.

    Attributes:
        of: number of the claimed speaker of each trial, shape (N,).
        n: how many there are.
        weights: draws, shape (replicates, n); no row with fewer than 2 speakers.
    """

    def __init__(self, target: Column, replicates: int, seed: int) -> None:
        """Draw the replicates.

        Raises:
            ConfigError: fewer than 100 replicates.
        """
        if replicates < 100:
            raise ConfigError(f"a 95 % interval needs at least 100 replicates, got replicates={replicates}")
        # in order of name: the draws do not depend on the order of the trials
        names = {name: number for number, name in enumerate(target.present())}
        self.n = len(names)
        place = np.asarray([names.get(name, 0) for name in target.names], dtype=np.int32)
        self.of = place[target.codes]
        rows = replicates if self.n > 1 else 0
        self.weights = np.zeros((rows, self.n))
        if rows:
            draws = rng(seed, "audit").integers(0, self.n, (rows, self.n - 1))
            for row, drawn in zip(self.weights, draws, strict=True):
                row += np.bincount(drawn, minlength=self.n)

    def table(self, rows: Index, bins: npt.NDArray[np.int32], width: int) -> FloatArray:
        """Count trials by claimed speaker and bin.

        Args:
            rows: indices of trials, shape (M,).
            bins: bins of all trials, shape (N,), each below `width`.
            width: number of bins.

        Returns:
            Shape (speakers, width); whole numbers in float64, ready to be multiplied.
        """
        flat = self.of[rows].astype(np.int64)
        flat *= width
        flat += bins[rows]
        return np.bincount(flat, minlength=self.n * width).reshape(self.n, width).astype(np.float64)

    def sums(self, rows: Index, values: FloatArray) -> FloatArray:
        """Add up values by claimed speaker: values of the trials at `rows`, shape (M,); gives (speakers,).

        Args:
            rows: places of the trials, (M,).
            values: of those trials, (M,).
        """
        return np.asarray(np.bincount(self.of[rows], weights=values, minlength=self.n), dtype=np.float64)

    def blocks(self) -> Iterator[slice]:
        """Give the replicates in blocks, so that tables of replicate and threshold stay small."""
        for start in range(0, len(self.weights), _BLOCK):
            yield slice(start, min(start + _BLOCK, len(self.weights)))

    def resample(self, table: npt.NDArray[Any], rows: slice = slice(None)) -> FloatArray:
        """Sum a table over each replicate's speakers; exact for counts.

        Args:
            table: shape (speakers, ...).
            rows: which replicates.

        Returns:
            Shape (replicates, ...).
        """
        return np.asarray(self.weights[rows] @ table.astype(np.float64, copy=False))

    def cumulative(self, table: FloatArray, rows: slice) -> IntArray:
        """Resample counts by bin and add them up: trials below each threshold, then all; (replicates, K + 1).

        These are the cumulative counts that the ``*_from_counts`` functions of `auricle.metrics.detection` take.

        Args:
            table: counts by speaker and bin, (speakers, K + 1).
            rows: which replicates.
        """
        total = self.resample(table, rows)
        # whole numbers, exact in float64
        return cast(IntArray, np.cumsum(total, axis=1, out=total))

    def resample_at(self, by_step: FloatArray, step: Index) -> FloatArray:
        """Sum counts over each replicate's speakers at the step that the replicate chose.

        Args:
            by_step: counts, shape (K, speakers).
            step: numbers of steps, shape (replicates,).

        Returns:
            Shape (replicates,).
        """
        return np.asarray([weights @ by_step[at] for weights, at in zip(self.weights, step, strict=True)])

    def interval(self, replicates: FloatArray) -> Interval:
        """Give the percentile interval, its quantiles moved out for few speakers (Hesterberg, 2015).

        Args:
            replicates: shape (R,); NaN where a replicate has no value.
        """
        if self.n < 2:
            return Interval(None, "one claimed speaker: no interval over speakers")
        usable = replicates[~np.isnan(replicates)]
        if usable.size < _USABLE * replicates.size:
            return Interval(None, f"only {usable.size} of {replicates.size} replicates have a value: too few speakers")
        tail = float(ndtr(stdtrit(self.n - 1, 0.025)))
        finite = usable[np.isfinite(usable)]
        if finite.size < usable.size:
            return Interval(None, f"no interval: {usable.size - finite.size} of {usable.size} replicates divide by 0")
        low, high = np.quantile(usable, (tail, 1 - tail))
        return Interval((float(low), float(high)), "")


def ranks(n: int, per: int) -> Index:
    """Give ranks from 1 to n: all up to `per`, then about `per` for each factor e.

    Args:
        n: the last rank.
        per: ranks for each factor e.
    """
    start = min(n, per)
    steps = np.arange(1, int(np.ceil(np.log(max(n, 1) / max(start, 1)) * per)) + 1)
    grown = np.round(start * np.exp(steps / per)).astype(np.int64)
    return np.unique(np.concatenate([np.arange(1, start + 1), grown[grown < n], [n]]))


def resolution(speakers: int, classes: int) -> int:
    """Give the steps per factor e: 128, fewer when many speakers would make the tables too large.

    Args:
        speakers: how many are resampled.
        classes: tables that are held at once.
    """
    # about 1 + ln(1e7 / 128) = 12 factors a class
    return int(np.clip(_TABLE // (max(speakers, 1) * 12 * classes), 32, _PER_E))


def grid(upper: list[FloatArray], lower: list[FloatArray], per: int) -> FloatArray:
    """Give the thresholds of a grid, rising.

    Args:
        upper: ascending scores of the classes whose highest scores matter (false accepts).
        lower: ascending scores of the classes whose lowest scores matter (misses).
        per: steps per factor e of rank.
    """
    parts = [scores[scores.size - ranks(scores.size, per)] for scores in upper if scores.size]
    parts += [scores[ranks(scores.size, per) - 1] for scores in lower if scores.size]
    return np.unique(np.concatenate(parts))


def bins_of(scores: FloatArray, thresholds: FloatArray) -> npt.NDArray[np.int32]:
    """Count the thresholds at or below each score: score >= thresholds[k] exactly when the count is above k.

    Args:
        scores: (M,).
        thresholds: rising, (K,).
    """
    bins = np.empty(scores.size, dtype=np.int32)
    for start in range(0, scores.size, 1 << 20):
        part = slice(start, start + (1 << 20))
        bins[part] = np.searchsorted(thresholds, scores[part], side="right")
    return bins


def accepted(table: FloatArray) -> FloatArray:
    """Turn counts by bin, (speakers, K + 1), into counts at or above each of K thresholds, (speakers, K).

    Args:
        table: counts by speaker and bin.
    """
    return np.asarray(np.cumsum(table[:, ::-1], axis=1)[:, ::-1][:, 1:])
