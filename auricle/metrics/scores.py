"""Scores and the key they belong to: joined, checked against each other, in the parts that challenges report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.detection import eer
from auricle.metrics.score_files import SUBSET, Key, Scores, parse_label, read_key, read_scores
from auricle.metrics.subsets import ALL, choose
from auricle.metrics.tandem import AsvErrors, asv_errors, min_tdcf
from auricle.metrics.trials import FloatArray

__all__ = [
    "ALL",
    "POOLED",
    "AsvTrialLike",
    "Key",
    "Part",
    "ScoredTrials",
    "Scores",
    "evaluate_scores",
    "parse_label",
    "read_key",
    "read_scores",
]

POOLED = "pooled"
_ATTACK = "attack"
# above it scores are taken to be the wrong way round: no detector is so much worse than guessing
_INVERTED = 0.6
_ASV_COLUMNS = ("codec", "transmission", "trim", SUBSET)


class AsvTrialLike(Protocol):
    """A trial of a speaker verifier, as `auricle.data.protocols.AsvTrial` is one."""

    @property
    def kind(self) -> str:
        """``target``, ``nontarget`` or ``spoof``."""

    @property
    def score(self) -> float:
        """Its score."""

    @property
    def attack(self) -> str | None:
        """The attack of a spoof."""


class Part(NamedTuple):
    """Some of the trials: those of an attack with all bona fide ones, those of a codec, or all.

    Attributes:
        name: the attack, the codec, or `POOLED`.
        chosen: which trials, booleans (N,).
        asv: the verifier's errors in this part at its own EER threshold; None where they are not known.
        note: why something cannot be measured in this part; ``""`` where all can.
    """

    name: str
    chosen: npt.NDArray[np.bool_]
    asv: AsvErrors | None
    note: str


@dataclass(frozen=True)
class ScoredTrials:
    """Scores and labels of the same trials, in the key's order.

    Attributes:
        trials: names, length N.
        scores: shape (N,), higher is more bona fide.
        labels: True for bona fide, shape (N,).
        groups: the group of each trial (the attack, say; ``-`` where the key has none), or None.
        speakers: the speaker of each trial for intervals by speaker, or None.
        by: name of the key's column that the groups are of.
        subset: the subset of the key that these trials are; None where it has none, or all were taken.
        notes: what a reader has to know, one sentence each.
        parts: the groups, in order of name, and `POOLED` at the end.
        version: whose tandem cost `min_tdcf` gives.
    """

    trials: list[str]
    scores: FloatArray
    labels: npt.NDArray[np.bool_]
    groups: list[str] | None
    speakers: list[str] | None
    by: str = _ATTACK
    subset: str | None = None
    notes: tuple[str, ...] = ()
    parts: tuple[Part, ...] = field(default=(), repr=False)
    version: Literal[2019, 2021] = 2021

    @property
    def bonafide(self) -> FloatArray:
        """Scores of the bona fide trials."""
        return self.scores[self.labels]

    @property
    def spoof(self) -> FloatArray:
        """Scores of the spoof trials."""
        return self.scores[~self.labels]

    def spoof_groups(self) -> dict[str, FloatArray]:
        """Scores of the spoof trials of each group, in order of name; empty without groups."""
        if self.groups is None:
            return {}
        groups = np.asarray(self.groups)
        return {
            name: self.scores[~self.labels & (groups == name)] for name in sorted(set(groups[~self.labels].tolist()))
        }

    def split(self, part: Part) -> tuple[FloatArray, FloatArray]:
        """Give the scores of a part's bona fide and of its spoof trials.

        Args:
            part: one of `parts`.
        """
        return self.scores[part.chosen & self.labels], self.scores[part.chosen & ~self.labels]

    def min_tdcf(self, part: Part) -> float | None:
        """Give the smallest tandem cost of a part; None where the verifier's errors are not known there.

        Args:
            part: one of `parts`.

        Raises:
            DataError: a class is missing, or the verifier is so poor in this part that the cost is undefined.
        """
        return None if part.asv is None else min_tdcf(*self.split(part), part.asv, self.version)


def evaluate_scores(
    score_file: str | Path,
    key_file: str | Path,
    group_column: str | None = None,
    subset: str | None = None,
    asv: Sequence[AsvTrialLike] | None = None,
    version: Literal[2019, 2021] | None = None,
) -> ScoredTrials:
    """Put scores and keys together.

    Args:
        score_file: as `read_scores`.
        key_file: as `read_key`.
        group_column: name of the key column to group by (``attack``, ``codec``), or its number from ``"1"``; None for
            ``attack`` if the key has one. A column that only spoofs have keeps every bona fide trial in each part; one
            that both classes have splits both.
        subset: keep the trials with this value in the key's column ``subset``; scores of the others are then not used.
            None is ``eval`` for a key of ASVspoof 2021, as its scorer has it, else all; ``all`` is all in any case.
        asv: trials of a speaker verifier, for the tandem cost of each part.
        version: whose tandem cost; None for 2021 where the verifier's trials name a codec, else 2019.

    Returns:
        The trials of the key with their scores; `notes` name the subset that was taken and what is odd.

    Raises:
        DataError: trials without score or scores without key, or a label in the score file that contradicts the key,
            with file and line; or as the readers.
        ConfigError: the key has no such column or subset.
    """
    scores, key = read_scores(score_file), read_key(key_file)
    _need_known(scores, key, score_file, key_file)
    notes: list[str] = []
    kept, subset = _kept(key, subset, key_file, notes)
    names = [name for name, keep in zip(key.rows, kept, strict=True) if keep]
    missing = [name for name in names if name not in scores.rows]
    if missing:
        line, most = key.lines[key.rows[missing[0]]], f"{len(missing)} of {len(names)} trials have none"
        raise DataError(f"{key_file}, line {line}: trial {missing[0]!r} has no score in {score_file}; {most}")
    if len(names) < len(scores.rows):
        notes.append(f"{len(scores.rows) - len(names)} scores of other subsets are not used")
    if group_column is not None and key.column(group_column) is None:
        raise ConfigError(f"{key_file} has no column {group_column.lower()!r}; it has {', '.join(key.names)}")
    by = (group_column or _ATTACK).lower()
    groups, speakers = _chosen(key.column(by), kept), _chosen(key.column("speaker"), kept)
    labels = key.bonafide[kept]
    values = scores.numbers[[scores.rows[name] for name in names]]
    notes += _odd(values, labels, groups if by == _ATTACK else None)
    if version is None:
        version = 2021 if asv and any(getattr(one, "codec", None) for one in asv) else 2019
    parts = tuple(_parts(labels, groups, by, subset, asv))
    return ScoredTrials(names, values, labels, groups, speakers, by, subset, tuple(notes), parts, version)


def _need_known(scores: Scores, key: Key, score_file: str | Path, key_file: str | Path) -> None:
    """Refuse scores of trials that the key does not have, or calls otherwise."""
    strange = [name for name in scores.rows if name not in key.rows]
    if strange:
        line, more = scores.lines[scores.rows[strange[0]]], f"; {len(strange)} trials are not" if strange[1:] else ""
        raise DataError(f"{score_file}, line {line}: trial {strange[0]!r} is not in the key {key_file}{more}")
    said = [(name, at) for name, at in scores.rows.items() if scores.labels[at] >= 0]
    wrong = [(name, at) for name, at in said if bool(scores.labels[at]) != bool(key.bonafide[key.rows[name]])]
    if wrong:
        (name, at), words = wrong[0], ("spoof", "bonafide")
        own = words[int(scores.labels[at])]
        raise DataError(
            f"{score_file}, line {scores.lines[at]}: trial {name!r} is {own}, but {words[own == 'spoof']} in "
            f"{key_file}, line {key.lines[key.rows[name]]}; {len(wrong)} of {len(said)} labels contradict the key"
        )


def _kept(
    key: Key, subset: str | None, key_file: str | Path, notes: list[str]
) -> tuple[npt.NDArray[np.bool_], str | None]:
    """Choose the subset: which trials are kept, and what it is called."""
    everything = np.ones(len(key.rows), dtype=bool)
    column = key.column(SUBSET)
    if column is None:
        if subset not in (None, ALL):
            raise ConfigError(f"{key_file} has no column {SUBSET!r}; it has {', '.join(key.names)}")
        return everything, None
    taken, note = choose(column, subset, str(key_file))
    if note:
        notes.append(note)
    return everything if taken is None else np.array([text == taken for text in column]), taken


def _chosen(column: list[str] | None, kept: npt.NDArray[np.bool_]) -> list[str] | None:
    return None if column is None else [text for text, keep in zip(column, kept, strict=True) if keep]


def _is_none(group: str) -> bool:
    return group in ("", "-") or parse_label(group) is True


def _odd(scores: FloatArray, labels: npt.NDArray[np.bool_], attacks: list[str] | None) -> list[str]:
    """Say what is odd about scores and labels."""
    notes = []
    if attacks is not None:
        named = sum(1 for attack, real in zip(attacks, labels, strict=True) if real and not _is_none(attack))
        if named:
            notes.append(f"{named} bona fide trials name an attack in the key; its columns may be shifted")
    if labels.any() and not labels.all():
        ours = eer(scores[labels], scores[~labels]).eer
        official = eer(scores[labels], scores[~labels], ties="official").eer
        if ours > _INVERTED:
            notes.append(
                f"the EER is {100 * ours:.1f} %: the scores seem to be the wrong way round; higher has to mean more "
                "bona fide"
            )
        if f"{100 * ours:.2f}" != f"{100 * official:.2f}":
            notes.append(
                f"scores are tied: the EER is {100 * ours:.2f} % with equal scores moving together, and "
                f"{100 * official:.2f} % by the official scorers, which pass bona fide first"
            )
    return notes


def _parts(
    labels: npt.NDArray[np.bool_],
    groups: list[str] | None,
    by: str,
    subset: str | None,
    asv: Sequence[AsvTrialLike] | None,
) -> list[Part]:
    parts = []
    if groups is not None:
        column = np.asarray(groups)
        # a column that bona fide trials have too is a condition, which splits both classes
        shared = any(not _is_none(name) for name in set(column[labels].tolist())) and by != _ATTACK
        names = sorted(set((column if shared else column[~labels]).tolist()))
        for name in names:
            mine = column == name
            parts.append(_part(name, mine if shared else labels | mine, labels, by, subset, asv))
    return [*parts, _part(POOLED, np.ones(labels.size, dtype=bool), labels, "", subset, asv)]


def _part(
    name: str,
    chosen: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.bool_],
    by: str,
    subset: str | None,
    asv: Sequence[AsvTrialLike] | None,
) -> Part:
    missing = [what for what, has in (("bona fide", labels), ("spoof", ~labels)) if not (chosen & has).any()]
    if missing:
        return Part(name, chosen, None, f"{name}: there are no {' and no '.join(missing)} trials")
    if asv is None:
        return Part(name, chosen, None, "")
    found = _asv_of(name, by, subset, asv)
    if isinstance(found, str):
        return Part(name, chosen, None, f"{name}: {found}")
    return Part(name, chosen, found, "")


def _asv_of(name: str, by: str, subset: str | None, asv: Sequence[AsvTrialLike]) -> AsvErrors | str:
    """Measure the verifier in one part, at its own EER threshold there; or say why it cannot be."""
    if by and by != _ATTACK and (by not in _ASV_COLUMNS or all(getattr(one, by, None) is None for one in asv)):
        return f"the verifier's scores do not tell {by}"
    kinds: dict[str, list[float]] = {"target": [], "nontarget": [], "spoof": []}
    for one in asv:
        own = getattr(one, SUBSET, None)
        if subset is not None and own is not None and own != subset:
            continue
        if by == _ATTACK and one.kind == "spoof" and one.attack != name:
            continue
        if by in _ASV_COLUMNS and getattr(one, by) != name:
            continue
        kinds[one.kind].append(one.score)
    empty = [kind for kind, found in kinds.items() if not found]
    if empty:
        return f"the verifier has no {' and no '.join(empty)} scores there"
    return asv_errors(kinds["target"], kinds["nontarget"], kinds["spoof"])
