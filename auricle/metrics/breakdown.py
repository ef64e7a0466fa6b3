"""Breakdowns: a metric per attack, codec or condition, and pooled, as the organisers of ASVspoof 2021 print it.

Rows and columns are two factors of the trials. A factor that only spoofs have (the attack) keeps every bona fide
trial in each of its cells; one that both classes have (the codec) splits both. The last row and column are pooled
over their factor. A cell without both classes holds NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.detection import eer
from auricle.metrics.tandem import AsvErrors, asv_errors, min_tdcf
from auricle.metrics.trials import FloatArray, IntArray, check_labels, check_scores

POOLED = "Pooled"
Applies = Literal["spoof", "bonafide", "both"]
BoolArray = npt.NDArray[np.bool_]
Statistic = Callable[[FloatArray, FloatArray], float]


@dataclass(frozen=True)
class Factor:
    """What trials are told apart by.

    Attributes:
        name: such as ``attack``.
        values: the level of each trial, length N; None or ``-`` where it has none.
        applies: which class has it; the other class is in every cell.
        levels: the levels in order; None for those that occur, sorted.
    """

    name: str
    values: Sequence[str | None]
    applies: Applies = "both"
    levels: tuple[str, ...] | None = None

    def ordered(self) -> tuple[str, ...]:
        """Give the levels in order, without the pooled one."""
        if self.levels is not None:
            return self.levels
        return tuple(sorted({value for value in self.values if value is not None and value != "-"}))


@dataclass(frozen=True)
class Breakdown:
    """A metric in cells.

    Attributes:
        metric: its name.
        row_name: the factor of the rows.
        column_name: the factor of the columns; ``""`` if there is none.
        rows: R levels and `POOLED`.
        columns: C levels and `POOLED`.
        values: the metric, shape (R + 1, C + 1); NaN where it cannot be had.
        bonafide: bona fide trials of each cell, shape (R + 1, C + 1).
        spoof: spoof trials of each cell, shape (R + 1, C + 1).
    """

    metric: str
    row_name: str
    column_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: FloatArray
    bonafide: IntArray
    spoof: IntArray

    def cell(self, row: str = POOLED, column: str = POOLED) -> float:
        """Give the value of a cell by its levels.

        Raises:
            ConfigError: no such level.
        """
        for level, levels, name in ((row, self.rows, self.row_name), (column, self.columns, self.column_name)):
            if level not in levels:
                raise ConfigError(f"{name or 'the only column'} has no level {level!r}; it has {', '.join(levels)}")
        return float(self.values[self.rows.index(row), self.columns.index(column)])

    def table(self, scale: float = 100.0, digits: int = 2) -> list[list[str]]:
        """Give text for a table: a header, then a line a row.

        Args:
            scale: what values are multiplied with; 100 for percent.
            digits: digits after the point.

        Returns:
            R + 2 lines of C + 2 fields; ``-`` where there is no value.
        """
        header = [f"{self.row_name} \\ {self.column_name}" if self.column_name else self.row_name, *self.columns]
        return [header] + [
            [row, *("-" if np.isnan(value) else f"{value * scale:.{digits}f}" for value in line)]
            for row, line in zip(self.rows, self.values, strict=True)
        ]

    def records(self) -> list[dict[str, str | float | int | None]]:
        """Give one record a cell, ready for JSON: metric, row, column, value (None for NaN), bonafide, spoof."""
        return [
            {
                "metric": self.metric,
                "row": row,
                "column": column,
                "value": None if np.isnan(self.values[i, j]) else float(self.values[i, j]),
                "bonafide": int(self.bonafide[i, j]),
                "spoof": int(self.spoof[i, j]),
            }
            for i, row in enumerate(self.rows)
            for j, column in enumerate(self.columns)
        ]


class _Mask(NamedTuple):
    """One level of a factor: which bona fide and which spoof trials are in it, (N,) each."""

    level: str
    bonafide: BoolArray
    spoof: BoolArray


def _masks(factor: Factor | None, size: int) -> list[_Mask]:
    """Give the masks of each level, the pooled one last."""
    everything = np.ones(size, dtype=np.bool_)
    pooled = _Mask(POOLED, everything, everything)
    if factor is None:
        return [pooled]
    if factor.applies not in ("spoof", "bonafide", "both"):
        raise ConfigError(f"a factor applies to spoof, bonafide or both, not to {factor.applies!r}")
    if len(factor.values) != size:
        raise DataError(f"there are {size} scores and {len(factor.values)} values of {factor.name}; give one a trial")
    levels = factor.ordered()
    if len(set(levels)) != len(levels) or POOLED in levels:
        raise ConfigError(f"the levels of {factor.name} must differ, and {POOLED!r} is taken; got {', '.join(levels)}")
    values = np.asarray(["-" if value is None else value for value in factor.values], dtype=object)
    masks = []
    for level in levels:
        mine = np.asarray(values == level, dtype=np.bool_)
        masks.append(
            _Mask(
                level,
                everything if factor.applies == "spoof" else mine,
                everything if factor.applies == "bonafide" else mine,
            )
        )
    return [*masks, pooled]


def _cells(rows: list[_Mask], columns: list[_Mask]) -> Iterator[tuple[int, int, BoolArray, BoolArray]]:
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            yield i, j, row.bonafide & column.bonafide, row.spoof & column.spoof


def _fill(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    row: Factor,
    column: Factor | None,
    metric: str,
    value: Callable[[str, str, FloatArray, FloatArray], float],
) -> Breakdown:
    numbers = check_scores(scores, "given")
    truth = check_labels(labels, numbers.size)
    rows, columns = _masks(row, numbers.size), _masks(column, numbers.size)
    shape = (len(rows), len(columns))
    values = np.full(shape, np.nan)
    n_real, n_fake = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for i, j, real_mask, fake_mask in _cells(rows, columns):
        real, fake = numbers[real_mask & truth], numbers[fake_mask & ~truth]
        n_real[i, j], n_fake[i, j] = real.size, fake.size
        if real.size and fake.size:
            values[i, j] = value(rows[i].level, columns[j].level, real, fake)
    return Breakdown(
        metric=metric,
        row_name=row.name,
        column_name=column.name if column else "",
        rows=tuple(mask.level for mask in rows),
        columns=tuple(mask.level for mask in columns),
        values=values,
        bonafide=n_real,
        spoof=n_fake,
    )


def breakdown(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    row: Factor,
    column: Factor | None = None,
    metric: str = "eer",
    statistic: Statistic | None = None,
) -> Breakdown:
    """Measure a metric in each cell of one or two factors, and pooled.

    Args:
        scores: shape (N,), higher is more bona fide.
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        row: the factor of the rows.
        column: the factor of the columns; None for one pooled column.
        metric: name of the metric.
        statistic: bona fide scores, spoof scores -> value; None for the EER in [0, 1].

    Raises:
        DataError: NaN or Inf among the scores, a missing class, or as many values of a factor as there are not trials.
        ConfigError: levels that are there twice or called as the pooled one.
    """
    measure: Statistic = statistic or (lambda real, fake: eer(real, fake).eer)
    return _fill(scores, labels, row, column, metric, lambda _, __, real, fake: measure(real, fake))


def asv_breakdown(
    scores: npt.ArrayLike, kinds: Sequence[str], row: Factor, column: Factor | None = None
) -> dict[tuple[str, str], AsvErrors]:
    """Measure the verifier's errors in each cell, each at that cell's own EER threshold.

    Args:
        scores: scores of the verifier, shape (N,).
        kinds: ``target``, ``nontarget`` or ``spoof``, one a trial.
        row: as in `breakdown`, of the verifier's trials; bona fide stands for targets and nontargets.
        column: the same.

    Returns:
        The errors by (row level, column level); a cell without one of the three kinds is not in it.

    Raises:
        DataError: NaN or Inf among the scores, another number of kinds or values than scores, an unknown kind.
        ConfigError: as `breakdown`.
    """
    numbers = check_scores(scores, "verifier")
    what = np.asarray(kinds, dtype=object)
    if what.size != numbers.size:
        raise DataError(f"there are {numbers.size} verifier scores and {what.size} kinds; give one a trial")
    strange = sorted({str(kind) for kind in kinds} - {"target", "nontarget", "spoof"})
    if strange:
        raise DataError(f"a verifier's trial is a target, a nontarget or a spoof, not {strange[0]!r}")
    is_target, is_nontarget, is_spoof = (np.asarray(what == kind) for kind in ("target", "nontarget", "spoof"))
    rows, columns = _masks(row, numbers.size), _masks(column, numbers.size)
    found: dict[tuple[str, str], AsvErrors] = {}
    for i, j, real, fake in _cells(rows, columns):
        parts = [numbers[real & is_target], numbers[real & is_nontarget], numbers[fake & is_spoof]]
        if all(part.size for part in parts):
            found[rows[i].level, columns[j].level] = asv_errors(*parts)
    return found


def min_tdcf_breakdown(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    row: Factor,
    column: Factor | None,
    asv: Mapping[tuple[str, str], AsvErrors],
    version: Literal[2019, 2021] = 2021,
) -> Breakdown:
    """Measure the minimum tandem cost in each cell, with the verifier's errors of the same cell.

    Args:
        scores: the detector's scores, shape (N,).
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        row: the factor of the rows.
        column: the factor of the columns, or None.
        asv: the verifier's errors by (row level, column level), from `asv_breakdown`.
        version: whose definition, see `auricle.metrics.tandem.min_tdcf`.

    Returns:
        The costs; NaN also where the verifier's errors are not known.

    Raises:
        DataError: as `breakdown`, or a verifier so poor in a cell that the cost is undefined there.
        ConfigError: as `breakdown`, another version, or no verifier errors in any cell.
    """

    def value(row_level: str, column_level: str, real: FloatArray, fake: FloatArray) -> float:
        errors = asv.get((row_level, column_level))
        if errors is None:
            return float("nan")
        try:
            return min_tdcf(real, fake, errors, version)
        except DataError as error:
            raise DataError(f"{row_level}, {column_level}: {error}") from None

    made = _fill(scores, labels, row, column, f"min_tdcf_{version}", value)
    if not any((level, other) in asv for level in made.rows for other in made.columns):
        raise ConfigError("the verifier's errors have none of the cells; make them with the same factors and levels")
    return made
