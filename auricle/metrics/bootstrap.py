"""Bootstrap intervals of detection metrics, by item and by speaker, for one detector and for the difference of two.

Trials are sorted once; a replicate only changes how often each trial counts, so 1000 replicates of the EER over
5,000 trials are a few array operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from auricle.core.errors import ConfigError, DataError
from auricle.core.seed import rng
from auricle.metrics.detection import (
    auc,
    auc_from_counts,
    eer,
    eer_from_counts,
    min_dcf,
    min_dcf_from_counts,
)
from auricle.metrics.shares import FEWEST_ITEMS, apart, at_edge
from auricle.metrics.trials import FloatArray, IntArray, check_labels, check_scores

Statistic = Literal["eer", "auc", "min_dcf"] | Callable[..., Any]

_FROM_COUNTS: dict[str, Callable[[IntArray, IntArray], FloatArray]] = {
    "eer": eer_from_counts,
    "auc": auc_from_counts,
    "min_dcf": min_dcf_from_counts,
}
_BY_FUNCTION: dict[Callable[..., Any], str] = {eer: "eer", auc: "auc", min_dcf: "min_dcf"}
# entries (replicates x trials) held at once: about 50 MB of counts
_BLOCK = 2_000_000
# share of replicates that must hold both classes
_USABLE = 0.5


class Difference(NamedTuple):
    """The statistic of two detectors on the same trials, its difference a - b and the interval of that."""

    a: float
    b: float
    difference: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class PairedScores:
    """Two detectors' scores of the same trials in one run.

    Attributes:
        scores_a: scores of the first detector, shape (N,).
        scores_b: scores of the second, shape (N,).
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        groups: speaker group of each trial, shape (N,), or None to resample trials.
    """

    scores_a: npt.ArrayLike
    scores_b: npt.ArrayLike
    labels: npt.ArrayLike
    groups: Sequence[Any] | npt.NDArray[Any] | None = None


class _Trials:
    """Sorted trials of one detector, ready to give the statistic of any weighting of them."""

    def __init__(self, scores: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        values = check_scores(scores, "given")
        self.truth = check_labels(labels, values.size)
        self.order = np.argsort(values, kind="stable")
        self.scores = values[self.order]
        self.sorted_truth = self.truth[self.order]
        # equal scores move together: a threshold exists only after the last of them
        self.last = np.flatnonzero(np.append(self.scores[1:] != self.scores[:-1], True))

    @property
    def size(self) -> int:
        return self.scores.size

    def statistic(self, statistic: Statistic, weights: IntArray) -> FloatArray:
        """Give the statistic of each row of weights (R, N), in the order the trials were given in."""
        weights = weights[:, self.order]
        if callable(statistic) and statistic not in _BY_FUNCTION:
            return np.asarray([self._call(statistic, row) for row in weights], dtype=np.float64)
        name = _BY_FUNCTION[statistic] if callable(statistic) else statistic
        if name not in _FROM_COUNTS:
            raise ConfigError(f"statistic {name!r} is unknown: give one of {', '.join(_FROM_COUNTS)} or a function")
        total = np.cumsum(weights, axis=1)[:, self.last]
        real = np.cumsum(weights * self.sorted_truth, axis=1)[:, self.last]
        start = np.zeros((len(weights), 1), dtype=np.int64)
        return _FROM_COUNTS[name](np.hstack([start, real]), np.hstack([start, total - real]))

    def _call(self, function: Callable[..., Any], weights: IntArray) -> float:
        scores, truth = np.repeat(self.scores, weights), np.repeat(self.sorted_truth, weights)
        if truth.all() or not truth.any():
            return float("nan")
        return float(function(scores[truth], scores[~truth]))


def _check_replicates(n: int) -> None:
    if n < 100:
        raise ConfigError(f"a 95 % interval needs at least 100 replicates, got n={n}")


def _group_index(groups: Sequence[Any] | npt.NDArray[Any], size: int) -> tuple[list[str], IntArray]:
    """Number the groups in sorted order."""
    given = np.asarray(groups).ravel()
    if given.size != size:
        raise DataError(f"there are {size} scores and {given.size} groups; give one group per score")
    names, index = np.unique(given.astype(str), return_inverse=True)
    return names.tolist(), index.ravel().astype(np.int64)


def _draw(generator: np.random.Generator, rows: int, draws: int, size: int) -> IntArray:
    """Count how often each of `size` things is drawn in `draws` draws with replacement, shape (rows, size)."""
    picked = generator.integers(0, size, (rows, draws)) + size * np.arange(rows)[:, None]
    return np.bincount(picked.ravel(), minlength=rows * size).reshape(rows, size).astype(np.int64)


def _item_weights(generator: np.random.Generator, truth: npt.NDArray[np.bool_], rows: int) -> IntArray:
    """Resample trials within each class, so that every replicate has the original class sizes."""
    weights = np.empty((rows, truth.size), dtype=np.int64)
    for members in (np.flatnonzero(truth), np.flatnonzero(~truth)):
        weights[:, members] = _draw(generator, rows, members.size, members.size)
    return weights


def _group_weights(generator: np.random.Generator, n_groups: int, rows: int) -> IntArray:
    """Resample groups: one fewer than there are, else the spread comes out (G - 1) / G too small (Rao & Wu, 1988)."""
    return _draw(generator, rows, n_groups - 1, n_groups)


def _blocks(n: int, width: int) -> Iterator[int]:
    """Split n replicates into blocks that fit in memory."""
    step = max(1, _BLOCK // max(1, width))
    for start in range(0, n, step):
        yield min(step, n - start)


def _need_groups(n_groups: int) -> None:
    if n_groups < 2:
        raise DataError(
            f"a bootstrap by group needs at least 2 groups, got {n_groups}: "
            "give the speaker of each trial, or no groups for an interval over trials"
        )


def _interval(replicates: FloatArray, n_groups: int | None) -> tuple[float, float]:
    """Give the percentile interval of the replicates that hold both classes.

    With few groups the quantiles move out as those of t do against the normal: Hesterberg's expanded percentile
    interval (The American Statistician 69, 2015).
    """
    usable = replicates[np.isfinite(replicates)]
    if usable.size < _USABLE * replicates.size:
        raise DataError(
            f"only {usable.size} of {replicates.size} bootstrap replicates hold both classes: "
            "too few groups hold bona fide or spoof trials for an interval by group"
        )
    tail = 0.025 if n_groups is None else float(ndtr(stdtrit(n_groups - 1, 0.025)))
    low, high = np.quantile(usable, (tail, 1 - tail))
    return float(low), float(high)


def replicates(
    statistic: Statistic,
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    n: int = 1000,
    *,
    seed: int,
) -> FloatArray:
    """Give the statistic of n bootstrap replicates.

    Args:
        statistic: ``"eer"``, ``"auc"``, ``"min_dcf"`` (or these functions), or a function of
            (bona fide scores, spoof scores) that gives one number; the latter is called once per replicate.
        scores: shape (N,), higher is more bona fide.
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        groups: speaker group of each trial, shape (N,). With groups, whole groups are resampled, bona fide and spoof
            trials together, so that paired clips stay together; without, trials are resampled within their class.
        n: number of replicates, at least 100.
        seed: seed of the resampling.

    Returns:
        Shape (n,); NaN where a replicate by group has only one class.

    Raises:
        DataError: a class is missing, scores are not finite, lengths differ, or there are fewer than 2 groups.
        ConfigError: an unknown statistic or too few replicates.
    """
    _check_replicates(n)
    trials = _Trials(scores, labels)
    generator = rng(seed, "bootstrap")
    if groups is None:
        blocks = (_item_weights(generator, trials.truth, rows) for rows in _blocks(n, trials.size))
    else:
        names, index = _group_index(groups, trials.size)
        _need_groups(len(names))
        blocks = (_group_weights(generator, len(names), rows)[:, index] for rows in _blocks(n, trials.size))
    return np.concatenate([trials.statistic(statistic, weights) for weights in blocks])


def bootstrap(
    statistic: Statistic,
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    n: int = 1000,
    *,
    seed: int,
) -> tuple[float, float]:
    """Give the 95 % percentile bootstrap interval of a detection metric.

    By speaker, G - 1 of G groups are drawn per replicate, which makes the spread right for few groups (Rao & Wu,
    1988), and the quantiles are those of an expanded percentile interval (Hesterberg, 2015). With under about six
    groups the interval is still a rough one. Where a detector makes no error at all, or nothing else, the interval of
    these three goes to the exact limits of n trials, those of the smaller class (`auricle.metrics.shares.apart`).

    Args:
        statistic: ``"eer"``, ``"auc"``, ``"min_dcf"`` (or these functions), or a function of
            (bona fide scores, spoof scores) that gives one number.
        scores: shape (N,), higher is more bona fide.
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        groups: speaker group of each trial, shape (N,), to resample groups (paired clips stay together); None to
            resample trials within their class.
        n: number of replicates, at least 100.
        seed: seed of the resampling.

    Returns:
        (low, high), in the unit of the statistic.

    Raises:
        DataError: a class is missing, scores are not finite, lengths differ, there are fewer than 2 groups, or most
            replicates by group lack a class.
        ConfigError: an unknown statistic or too few replicates.
    """
    n_groups = None if groups is None else np.unique(np.asarray(groups).astype(str)).size
    interval = _interval(replicates(statistic, scores, labels, groups, n, seed=seed), n_groups)
    trials = _Trials(scores, labels)
    name = _BY_FUNCTION.get(statistic) if callable(statistic) else statistic
    if name not in _FROM_COUNTS:
        return interval
    value = float(trials.statistic(name, np.ones((1, trials.size), dtype=np.int64))[0])  # type: ignore[arg-type]
    return apart(str(name), value, interval, int(min(trials.truth.sum(), (~trials.truth).sum())))


def weighted_bootstrap(
    statistic: Callable[[IntArray], FloatArray],
    size: int,
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    n: int = 1000,
    *,
    seed: int,
) -> tuple[float, float]:
    """Give the 95 % interval of any statistic of items that have no score, such as a share of hits.

    Args:
        statistic: how often each item counts (R, N) -> the statistic of each row (R,); NaN where it has none.
        size: number of items N.
        groups: group of each item, shape (N,), to resample whole groups; None to resample items.
        n: number of replicates, at least 100.
        seed: seed of the resampling.

    Returns:
        (low, high), in the unit of the statistic.

    Raises:
        DataError: no items, another number of groups, fewer than 2 groups, or a statistic that most replicates lack.
        ConfigError: too few replicates.
    """
    _check_replicates(n)
    if size < 1:
        raise DataError("there are no items to resample")
    generator = rng(seed, "weighted bootstrap")
    if groups is None:
        parts = [statistic(_draw(generator, rows, size, size)) for rows in _blocks(n, size)]
        return _interval(np.concatenate(parts), None)
    names, index = _group_index(groups, size)
    _need_groups(len(names))
    parts = [statistic(_group_weights(generator, len(names), rows)[:, index]) for rows in _blocks(n, size)]
    return _interval(np.concatenate(parts), len(names))


def mean_bootstrap(values: npt.ArrayLike, n: int = 1000, *, seed: int) -> tuple[float, float] | None:
    """Give the 95 % interval of a mean over items; None with fewer than `FEWEST_ITEMS`.

    Args:
        values: one number an item (N,); of booleans it is a share, with exact limits where all are alike.
        n: number of replicates, at least 100.
        seed: seed of the resampling.
    """
    given = np.asarray(values)
    array = given.astype(np.float64)
    _check_replicates(n)
    if array.size < FEWEST_ITEMS:
        return None
    interval = weighted_bootstrap(lambda counts: counts @ array / counts.sum(axis=1), array.size, n=n, seed=seed)
    return at_edge(float(array.mean()), interval, array.size) if given.dtype == np.bool_ else interval


def paired_bootstrap(
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    n: int = 1000,
    *,
    seed: int,
    statistic: Statistic = "eer",
) -> Difference:
    """Compare two detectors on the same trials: the difference a - b with its 95 % interval.

    Both detectors see the same resampled trials or groups in every replicate. Two detectors differ when the interval
    does not contain 0; for the EER a negative difference means that `a` is the better one.

    Args:
        scores_a: scores of the first detector, shape (N,).
        scores_b: scores of the second detector for the same trials, shape (N,).
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        groups: as in `bootstrap`.
        n: number of replicates, at least 100.
        seed: seed of the resampling.
        statistic: as in `bootstrap`.

    Returns:
        The statistic of both, their difference and its interval.

    Raises:
        DataError: as `bootstrap`, or the detectors scored different numbers of trials.
        ConfigError: an unknown statistic or too few replicates.
    """
    return paired_bootstrap_runs([PairedScores(scores_a, scores_b, labels, groups)], n, seed=seed, statistic=statistic)


def paired_bootstrap_runs(
    runs: Sequence[PairedScores], n: int = 1000, *, seed: int, statistic: Statistic = "eer"
) -> Difference:
    """Compare two detectors over several runs (splits, seeds): the mean over runs of a - b with its 95 % interval.

    Groups are resampled once for all runs, so a speaker that is in several runs counts equally often in each. Runs
    are taken as fixed; the interval is over speakers (or trials, when no run has groups).

    Args:
        runs: one entry per run; either all with groups or all without.
        n: number of replicates, at least 100.
        seed: seed of the resampling.
        statistic: as in `bootstrap`.

    Returns:
        Means over runs of the statistic of both and of the difference, and the interval of the latter.

    Raises:
        DataError: as `bootstrap`; no run; or some runs with groups and some without.
        ConfigError: an unknown statistic or too few replicates.
    """
    _check_replicates(n)
    if not runs:
        raise DataError("there is no run to compare two detectors on; give at least one")
    if len({run.groups is None for run in runs}) > 1:
        raise DataError("some runs have groups and some have none; give groups for all runs or for none")
    pairs = [(_Trials(run.scores_a, run.labels), _Trials(run.scores_b, run.labels)) for run in runs]
    index = _shared_groups(runs, [a.size for a, _ in pairs])
    n_groups = None if index is None else 1 + max(int(numbers.max()) for numbers in index)
    generator = rng(seed, "paired bootstrap")
    differences: list[FloatArray] = []
    for rows in _blocks(n, max(a.size for a, _ in pairs)):
        drawn = None if n_groups is None else _group_weights(generator, n_groups, rows)
        total = np.zeros(rows)
        for run, (a, b) in enumerate(pairs):
            if drawn is None or index is None:
                weights = _item_weights(generator, a.truth, rows)
            else:
                weights = drawn[:, index[run]]
            total += a.statistic(statistic, weights) - b.statistic(statistic, weights)
        differences.append(total / len(pairs))
    ones = [np.ones((1, a.size), dtype=np.int64) for a, _ in pairs]
    value_a = float(np.mean([a.statistic(statistic, one)[0] for (a, _), one in zip(pairs, ones, strict=True)]))
    value_b = float(np.mean([b.statistic(statistic, one)[0] for (_, b), one in zip(pairs, ones, strict=True)]))
    return Difference(value_a, value_b, value_a - value_b, _interval(np.concatenate(differences), n_groups))


def _shared_groups(runs: Sequence[PairedScores], sizes: Sequence[int]) -> list[IntArray] | None:
    """Number the groups of all runs together; None when the runs have none."""
    given = [np.asarray(run.groups).ravel() for run in runs if run.groups is not None]
    if not given:
        return None
    for groups, size in zip(given, sizes, strict=True):
        if groups.size != size:
            raise DataError(f"there are {size} scores and {groups.size} groups; give one group per score")
    names, index = _group_index(np.concatenate([groups.astype(str) for groups in given]), sum(sizes))
    _need_groups(len(names))
    return np.split(index, np.cumsum(sizes)[:-1])
