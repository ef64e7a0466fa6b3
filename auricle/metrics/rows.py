"""Rows of a report: a metric with its 95 % interval, in the unit that reports print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.core.report import MetricRow
from auricle.metrics.bootstrap import bootstrap, mean_bootstrap
from auricle.metrics.detection import eer
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
        The row, and a sentence for the report if there were too few speakers, else None.

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
    interval = bootstrap("eer", scores, labels, groups, replicates, seed=seed)
    size = real.size + fake.size
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
    """Make the row of a mean over items, with its bootstrap interval over items; a single item has no interval.

    Args:
        name: the metric.
        values: one number an item, shape (N,), in `unit`.
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
    return MetricRow(
        name=name,
        value=float(np.mean(numbers)),
        unit=unit,
        n=numbers.size,
        ci95=mean_bootstrap(numbers, replicates, seed=seed),
        group=group,
        baseline=baseline,
    )
