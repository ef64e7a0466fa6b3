"""Verdicts in words, and the evidence that is claimed for them, held against a truth that is known.

A verdict or a finding that cannot be read is None, stays in every denominator and is wrong. Intervals resample whole
groups (voices, tracks) where groups are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.metrics.bootstrap import weighted_bootstrap
from auricle.metrics.shares import FEWEST_ITEMS, at_edge
from auricle.metrics.trials import FloatArray, IntArray

REAL, FAKE = "real", "fake"
NONE = "none"
_BoolArray = npt.NDArray[np.bool_]


class Estimate(NamedTuple):
    """A figure, its 95 % interval (None where it cannot be had), and how many items it is of."""

    value: float
    ci95: tuple[float, float] | None
    n: int


class Finding(NamedTuple):
    """What is said, or true, of one domain of a clip.

    Attributes:
        kind: of the artefact; ``none`` for no artefact; None where it cannot be read, or the truth is not known.
        place: band or bin; None without an artefact.
    """

    kind: str | None
    place: int | None = None


def verdicts(
    said: Sequence[str | None],
    truth: Sequence[str],
    groups: Sequence[Any] | None = None,
    n: int = 1000,
    *,
    seed: int,
) -> dict[str, Estimate]:
    """Score answers of ``real`` or ``fake``.

    Args:
        said: the answers; None where none could be read.
        truth: ``real`` or ``fake``, one a clip, both of them there.
        groups: group of each clip to resample by; None resamples clips.
        n: replicates.
        seed: of the resampling.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``recall_real``, ``recall_fake``, ``parse_failure_rate``.

    Raises:
        DataError: other words than the two, another number of answers, a class that is not there, or fewer than 2
            groups.
    """
    strange = ({*truth, *said} - {None}) - {REAL, FAKE}
    if strange or len(said) != len(truth) or set(truth) != {REAL, FAKE}:
        raise DataError(
            f"{len(said)} answers to {len(truth)} clips that are {', '.join(sorted(set(truth))) or 'none'}"
            f"{'; strange words: ' + ', '.join(map(str, strange)) if strange else ''}; give one answer a clip, "
            f"{REAL}, {FAKE} or None, for clips of both classes"
        )
    is_real = np.array([word == REAL for word in truth])
    says = {word: np.array([one == word for one in said]) for word in (REAL, FAKE, None)}
    right = np.where(is_real, says[REAL], says[FAKE])

    def f1(weights: IntArray) -> FloatArray:
        return np.mean([_f1(weights, says[REAL], is_real), _f1(weights, says[FAKE], ~is_real)], axis=0)

    def balanced(weights: IntArray) -> FloatArray:
        return (_share(weights, right, is_real) + _share(weights, right, ~is_real)) / 2

    statistics: dict[str, Callable[[IntArray], FloatArray]] = {
        "accuracy": lambda weights: _share(weights, right),
        "balanced_accuracy": balanced,
        "macro_f1": f1,
        "recall_real": lambda weights: _share(weights, right, is_real),
        "recall_fake": lambda weights: _share(weights, right, ~is_real),
        "parse_failure_rate": lambda weights: _share(weights, says[None]),
    }
    counts = {"recall_real": int(is_real.sum()), "recall_fake": int((~is_real).sum())}
    found = {
        name: _estimate(statistic, len(truth), groups, n, seed, counts.get(name), share=name != "balanced_accuracy")
        for name, statistic in statistics.items()
    }
    found["balanced_accuracy"] = _balanced(found)
    return found


def best_constant(places: Sequence[int], size: int, reach: int = 0) -> int:
    """Give the place that, said of every clip, hits most often: the majority rationale.

    Args:
        places: true places, of the training set.
        size: number of places.
        reach: how far beside the true place still counts as a hit.

    Returns:
        The best place; the lowest one of several.

    Raises:
        DataError: no places.
    """
    if not len(places):
        raise DataError("there are no places to take the most frequent of; give those of the training set")
    hits = [sum(abs(place - true) <= reach for true in places) for place in range(size)]
    return int(np.argmax(hits))


def grounding(
    said: Sequence[Finding],
    truth: Sequence[Finding],
    constants: tuple[int, int],
    groups: Sequence[Any] | None = None,
    n: int = 1000,
    *,
    seed: int,
) -> dict[str, Estimate]:
    """Score the findings of one domain where the truth is known.

    Args:
        said: what the texts say.
        truth: what is true; clips whose kind is None are left out.
        constants: the places that a majority rationale says: the best for ``hit`` and for ``near``, both from the
            training set, see `best_constant`.
        groups: group of each clip to resample by; None resamples clips.
        n: replicates.
        seed: of the resampling.

    Returns:
        Of the clips with an artefact: ``hit`` (right place), ``near`` (within one), ``kind_f1`` (macro over the kinds
        that are there), the same of the majority rationale as ``majority_hit`` and ``majority_near``, the paired
        differences ``hit_over_majority`` and ``near_over_majority``. Of those without one, if there are any:
        ``false_alarm``, the share in which one is claimed.

    Raises:
        DataError: another number of texts than truths, or no clip with an artefact.
    """
    if len(said) != len(truth) or (groups is not None and len(groups) != len(truth)):
        raise DataError(f"{len(said)} findings, {len(truth)} truths; give one of each, and one group, a clip")
    with_one = [i for i, one in enumerate(truth) if one.kind not in (None, NONE)]
    without = [i for i, one in enumerate(truth) if one.kind == NONE]
    if not with_one:
        raise DataError("no clip has an artefact of a known place; there is nothing to hit")
    true = np.array([truth[i].place for i in with_one], dtype=np.float64)
    claimed = np.array([np.nan if said[i].place is None else said[i].place for i in with_one], dtype=np.float64)
    values = {
        "hit": claimed == true,
        "near": np.abs(claimed - true) <= 1,
        "majority_hit": true == constants[0],
        "majority_near": np.abs(true - constants[1]) <= 1,
    }
    numbers = {name: value.astype(np.float64) for name, value in values.items()}
    for name in ("hit", "near"):
        numbers[f"{name}_over_majority"] = numbers[name] - numbers[f"majority_{name}"]
    some = None if groups is None else [groups[i] for i in with_one]
    found = {name: _mean(value, some, n, seed, share=name in values) for name, value in numbers.items()}
    kinds = [(said[i].kind, str(truth[i].kind)) for i in with_one]
    found["kind_f1"] = _estimate(lambda weights: _macro_f1(weights, kinds), len(kinds), some, n, seed, share=True)
    if without:
        alarms = np.array([said[i].kind not in (None, NONE) for i in without], dtype=np.float64)
        others = None if groups is None else [groups[i] for i in without]
        found["false_alarm"] = _mean(alarms, others, n, seed, share=True)
    return found


def share(
    hits: Sequence[bool] | npt.NDArray[Any], groups: Sequence[Any] | None = None, n: int = 1000, *, seed: int
) -> Estimate:
    """Give the share of hits, or the mean of any numbers, with its interval.

    Args:
        hits: booleans or numbers, one an item; of booleans, limits at none and at all are exact.
        groups: group of each item to resample by; None resamples items.
        n: replicates.
        seed: of the resampling.

    Raises:
        DataError: no items.
    """
    given = np.asarray(hits)
    return _mean(given.astype(np.float64), groups, n, seed, share=given.dtype == np.bool_)


def diversity(texts: Sequence[str]) -> tuple[float, float]:
    """Measure how varied texts are: distinct ones by number of texts, and the entropy of their distribution in bits.

    Args:
        texts: one or more.

    Raises:
        DataError: no texts.
    """
    if not len(texts):
        raise DataError("there are no texts to compare")
    p = np.array(list(Counter(texts).values()), dtype=np.float64) / len(texts)
    return len(p) / len(texts), float(-(p * np.log2(p)).sum()) + 0.0


def _share(weights: IntArray, hit: _BoolArray, among: _BoolArray | None = None) -> FloatArray:
    """Give the weighted share of hits among some items, (R,); NaN where none of them was drawn."""
    base = weights if among is None else weights[:, among]
    total = base.sum(axis=1).astype(np.float64)
    hits = base @ (hit if among is None else hit[among]).astype(np.int64)
    return np.divide(hits, total, out=np.full(len(total), np.nan), where=total > 0)


def _f1(weights: IntArray, said: _BoolArray, true: _BoolArray) -> FloatArray:
    """Give 2 TP / (said + true), (R,); 0 where neither is."""
    both = weights @ (said & true).astype(np.int64)
    total = weights @ said.astype(np.int64) + weights @ true.astype(np.int64)
    return np.divide(2.0 * both, total, out=np.zeros(len(total)), where=total > 0)


def _macro_f1(weights: IntArray, kinds: Sequence[tuple[str | None, str]]) -> FloatArray:
    """Average the F1 of every kind that is true of some clip."""
    claimed, true = (np.array([str(pair[place]) for pair in kinds]) for place in (0, 1))
    return np.mean([_f1(weights, claimed == kind, true == kind) for kind in np.unique(true)], axis=0)


def _mean(values: FloatArray, groups: Sequence[Any] | None, n: int, seed: int, share: bool) -> Estimate:
    return _estimate(
        lambda weights: weights @ values / np.maximum(weights.sum(axis=1), 1), values.size, groups, n, seed, share=share
    )


def _balanced(found: dict[str, Estimate]) -> Estimate:
    """Give balanced accuracy the limits of both recalls where each of them is all or nothing."""
    whole, recalls = found["balanced_accuracy"], [found["recall_real"], found["recall_fake"]]
    limits = [one.ci95 for one in recalls if one.ci95 is not None and one.value in (0.0, 1.0)]
    if whole.ci95 is None or len(limits) < len(recalls):
        return whole
    low, high = (sum(limit[place] for limit in limits) / 2 for place in (0, 1))
    return whole._replace(ci95=(min(low, whole.ci95[0]), max(high, whole.ci95[1])))


def _estimate(
    statistic: Callable[[IntArray], FloatArray],
    size: int,
    groups: Sequence[Any] | None,
    n: int,
    seed: int,
    count: int | None = None,
    share: bool = False,
) -> Estimate:
    """Give a figure with its interval; few clips, or clips of one group alone, have none."""
    if size < 1:
        raise DataError("there are no items to measure; give at least one")
    value = float(statistic(np.ones((1, size), dtype=np.int64))[0])
    items = size if count is None else count
    if items < FEWEST_ITEMS or (groups is not None and len(set(groups)) < 2):
        return Estimate(value, None, items)
    interval = weighted_bootstrap(statistic, size, groups, n, seed=seed)
    return Estimate(value, at_edge(value, interval, items) if share else interval, items)
