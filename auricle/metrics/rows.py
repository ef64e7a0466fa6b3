"""Rows of a report: a metric with its 95 % interval, in the unit that reports print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.core.report import MetricRow, possible_range
from auricle.metrics.bootstrap import bootstrap, mean_bootstrap
from auricle.metrics.detection import eer
from auricle.metrics.shares import FEWEST_ITEMS, at_edge
from auricle.metrics.trials import split

FEWEST_SPEAKERS = 4  # for an interval over speakers


def percent(
    name: str,
    value: float,
    n: int,
    ci95: tuple[float, float] | None = None,
    *,
    group: str = "all",
    baseline: str | None = None,
) -> MetricRow:
    """Make the row of a share, in percent.

    Args:
        name: the metric.
        value: the share, 0 to 1, or a difference of two shares.
        n: number of items behind it.
        ci95: its 95 % interval (low, high), as a share too; None for none.
        group: part of the data.
        baseline: name of the baseline; None for the system itself.
    """
    interval = None if ci95 is None else (100 * ci95[0], 100 * ci95[1])
    return MetricRow(name=name, value=100 * value, unit="%", n=n, ci95=interval, group=group, baseline=baseline)


def eer_row(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    groups: Sequence[Any] | npt.NDArray[Any] | None,
    *,
    name: str = "eer",
    group: str,
    baseline: str | None = None,
    replicates: int,
    seed: int,
    fewest: int = FEWEST_SPEAKERS,
) -> tuple[MetricRow, str | None]:
    """Make the row of an EER in percent, with its bootstrap interval over speakers.

    Args:
        scores: shape (N,), higher is more bona fide.
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        groups: speaker of each clip, shape (N,); None for an interval over clips.
        name: the metric's name in the row.
        group: part of the data.
        baseline: name of the baseline; None for the system itself.
        replicates: bootstrap replicates, at least 100.
        seed: seed of the resampling.
        fewest: with fewer speakers than this the interval is over clips.

    Returns:
        The row, without an interval where a class has fewer than `FEWEST_ITEMS` clips, and a sentence for the report
        if there were too few clips or speakers, else None.

    Raises:
        DataError: as `auricle.metrics.bootstrap.bootstrap`.
        ConfigError: too few replicates.
    """
    real, fake = split(scores, labels)
    note = None
    if groups is not None:
        speakers = np.unique(np.asarray(groups).astype(str)).size
        if speakers < fewest:
            note = f"eer of {group}: {speakers} speakers are too few, its interval is over clips"
            groups = None
    size = real.size + fake.size
    interval = None
    if min(real.size, fake.size) < FEWEST_ITEMS:
        note = f"eer of {group}: fewer than {FEWEST_ITEMS} clips of a class are too few for an interval"
    else:
        interval = bootstrap("eer", scores, labels, groups, replicates, seed=seed)
    return percent(name, eer(real, fake).eer, size, interval, group=group, baseline=baseline), note


def mean_row(
    name: str,
    values: npt.ArrayLike,
    *,
    unit: str = "",
    group: str,
    baseline: str | None = None,
    replicates: int,
    seed: int,
) -> MetricRow:
    """Make the row of a mean over items, with its bootstrap interval over items; few items have no interval.

    Args:
        name: the metric.
        values: one number an item, shape (N,), in `unit`. Of booleans, or in percent, it is a share: exact limits at
            0 and at all.
        unit: unit of the values; ``%`` for values that are in percent already.
        group: part of the data.
        baseline: name of the baseline; None for the system itself.
        replicates: bootstrap replicates, at least 100.
        seed: seed of the resampling.

    Raises:
        DataError: no value.
        ConfigError: too few replicates.
    """
    numbers = np.asarray(values)
    if numbers.size == 0:
        raise DataError(f"there are no values of {name!r} in {group!r}; a mean needs at least one")
    value, interval = float(np.mean(numbers)), mean_bootstrap(numbers, replicates, seed=seed)
    if interval is not None and unit == "%" and possible_range(name, unit) == (0.0, 100.0):
        low, high = at_edge(value / 100, (interval[0] / 100, interval[1] / 100), numbers.size)
        interval = (100 * low, 100 * high) if value in (0.0, 100.0) else interval
    return MetricRow(
        name=name,
        value=value,
        unit=unit,
        n=numbers.size,
        ci95=interval,
        group=group,
        baseline=baseline,
    )
