"""Report data: what a run measured, as `report.json` holds it, and how several seeds become one report."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from auricle.core.errors import DataError
from auricle.core.files import read_json, write_json

SEED_INTERVAL_NOTE = (
    "ci95 is the 95 % t interval of the mean over seeds (n_seeds - 1 degrees of freedom); "
    "it does not include the spread over items or speakers"
)

_WORD = re.compile(r"[^a-z0-9]+")
_SIGNED = {"minus", "over", "gain", "difference", "delta", "change", "lead", "bias", "offset"}  # words of a name
_BEYOND = {"wer", "cer", "der", "increase"}
_POSITIVE = {
    "cllr",
    "dcf",
    "tdcf",
    "distance",
    "l1",
    "l2",
    "rmse",
    "mae",
    "mse",
    "perplexity",
    "ratio",
    "wer",
    "cer",
    "der",
    "loss",
    "error",
    "entropy",
    "sharpness",
}
_POSITIVE_UNITS = {"s", "ms", "bit", "kbit", "kbit/s", "bit/s", "1/s", "B", "MB", "Hz", "kHz", "m", "m^2"}


class MetricRow(BaseModel):
    """One measured number with its spread.

    Attributes:
        name: the metric, such as ``eer``.
        value: the number; None when it could not be measured (the report's warnings say why).
        unit: unit of `value`, `ci95` and `sd_seeds`: ``%`` means the value is already in percent.
        n: number of items behind the value.
        ci95: 95 % interval (low, high).
        sd_seeds: standard deviation over seeds (ddof 1); None for one seed.
        n_seeds: number of seeds behind the value.
        group: the part of the data, such as ``seen`` or the name of a spoof family.
        baseline: None for the system itself, else the baseline this row measures.
        data: the data it was measured on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float | None
    unit: str = ""
    n: int
    ci95: tuple[float, float] | None = None
    sd_seeds: float | None = None
    n_seeds: int = 1
    group: str = "all"
    baseline: str | None = None
    data: str = ""

    @field_validator("value", "sd_seeds", "ci95")
    @classmethod
    def _finite(cls, value: Any) -> Any:
        numbers = value if isinstance(value, tuple) else (value,)
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise DataError(
                f"a metric row was given {value}; only finite numbers are reported: "
                "give None and name the reason in the report's warnings"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> MetricRow:
        if self.n < 0 or self.n_seeds < 1:
            raise DataError(f"metric row {self.name!r}: n={self.n} and n_seeds={self.n_seeds} must be >= 0 and >= 1")
        if self.ci95 is not None and self.ci95[0] > self.ci95[1]:
            raise DataError(f"metric row {self.name!r}: the interval {self.ci95} is not (low, high)")
        return self

    @property
    def key(self) -> tuple[str, str, str | None, str]:
        """What identifies the row over seeds: name, group, baseline, data."""
        return (self.name, self.group, self.baseline, self.data)


class Report(BaseModel):
    """What one system measured: the content of `report.json`.

    Attributes:
        system: the system's name.
        preset: ``smoke``, ``laptop``, ``small`` or ``paper``; ``scores`` where no model of ours was measured.
        data: name of the corpus or manifest.
        toy: True when the result only shows that the machinery works.
        seeds: the seeds of the run or runs.
        environment: versions, machine, thread count.
        metrics: the rows.
        warnings: what a reader has to know, one sentence each.
        leak: True when a leak check failed, so the scores may come from the channel.
        extra: anything else a system reports, JSON values only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    preset: str
    data: str
    toy: bool
    seeds: list[int]
    environment: dict[str, Any]
    metrics: list[MetricRow]
    warnings: list[str] = []
    leak: bool = False
    extra: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Report:
        seen: set[tuple[str, str, str | None, str]] = set()
        for row in self.metrics:
            if row.key in seen:
                raise DataError(f"report of {self.system!r}: two rows with (name, group, baseline, data) = {row.key}")
            seen.add(row.key)
            if row.value is None and not any(row.name in warning for warning in self.warnings):
                raise DataError(
                    f"report of {self.system!r}: row {row.name!r} (group {row.group!r}) has no value and no warning "
                    f"that names {row.name!r} says why"
                )
        return self

    @property
    def lead(self) -> list[str]:
        """What came out, in plain sentences; in the file it stands under ``extra.verdict``."""
        return list(self.extra.get("verdict", ()))

    @property
    def details(self) -> list[str]:
        """Groups that the terminal leaves to the page; in the file they stand under ``extra.details``."""
        return list(self.extra.get("details", ()))

    def save(self, path: str | Path) -> None:
        """Write the report as JSON, atomically.

        Raises:
            DataError: `environment` or `extra` holds NaN, Inf or something that is not JSON.
        """
        value = self.model_dump(mode="python")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"report of {self.system!r} is not JSON: {error}; give plain, finite values") from None
        write_json(path, value)

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read a report written by `save`.

        Raises:
            DataError: the file is missing, not JSON, or not a report.
        """
        value = read_json(path)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the top level"
            raise DataError(f"{path} is not a report: at {where}: {first['msg']}") from None
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


def possible_range(name: str, unit: str) -> tuple[float, float]:
    """Give the range that a metric can lie in, by its name and unit; infinite where it is not known to be bounded.

    Args:
        name: the metric.
        unit: its unit; ``%`` is a share of 0 to 100, unless the name says that it is a difference or an error rate of
            words, which can be above all.
    """
    words = set(_WORD.split(name.lower()))
    if words & _SIGNED:
        return -math.inf, math.inf
    if unit == "%":
        return 0.0, math.inf if words & _BEYOND else 100.0
    if words & {"auc"}:
        return 0.0, 1.0
    return (0.0 if words & _POSITIVE or unit in _POSITIVE_UNITS else -math.inf), math.inf


def mean_interval(values: Sequence[float], within: tuple[float, float] = (-math.inf, math.inf)) -> tuple[float, float]:
    """Give the 95 % t interval of the mean of two or more values.

    Args:
        values: one number per seed.
        within: range that the mean can lie in; where a value lies outside, it is not the range, and nothing is cut.

    Returns:
        (low, high) = mean -+ t(0.975, K - 1) * sd / sqrt(K), cut to the range.

    Raises:
        DataError: fewer than two values.
    """
    import numpy as np
    from scipy.special import stdtrit

    if len(values) < 2:
        raise DataError(f"an interval over seeds needs at least 2 values, got {len(values)}")
    mean = float(np.mean(values))
    half = float(stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(len(values)))
    if not all(within[0] <= value <= within[1] for value in values):
        within = (-math.inf, math.inf)
    return max(mean - half, within[0]), min(mean + half, within[1])


def pool(reports: Iterable[Report]) -> Report:
    """Pool the reports of several seeds into one.

    Rows are matched by (name, group, baseline, data). A pooled row has the mean over seeds, the standard deviation
    over seeds (ddof 1) and, from two seeds on, the 95 % t interval of the mean, which a warning and
    ``extra["ci95"]`` say; it stays within what the metric can be (`possible_range`), and where all seeds are alike at
    the end of that range, it is what the seeds' own intervals span. Rows of only some reports stay, with their own
    `n_seeds` and a warning.

    Args:
        reports: one report per seed (or split), all of one system, preset and data.

    Returns:
        The pooled report; a single report comes back as it was.

    Raises:
        DataError: no report, or reports of different systems, presets or data.
    """
    reports = list(reports)
    if not reports:
        raise DataError("pool was given no report; give at least one")
    if len(reports) == 1:
        return reports[0]
    for field in ("system", "preset", "data"):
        values = sorted({getattr(report, field) for report in reports})
        if len(values) > 1:
            raise DataError(f"reports of different {field} cannot be pooled: {', '.join(values)}")
    warnings = list(dict.fromkeys(warning for report in reports for warning in report.warnings))
    matched: dict[tuple[str, str, str | None, str], list[MetricRow]] = {}
    for report in reports:
        for row in report.metrics:
            matched.setdefault(row.key, []).append(row)
    rows = [_pool_rows(rows, len(reports), warnings) for rows in matched.values()]
    pooled = any(row.n_seeds > 1 and row.ci95 is not None for row in rows)
    if pooled:
        warnings.append(SEED_INTERVAL_NOTE)
    first = reports[0]
    details = list(dict.fromkeys(group for report in reports for group in report.details))
    extra: dict[str, Any] = {"pooled_reports": len(reports)}
    extra |= {"ci95": SEED_INTERVAL_NOTE} if pooled else {}
    extra |= {"details": details} if details else {}
    return Report(
        system=first.system,
        preset=first.preset,
        data=first.data,
        toy=any(report.toy for report in reports),
        seeds=list(dict.fromkeys(seed for report in reports for seed in report.seeds)),
        environment=_pool_environment([report.environment for report in reports]),
        metrics=rows,
        warnings=list(dict.fromkeys(warnings)),
        leak=any(report.leak for report in reports),
        extra=extra,
    )


def _pool_rows(rows: list[MetricRow], expected: int, warnings: list[str]) -> MetricRow:
    """Pool the rows of one key; what is uneven between seeds is added to `warnings`."""
    first = rows[0]
    label = f"{first.name} ({first.group}{', ' + first.baseline if first.baseline else ''})"
    units = sorted({row.unit for row in rows})
    if len(units) > 1:
        raise DataError(f"{label}: rows with different units cannot be pooled: {', '.join(map(repr, units))}")
    values = [row.value for row in rows if row.value is not None]
    if len(values) < expected:
        warnings.append(f"{label}: measured in {len(values)} of {expected} reports")
    if len({row.n for row in rows}) > 1:
        counts = [row.n for row in rows]
        warnings.append(f"{label}: n differs between reports ({min(counts)} to {max(counts)}); the smallest is shown")
    several = len(values) > 1
    return MetricRow(
        name=first.name,
        value=math.fsum(values) / len(values) if values else None,
        unit=first.unit,
        n=min(row.n for row in rows),
        ci95=_interval(rows, values) if several else next((row.ci95 for row in rows if row.value is not None), None),
        sd_seeds=_sd(values) if several else None,
        n_seeds=max(1, len(values)),
        group=first.group,
        baseline=first.baseline,
        data=first.data,
    )


def _interval(rows: Sequence[MetricRow], values: Sequence[float]) -> tuple[float, float] | None:
    """Give the interval over seeds; seeds that are alike at an end of the range know nothing of each other's spread."""
    within = possible_range(rows[0].name, rows[0].unit)
    if len(set(values)) > 1 or values[0] not in within:
        return mean_interval(values, within)
    own = [row.ci95 for row in rows if row.ci95 is not None]
    return (min(low for low, _ in own), max(high for _, high in own)) if own else None


def _sd(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _pool_environment(environments: list[dict[str, Any]]) -> dict[str, Any]:
    """Keep what all environments share; where they differ, list one value per report."""
    keys = dict.fromkeys(key for environment in environments for key in environment)
    pooled: dict[str, Any] = {}
    for key in keys:
        values = [environment.get(key) for environment in environments]
        pooled[key] = values[0] if all(value == values[0] for value in values) else values
    return pooled


def format_number(value: float | None, unit: str = "") -> str:
    """Write a number for people: one decimal in percent, else three significant digits or whole counts."""
    if value is None:
        return "not measured"
    if unit == "%":
        return f"{value:.1f} %"
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def format_interval(interval: tuple[float, float] | None, unit: str = "") -> str:
    """Write an interval for people, without its unit; an empty text when there is none."""
    if interval is None:
        return ""
    if unit == "%":
        return f"{interval[0]:.1f} to {interval[1]:.1f}"
    return f"{interval[0]:.3g} to {interval[1]:.3g}"


def table(report: Report) -> list[dict[str, str]]:
    """Give the metric rows as text, ready to print.

    Returns:
        One dict per row, in the report's order: name, group, value, interval, sd, n, seeds, baseline, data.
    """
    return [
        {
            "name": row.name,
            "group": row.group,
            "value": format_number(row.value, row.unit),
            "interval": format_interval(row.ci95, row.unit),
            "sd": "" if row.sd_seeds is None else format_number(row.sd_seeds, row.unit),
            "n": str(row.n),
            "seeds": str(row.n_seeds),
            "baseline": row.baseline or "",
            "data": row.data,
        }
        for row in report.metrics
    ]
