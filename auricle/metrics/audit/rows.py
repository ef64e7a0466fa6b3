"""What an audit gives: rows, each a number with its interval, its number of trials and the part it is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from auricle.metrics.audit.counts import Interval, Speakers
from auricle.metrics.audit.trials import AttackTrials, Index
from auricle.metrics.shares import FEWEST_ITEMS, at_edge
from auricle.metrics.trials import FloatArray
from auricle.metrics.verification import OperatingPoint

EXACT = "exact limits"  # in the notes of rows
# ways to cut each kind of trial; the empty one is all of it
_CUTS = {
    "target": ((), ("condition",), ("language",)),
    "zero_effort": ((), ("condition",), ("language",)),
    "spoof": (
        (),
        ("generator",),
        ("condition",),
        ("language",),
        ("domain",),
        ("generator", "condition"),
        ("generator", "language"),
    ),
}


@dataclass(frozen=True)
class AuditRow:
    """One measured number.

    Attributes:
        name: the metric, such as ``bypass_rate``.
        value: the number, rates as shares in [0, 1]; None where it cannot be measured, `note` says why.
        n: trials behind it.
        ci95: 95 % interval over claimed speakers; a threshold that the audit set is set again in each replicate.
        ci95_fixed: the same with the threshold as it is; None where no threshold is set.
        far: false-accept target of the threshold, or None.
        generator: part of the trials it is of; None for all, ``-`` for those without a name.
        condition: the same.
        language: the same.
        domain: ``in`` or ``out`` of what the detector was made for; the same.
        usable: whether the threshold has at least 3 / f impostor trials behind it.
        claimable: whether it has at least 30 / f.
        note: what to know about the number.
    """

    name: str
    value: float | None
    n: int
    ci95: tuple[float, float] | None = None
    ci95_fixed: tuple[float, float] | None = None
    far: float | None = None
    generator: str | None = None
    condition: str | None = None
    language: str | None = None
    domain: str | None = None
    usable: bool = True
    claimable: bool = True
    note: str = ""


@dataclass(frozen=True)
class Decisions:
    """What verifier and detector decide together, one kind of trial and one threshold of the verifier; counts.

    Attributes:
        far: false-accept target of the verifier's threshold.
        kind: kind of trial.
        generator: generator of the spoofs; None for all of the kind.
        n: trials.
        accepted: passed both.
        by_verifier: refused by the verifier alone.
        by_detector: refused by the detector alone.
        by_both: refused by both.
    """

    far: float
    kind: str
    generator: str | None
    n: int
    accepted: int
    by_verifier: int
    by_detector: int
    by_both: int


@dataclass(frozen=True)
class Audit:
    """How far a verifier, and a detector beside it, hold.

    Attributes:
        points: the verifier's thresholds, one a false-accept target.
        rows: the numbers.
        decisions: causes of refusal by verifier and detector together; empty without detector.
        detector_threshold: the detector accepts at or above it; None without detector.
        n_target: target trials.
        n_zero_effort: zero-effort trials.
        n_spoof: spoof trials.
        n_speakers: claimed speakers, the units of the bootstrap.
        n_speaker_pairs: different pairs of claimed and real speaker among the zero-effort trials, whichever way round;
            None where a real speaker is not known.
        replicates: bootstrap replicates behind the intervals.
        notes: what holds for all rows.
    """

    points: tuple[OperatingPoint, ...]
    rows: tuple[AuditRow, ...]
    decisions: tuple[Decisions, ...]
    detector_threshold: float | None
    n_target: int
    n_zero_effort: int
    n_spoof: int
    n_speakers: int
    n_speaker_pairs: int | None
    replicates: int
    notes: tuple[str, ...] = ()

    def find(self, name: str, **part: Any) -> AuditRow:
        """Give the row of a metric and a part, such as ``find("bypass_rate", far=0.01, generator="world")``.

        Args:
            name: the row's name.
            **part: what it is of: far, generator, condition, language, domain.

        Raises:
            KeyError: no such row; parts that are not named are None.
        """
        wanted = {"far": None, "generator": None, "condition": None, "language": None, "domain": None} | part
        for row in self.rows:
            if row.name == name and all(getattr(row, key) == value for key, value in wanted.items()):
                return row
        raise KeyError(f"the audit has no row {name!r} with {part}; names: {sorted({row.name for row in self.rows})}")

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        values = asdict(self)
        values["points"] = [point._asdict() for point in self.points]
        return values


@dataclass(frozen=True)
class Cell:
    """Trials of one kind and one part: their indices, and the part as the fields of a row."""

    rows: Index
    part: dict[str, Any]


@dataclass(frozen=True)
class Rate:
    """A share of trials: exactly, and in each replicate with the threshold as it is and set again (None if given).

    Attributes:
        value: the share.
        n: trials.
        fixed: in each replicate.
        again: the same with the threshold set again.
        units: claimed speakers behind it; where a share is 0 or 1, what its exact limits rest on: see `units_of`.
    """

    value: float
    n: int
    fixed: FloatArray
    again: FloatArray | None
    units: int = 0

    def refused(self) -> Rate:
        """Give the share of the others."""
        again = None if self.again is None else 1 - self.again
        return Rate(1 - self.value, self.n, 1 - self.fixed, again, self.units)


def units_of(trials: AttackTrials, *parts: Index) -> int:
    """Count what exact limits rest on: claimed speakers or clips, whichever are fewer, in the smallest of some parts.

    Args:
        trials: all trials.
        parts: indices of trials, a part of them each.
    """
    columns = [column for column in (trials.target, trials.test) if column is not None]
    return min(int(np.count_nonzero(np.bincount(column.codes[rows]))) for column in columns for rows in parts)


def edge_notes(rows: Iterable[AuditRow]) -> list[str]:
    """Say once what the intervals at 0 and 100 % are, where there are such.

    Args:
        rows: of an audit.
    """
    if not any(EXACT in row.note for row in rows):
        return []
    return [
        f"where none or all of the trials pass, the interval has the {EXACT} (Clopper-Pearson) of as many trials as "
        "there are claimed speakers or clips, whichever are fewer"
    ]


def cells(trials: AttackTrials, kind: str, rows: Index) -> Iterator[Cell]:
    """Cut the trials of a kind into its parts; a part that no trial has a name for is not there.

    Args:
        trials: all trials.
        kind: kind of the trials at `rows`.
        rows: indices of its trials.
    """
    names = {name for cut in _CUTS[kind] for name in cut}
    coded = {}
    for name in names:
        column = getattr(trials, name)
        if column is not None:
            codes = column.codes[rows]
            held = np.flatnonzero(np.bincount(codes, minlength=len(column.names)))
            if any(column.names[code] for code in held):
                coded[name] = (codes, held, column.names)
    for cut in _CUTS[kind]:
        if all(name in coded for name in cut) and not (len(cut) > 1 and len(coded[cut[1]][1]) < 2):
            yield from _parts(rows, cut, coded)


def _parts(rows: Index, cut: tuple[str, ...], coded: dict[str, Any]) -> Iterator[Cell]:
    if not cut:
        yield Cell(rows, {})
        return
    codes, held, names = coded[cut[0]]
    for code in held:
        inside = np.flatnonzero(codes == code)
        label = {cut[0]: names[code] or "-"}
        if len(cut) == 1:
            yield Cell(rows[inside], label)
            continue
        others, _, other_names = coded[cut[1]]
        second = others[inside]
        for other in np.unique(second):
            yield Cell(rows[inside[second == other]], label | {cut[1]: other_names[other] or "-"})


def rate_row(
    name: str, rate: Rate, speakers: Speakers, point: OperatingPoint, part: dict[str, Any], share: bool = True
) -> AuditRow:
    """Make the row of a rate at an operating point.

    A share of none or of all its trials has the exact limits of its speakers or clips, whichever are fewer (see
    `units_of`). One of fewer than `FEWEST_ITEMS` trials or of one speaker has no interval, nor has one whose replicates
    are all alike.

    Args:
        name: of the row.
        rate: the share, with its counts.
        speakers: who is resampled.
        point: the operating point.
        part: what the row is of.
        share: whether it is a share of trials, not a cost.
    """
    fixed = speakers.interval(rate.fixed)
    again = fixed if rate.again is None else speakers.interval(rate.again)
    size = rate.n if share else None
    fixed, again = (_judged(rate.value, size, rate.units, one) for one in (fixed, again))
    return AuditRow(
        name=name,
        value=rate.value,
        n=rate.n,
        ci95=again.ci95,
        ci95_fixed=fixed.ci95,
        far=point.far_target,
        usable=point.usable,
        claimable=point.claimable,
        note=again.note,
        **part,
    )


def value_row(
    name: str,
    value: float | None,
    n: int,
    speakers: Speakers,
    replicates: FloatArray,
    note: str = "",
    smaller: int | None = None,
    units: int = 0,
    **part: Any,
) -> AuditRow:
    """Make the row of a number without operating point; one that is not finite becomes None.

    Args:
        name: of the row.
        value: the figure, or None where it cannot be had.
        n: trials behind it.
        speakers: who is resampled.
        replicates: the figure in each replicate.
        note: why there is no figure or interval.
        smaller: of an EER, the trials of the smaller class.
        units: of an EER, what exact limits rest on.
        **part: what the row is of.
    """
    if value is not None and not np.isfinite(value):
        value = None
    interval = speakers.interval(replicates)
    if value is not None:
        interval = _judged(value, smaller, units, interval)
    says = "; ".join(text for text in (note, interval.note) if text)
    return AuditRow(name, value, n, None if value is None else interval.ci95, note=says, **part)


def _judged(value: float, size: int | None, units: int, interval: Interval) -> Interval:
    """Give no interval that says nothing: exact limits at 0 and 1, none of few trials or of replicates all alike.

    Args:
        value: the number.
        size: trials of a share; None for what is no share.
        units: what exact limits rest on.
        interval: over speakers.
    """
    if interval.ci95 is None:
        return interval
    if size is not None and size < FEWEST_ITEMS:
        return Interval(None, f"fewer than {FEWEST_ITEMS} trials: no interval")
    if size is not None and units < 2:
        return Interval(None, "one claimed speaker or clip: no interval over speakers")
    if size is not None and value in (0.0, 1.0):
        return Interval(at_edge(value, interval.ci95, units), f"{EXACT} of {units} speakers or clips")
    if interval.ci95[0] == interval.ci95[1]:
        return Interval(None, "the replicates are all alike: no interval")
    return interval
