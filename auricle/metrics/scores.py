"""Score files and key files of the field: read, checked against each other, ready for the metrics."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.trials import FloatArray

_BONAFIDE = {"bonafide", "genuine", "real"}
_SPOOF = {"spoof", "spoofed", "fake"}
_TRIAL_NAMES = ("trial", "file", "path", "filename", "utterance", "utt", "key_id", "input")
_LABEL_NAMES = ("label", "key", "class")
_SCORE_NAMES = ("score", "cm-score", "cm_score")
# columns of the headerless ASVspoof protocols, by how many there are
_COLUMNS_5 = ("speaker", "trial", "environment", "attack", "label")
_COLUMNS_8 = ("speaker", "trial", "codec", "transmission", "attack", "label", "trim", "subset")


class KeyRow(NamedTuple):
    """One trial of a key file: what it is, the fields of its line and their names (shared between lines)."""

    bonafide: bool
    names: tuple[str, ...]
    fields: list[str]
    line: int

    def get(self, column: str) -> str | None:
        """Give a field by its column's name or its number from ``"1"``; None when the line has no such column."""
        if column in self.names:
            at = self.names.index(column)
        elif column.isdecimal():
            at = int(column) - 1
        else:
            return None
        return self.fields[at] if 0 <= at < len(self.fields) else None


@dataclass(frozen=True)
class ScoredTrials:
    """Scores and labels of the same trials, in the key's order.

    Attributes:
        trials: names, length N.
        scores: shape (N,), higher is more bona fide.
        labels: True for bona fide, shape (N,).
        groups: the group of each trial (the attack, say; ``-`` where the key has none), or None.
        speakers: the speaker of each trial for intervals by speaker, or None.
    """

    trials: list[str]
    scores: FloatArray
    labels: npt.NDArray[np.bool_]
    groups: list[str] | None
    speakers: list[str] | None

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


def parse_label(text: str) -> bool | None:
    """Read a label: True for bona fide, False for spoof, None when it is neither."""
    word = text.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    if word in _BONAFIDE:
        return True
    return False if word in _SPOOF else None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give the non-blank lines of a text file with their numbers."""
    try:
        with open(path, encoding="utf-8-sig", newline=None) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; give a text file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {error}") from None


def _delimiter(header: str) -> str | None:
    """Give the delimiter of a table's first line; None for columns apart by white space."""
    return next((mark for mark in (",", "\t", ";") if mark in header), None)


def _fields(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    return [field.strip() for field in next(csv.reader([line], delimiter=delimiter))]


def _pick(header: list[str], names: tuple[str, ...]) -> int | None:
    """Find the first of `names` in a header."""
    return next((header.index(name) for name in names if name in header), None)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give every non-blank line's number and fields; the first line decides the delimiter."""
    delimiter: str | None = None
    empty = True
    for number, line in _lines(path):
        if empty:
            delimiter, empty = _delimiter(line), False
        yield number, _fields(line, delimiter)
    if empty:
        raise DataError(f"{path} is empty; give one line per trial")


def read_scores(path: str | Path) -> dict[str, tuple[float, int]]:
    """Read a score file: `<trial> <score>` lines, or a CSV or TSV with columns trial (or file, path) and score.

    The four columns of 2019 (trial, attack, key, score) are read too. Higher means more bona fide.

    Args:
        path: the file.

    Returns:
        For each trial its score and the number of its line.

    Raises:
        DataError: the file is missing or empty, a line is not of these forms, a score is not a finite number, or a
            trial is there twice; the message has file and line.
    """
    path = Path(path)
    scores: dict[str, tuple[float, int]] = {}
    trial_at, score_at = 0, None
    for position, (number, row) in enumerate(_rows(path)):
        header = [field.lower() for field in row]
        if position == 0 and _pick(header, _SCORE_NAMES) is not None:
            score_at, found = _pick(header, _SCORE_NAMES), _pick(header, _TRIAL_NAMES)
            if found is None:
                raise DataError(f"{path}, line {number}: the header has no column {', '.join(_TRIAL_NAMES[:3])}")
            trial_at = found
            continue
        trial, score = _score(path, number, row, trial_at, score_at)
        if trial in scores:
            raise DataError(f"{path}, line {number}: trial {trial!r} was already on line {scores[trial][1]}")
        scores[trial] = (score, number)
    if not scores:
        raise DataError(f"{path} has a header and no trial")
    return scores


def _score(path: Path, number: int, row: list[str], trial_at: int, score_at: int | None) -> tuple[str, float]:
    """Read one line of a score file."""
    if score_at is None:
        labelled = len(row) == 4 and parse_label(row[2]) is not None
        if len(row) != 2 and not labelled:
            raise DataError(f"{path}, line {number}: expected '<trial> <score>', got {len(row)} columns: {row[:5]}")
        score_at = len(row) - 1
    if len(row) <= max(trial_at, score_at) or not row[trial_at]:
        raise DataError(f"{path}, line {number}: no trial or no score in {row[:5]}")
    try:
        score = float(row[score_at])
    except ValueError:
        raise DataError(f"{path}, line {number}: the score {row[score_at]!r} is not a number") from None
    if not np.isfinite(score):
        raise DataError(f"{path}, line {number}: the score of {row[trial_at]!r} is {score}; scores must be finite")
    return row[trial_at], score


def read_key(path: str | Path) -> dict[str, KeyRow]:
    """Read a key file: which trial is bona fide and which is spoof.

    Forms: `trial label`; ASVspoof 2019 protocol lines (speaker, trial, -, attack, label); ASVspoof 2021 trial
    metadata (speaker, trial, codec, transmission, attack, label, trim, subset and more, ragged ends allowed); CSV or
    TSV with a header that holds trial (or file, path) and label (or key). Labels are bonafide (bona-fide, genuine,
    real) and spoof (fake), in any case.

    Args:
        path: the file.

    Returns:
        For each trial its label, its columns and the number of its line. Columns without a header are named as in the
        corpora above; any column can be had by its number from ``"1"``.

    Raises:
        DataError: the file is missing or empty, a line has no label or no trial, or a trial is there twice; the
            message has file and line.
    """
    path = Path(path)
    keys: dict[str, KeyRow] = {}
    header: tuple[str, ...] | None = None
    for position, (number, row) in enumerate(_rows(path)):
        if position == 0:
            header = _key_header(path, number, row)
            if header is not None:
                continue
        trial, key = _key_row(path, number, row, header)
        if trial in keys:
            raise DataError(f"{path}, line {number}: trial {trial!r} was already on line {keys[trial].line}")
        keys[trial] = key
    if not keys:
        raise DataError(f"{path} has a header and no trial")
    return keys


def _key_header(path: Path, number: int, row: list[str]) -> tuple[str, ...] | None:
    """Give the lower-case header with its trial and label columns renamed, or None when the line is a trial."""
    header = [field.lower() for field in row]
    label_at, trial_at = _pick(header, _LABEL_NAMES), _pick(header, _TRIAL_NAMES)
    if any(parse_label(field) is not None for field in row):
        return None
    if label_at is None or trial_at is None:
        raise DataError(
            f"{path}, line {number}: neither a trial with 'bonafide' or 'spoof' nor a header with trial (or file, "
            f"path) and label (or key): {row[:8]}"
        )
    header[label_at], header[trial_at] = "label", "trial"
    return tuple(header)


def _key_row(path: Path, number: int, row: list[str], header: tuple[str, ...] | None) -> tuple[str, KeyRow]:
    """Read one line of a key file."""
    if header is not None:
        names = header
    elif len(row) >= len(_COLUMNS_8):
        names = _COLUMNS_8
    elif len(row) == len(_COLUMNS_5):
        names = _COLUMNS_5
    else:
        # trial first; the label is the first column that can be one
        at = next((i for i, field in enumerate(row[1:], 1) if parse_label(field) is not None), len(row))
        names = tuple("trial" if i == 0 else "label" if i == at else str(i + 1) for i in range(len(row)))
    key = KeyRow(False, names, row, number)
    bonafide, trial = parse_label(key.get("label") or ""), key.get("trial")
    if bonafide is None:
        raise DataError(f"{path}, line {number}: no label 'bonafide' or 'spoof' where expected in {row[:8]}")
    if not trial:
        raise DataError(f"{path}, line {number}: no trial name in {row[:8]}")
    return trial, key._replace(bonafide=bonafide)


def evaluate_scores(
    score_file: str | Path, key_file: str | Path, group_column: str | None = None, subset: str | None = None
) -> ScoredTrials:
    """Put scores and keys together.

    Args:
        score_file: as `read_scores`.
        key_file: as `read_key`.
        group_column: name of the key column to group by, or its number from ``"1"``; None for ``attack`` if the key
            has one.
        subset: keep the trials with this value in the key's column ``subset`` (ASVspoof 2021: ``eval``); scores of
            the others are then not used. None for all.

    Returns:
        The trials of the key with their scores.

    Raises:
        DataError: a trial without score or a score without key, with file and line; or as the readers.
        ConfigError: the key has no such column or subset.
    """
    scores, keys = read_scores(score_file), read_key(key_file)
    for trial, (_, line) in scores.items():
        if trial not in keys:
            raise DataError(f"{score_file}, line {line}: trial {trial!r} is not in the key {key_file}")
    if subset is not None:
        _need_column(keys, "subset", key_file)
        held = sorted({row.get("subset") or "-" for row in keys.values()})
        keys = {trial: row for trial, row in keys.items() if row.get("subset") == subset}
        if not keys:
            raise ConfigError(f"{key_file} has no subset {subset!r}; it has {', '.join(held)}")
    for trial, row in keys.items():
        if trial not in scores:
            raise DataError(f"{key_file}, line {row.line}: trial {trial!r} has no score in {score_file}")
    if group_column is not None:
        _need_column(keys, group_column.lower(), key_file)
    return ScoredTrials(
        trials=list(keys),
        scores=np.array([scores[trial][0] for trial in keys], dtype=np.float64),
        labels=np.array([row.bonafide for row in keys.values()], dtype=bool),
        groups=_column(keys, (group_column or "attack").lower()),
        speakers=_column(keys, "speaker"),
    )


def _column(keys: dict[str, KeyRow], name: str) -> list[str] | None:
    """Give one column of the key, ``-`` where a line lacks it; None when no line has it."""
    column = [row.get(name) for row in keys.values()]
    return None if all(field is None for field in column) else [field or "-" for field in column]


def _need_column(keys: dict[str, KeyRow], name: str, key_file: str | Path) -> None:
    if _column(keys, name) is None:
        names = dict.fromkeys(column for row in keys.values() for column in row.names)
        raise ConfigError(f"{key_file} has no column {name!r}; it has {', '.join(names)}")
