"""Counts of a protocol against the published sizes of its corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.data import fields
from auricle.data.protocols.cuts import missing_audio
from auricle.data.protocols.row import ProtocolRow
from auricle.data.protocols.table import protocol

_SPEAKERS = "speakers"
_UNLABELLED = "unlabelled"
_NO_SUBSET = "all"
_SHOWN = 20


@dataclass(frozen=True)
class CheckRow:
    """One count: of a class, an attack or the speakers in a subset; `expected` is None where nothing was published."""

    subset: str
    what: str
    found: int
    expected: int | None

    @property
    def ok(self) -> bool:
        """Whether the count is the published one, or none was published."""
        return self.expected is None or self.found == self.expected


@dataclass(frozen=True)
class CheckTable:
    """What a protocol holds and what is off.

    Attributes:
        corpus: key of `auricle.data.protocols.PROTOCOLS`.
        rows: the counts, subset by subset.
        problems: what differs from the published sizes, in words; empty when nothing does.
        absent: published subsets of which no trial was read.
        source: where the sizes were published.
    """

    corpus: str
    rows: tuple[CheckRow, ...]
    problems: tuple[str, ...]
    absent: tuple[str, ...]
    source: str

    @property
    def ok(self) -> bool:
        """Whether nothing is off in what was read."""
        return not self.problems

    def records(self) -> list[tuple[str, str, str, str, str]]:
        """Give subset, what, found, published and a mark, as text for a table."""
        return [
            (
                row.subset,
                row.what,
                f"{row.found:,}",
                "" if row.expected is None else f"{row.expected:,}",
                "" if row.expected is None else "ok" if row.ok else "OFF",
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        """Say what is off in a few lines."""
        parts = [f"{self.corpus}: {'as published' if self.ok else f'{len(self.problems)} things are off'}"]
        parts += self.problems[:_SHOWN]
        if len(self.problems) > _SHOWN:
            parts.append(f"... and {len(self.problems) - _SHOWN} more")
        if self.absent:
            parts.append(f"not read: {', '.join(self.absent)}")
        return "\n".join(parts)


def check(corpus: str, path: str | Path, audio_root: str | Path | None = None) -> CheckTable:
    """Count classes, attacks and speakers of each subset, and compare with the published sizes.

    Args:
        corpus: a key of `auricle.data.protocols.PROTOCOLS`.
        path: a protocol file, or the folder the corpus is unpacked in.
        audio_root: look for the audio of every trial below this folder too; None for no look.

    Returns:
        The counts and what is off. A subset that was not read is named, not held against the protocol.

    Raises:
        ConfigError: no such corpus.
        DataError: the protocol cannot be read.
    """
    known = protocol(corpus)
    trials = known.read(Path(path))
    groups: dict[str, list[ProtocolRow]] = {}
    for trial in trials:
        groups.setdefault(trial.subset or _NO_SUBSET, []).append(trial)
    order = [name for name in known.sizes if name in groups] + sorted(set(groups) - set(known.sizes))
    rows: list[CheckRow] = []
    problems: list[str] = []
    for subset in order:
        published = known.sizes.get(subset, {})
        counted = _subset_rows(subset, groups[subset], published)
        rows += counted
        problems += [
            f"{subset}: {row.found:,} {row.what}, published are {row.expected:,}" for row in counted if not row.ok
        ]
        allowed = known.attacks.get(subset, ())
        strange = sorted({row.attack for row in groups[subset] if row.attack and allowed and row.attack not in allowed})
        problems += [f"{subset}: the attack {name} is none of {allowed[0]} to {allowed[-1]}" for name in strange]
    if audio_root is not None:
        problems += _audio_problems(trials, Path(audio_root))
    absent = tuple(name for name in known.sizes if name not in groups)
    return CheckTable(corpus, tuple(rows), tuple(problems), absent, known.source)


def _subset_rows(subset: str, trials: Sequence[ProtocolRow], expected: Mapping[str, int]) -> list[CheckRow]:
    counts = Counter(trial.label or _UNLABELLED for trial in trials)
    attacks = Counter(trial.attack for trial in trials if trial.attack)
    speakers = len({trial.speaker for trial in trials if trial.speaker})
    rows = [CheckRow(subset, name, counts[name], expected.get(name)) for name in fields.LABELS]
    if counts[_UNLABELLED]:
        rows.append(CheckRow(subset, _UNLABELLED, counts[_UNLABELLED], None))
    if speakers or _SPEAKERS in expected:
        rows.append(CheckRow(subset, _SPEAKERS, speakers, expected.get(_SPEAKERS)))
    listed = [name for name in expected if name not in (*fields.LABELS, _SPEAKERS)]
    names: Sequence[str] = [*listed, *sorted(set(attacks) - set(listed))]
    return rows + [CheckRow(subset, name, attacks[name], expected.get(name)) for name in names]


def _audio_problems(trials: Sequence[ProtocolRow], audio_root: Path) -> list[str]:
    missing = missing_audio(trials, audio_root)
    if not missing:
        return []
    first = missing[0]
    return [f"{len(missing):,} of {len(trials):,} audio files are not below {audio_root}; the first: {first.path}"]
