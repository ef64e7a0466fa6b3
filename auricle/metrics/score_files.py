"""Score files and key files as they lie on disk: read line by line, text kept as codes."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.core.lines import TABLE, Limits, parse_number, rows
from auricle.metrics.trials import FloatArray

_BONAFIDE = {"bonafide", "genuine", "real"}
_SPOOF = {"spoof", "spoofed", "fake"}
_TRIAL_NAMES = ("trial", "file", "path", "filename", "utterance", "utt", "key_id", "input")
_LABEL_NAMES = ("label", "key", "class")
_SCORE_NAMES = ("score", "cm-score", "cm_score")
SUBSET, LABEL, TRIAL = "subset", "label", "trial"
# columns of the headerless ASVspoof protocols: 2019, 2021 (ends may be ragged), ASVspoof 5
COLUMNS_2019 = ("speaker", "trial", "environment", "attack", "label")
COLUMNS_2021 = ("speaker", "trial", "codec", "transmission", "attack", "label", "trim", "subset")
COLUMNS_5 = ("speaker", "trial", "gender", "codec", "codec_q", "codec_seed", "attack_tag", "attack", "label")
_ABSENT = -1


def parse_label(text: str) -> bool | None:
    """Read a label: True for bona fide, False for spoof, None when it is neither.

    Args:
        text: a column, in any case.
    """
    word = text.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    if word in _BONAFIDE:
        return True
    return False if word in _SPOOF else None


@dataclass(frozen=True, eq=False)
class Scores(Mapping[str, tuple[float, int]]):
    """What a score file holds: for each trial its score and its line.

    Attributes:
        rows: the place of each trial, by its name, in the file's order.
        numbers: the scores, shape (N,).
        lines: the line of each trial, shape (N,).
        labels: what the file itself calls each trial, shape (N,): 1 bona fide, 0 spoof, -1 nothing.
    """

    rows: dict[str, int]
    numbers: FloatArray
    lines: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int8]

    def __getitem__(self, trial: str) -> tuple[float, int]:
        at = self.rows[trial]
        return float(self.numbers[at]), int(self.lines[at])

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class _Codes(NamedTuple):
    """A column while it is read: a code a line (fewer where the last lines lack it), and the texts of the codes."""

    codes: array[int]
    texts: dict[str, int]


@dataclass(frozen=True)
class Key:
    """What a key file holds.

    Attributes:
        rows: the place of each trial, by its name, in the file's order.
        bonafide: True for bona fide, shape (N,).
        lines: the line of each trial, shape (N,).
        names: of the columns, as the header or the corpus has them.
    """

    rows: dict[str, int]
    bonafide: npt.NDArray[np.bool_]
    lines: npt.NDArray[np.int64]
    names: tuple[str, ...]
    _columns: list[_Codes]

    def column(self, name: str) -> list[str] | None:
        """Give a column by its name, or by its number from ``"1"``: a text a trial, ``-`` where a line lacks it.

        Args:
            name: the column, in any case.

        Returns:
            None when no line has the column.
        """
        name = name.lower()
        if name in self.names:
            at = self.names.index(name)
        elif name.isascii() and name.isdecimal():
            at = int(name) - 1
        else:
            return None
        if not 0 <= at < len(self._columns) or not self._columns[at].codes:
            return None
        found = self._columns[at]
        texts = [*(text or "-" for text in found.texts), "-"]  # the last one is that of `_ABSENT`
        codes = found.codes.tolist()
        return [texts[code] for code in codes] + ["-"] * (len(self.rows) - len(codes))


def read_scores(path: str | Path, limits: Limits = TABLE) -> Scores:
    """Read a score file: `<trial> <score>` lines, or a CSV or TSV with columns trial (or file, path) and score.

    The four columns of 2019 (trial, attack, key, score) are read too. Higher means more bona fide.

    Args:
        path: the file, plain or gzip; at most 5 million lines.
        limits: other bounds than those.

    Raises:
        DataError: the file is missing, empty or refused, a line is not of these forms, a score is not a finite number,
            or a trial is there twice; the message has file and line.
    """
    path = Path(path)
    places: dict[str, int] = {}
    values, lines, labels = array("d"), array("q"), array("b")
    trial_at, score_at, label_at = 0, None, None
    for position, (number, row) in enumerate(rows(path, limits)):
        header = [text.lower() for text in row]
        if position == 0 and _pick(header, _SCORE_NAMES) is not None:
            score_at, found, label_at = (_pick(header, names) for names in (_SCORE_NAMES, _TRIAL_NAMES, _LABEL_NAMES))
            if found is None:
                raise DataError(f"{path}, line {number}: the header has no column {', '.join(_TRIAL_NAMES[:3])}")
            trial_at = found
            continue
        trial, score, said = _score(path, number, row, trial_at, score_at, label_at)
        if trial in places:
            raise DataError(f"{path}, line {number}: trial {trial!r} was already on line {lines[places[trial]]}")
        places[trial] = len(places)
        values.append(score)
        lines.append(number)
        labels.append(-1 if said is None else int(said))
    if not places:
        raise DataError(f"{path} has a header and no trial")
    return Scores(places, np.array(values), np.array(lines), np.array(labels))


def _score(
    path: Path, number: int, row: list[str], trial_at: int, score_at: int | None, label_at: int | None
) -> tuple[str, float, bool | None]:
    """Read one line of a score file."""
    if score_at is None:
        labelled = len(row) == 4 and parse_label(row[2]) is not None
        if len(row) != 2 and not labelled:
            raise DataError(f"{path}, line {number}: expected '<trial> <score>', got {len(row)} columns: {row[:5]}")
        score_at, label_at = len(row) - 1, 2 if labelled else None
    if len(row) <= max(trial_at, score_at) or not row[trial_at]:
        raise DataError(f"{path}, line {number}: no trial or no score in {row[:5]}")
    score = parse_number(row[score_at])
    if np.isnan(score) and row[score_at].lower() != "nan":
        raise DataError(f"{path}, line {number}: the score {row[score_at]!r} is not a number")
    if not np.isfinite(score):
        raise DataError(f"{path}, line {number}: the score of {row[trial_at]!r} is {score}; scores must be finite")
    return row[trial_at], score, parse_label(row[label_at]) if label_at is not None and label_at < len(row) else None


def _pick(header: list[str], names: tuple[str, ...]) -> int | None:
    """Find the first of `names` in a header."""
    return next((header.index(name) for name in names if name in header), None)


def read_key(path: str | Path, limits: Limits = TABLE) -> Key:
    """Read a key file: which trial is bona fide and which is spoof.

    Forms: `trial label`; ASVspoof 2019 protocol lines (speaker, trial, -, attack, label); ASVspoof 2021 trial
    metadata (speaker, trial, codec, transmission, attack, label, trim, subset and more, ragged ends allowed); ASVspoof
    5 protocol lines (ten columns, the label in the ninth); CSV or TSV with a header that holds trial (or file, path)
    and label (or key). Labels are bonafide (bona-fide, genuine, real) and spoof (fake), in any case.

    Args:
        path: the file, plain or gzip; at most 5 million lines.
        limits: other bounds than those.

    Returns:
        For each trial its label, its columns and its line. Columns without a header are named as in the corpora above;
        any column can be had by its number from ``"1"``.

    Raises:
        DataError: the file is missing, empty or refused, a line has no label or no trial, or a trial is there twice;
            the message has file and line.
    """
    path = Path(path)
    places: dict[str, int] = {}
    bonafide, lines = array("b"), array("q")
    columns: list[_Codes] = []
    names: tuple[str, ...] = ()
    headed = False
    for position, (number, row) in enumerate(rows(path, limits)):
        if position == 0:
            header = _key_header(path, number, row)
            names, headed = header or _layout(row), header is not None
            if headed:
                continue
        own = names if headed or LABEL in names else _unnamed(row)
        trial, label = _named(row, own, TRIAL), parse_label(_named(row, own, LABEL))
        if label is None:
            raise DataError(f"{path}, line {number}: no label 'bonafide' or 'spoof' where expected in {row[:8]}")
        if not trial:
            raise DataError(f"{path}, line {number}: no trial name in {row[:8]}")
        if trial in places:
            raise DataError(f"{path}, line {number}: trial {trial!r} was already on line {lines[places[trial]]}")
        _put(columns, row, own.index(TRIAL), len(places))
        places[trial] = len(places)
        bonafide.append(label)
        lines.append(number)
    if not places:
        raise DataError(f"{path} has a header and no trial")
    return Key(places, np.array(bonafide, dtype=bool), np.array(lines), names or _UNNAMED, columns)


_UNNAMED = (TRIAL, LABEL)


def _named(row: list[str], names: tuple[str, ...], name: str) -> str:
    at = names.index(name)
    return row[at] if at < len(row) else ""


def _put(columns: list[_Codes], row: list[str], trial_at: int, line: int) -> None:
    """Add a row to the columns, other than its trial, whose texts are in the file once each."""
    while len(columns) < len(row):
        columns.append(_Codes(array("i"), {}))
    for at, (text, (codes, texts)) in enumerate(zip(row, columns, strict=False)):
        if at != trial_at:
            if len(codes) < line:  # lines that ended before it
                codes.extend([_ABSENT] * (line - len(codes)))
            codes.append(texts.setdefault(text, len(texts)))


def _layout(row: list[str]) -> tuple[str, ...]:
    """Tell a corpus by the first line of its protocol; nothing where trial and label alone are known."""
    for names, least, most in (
        (COLUMNS_2021, len(COLUMNS_2021), 99),
        (COLUMNS_5, len(COLUMNS_5), len(COLUMNS_5) + 1),
        (COLUMNS_2019, len(COLUMNS_2019), len(COLUMNS_2019)),
    ):
        if least <= len(row) <= most and parse_label(row[names.index(LABEL)]) is not None:
            return names
    return ()


def _unnamed(row: list[str]) -> tuple[str, ...]:
    """Name the columns of a line: trial first; the label is the first one after it that can be one."""
    at = next((i for i, text in enumerate(row[1:], 1) if parse_label(text) is not None), len(row))
    return tuple(TRIAL if i == 0 else LABEL if i == at else str(i + 1) for i in range(max(len(row), at + 1)))


def _key_header(path: Path, number: int, row: list[str]) -> tuple[str, ...] | None:
    """Give the lower-case header with its trial and label columns renamed, or None when the line is a trial."""
    header = [text.lower() for text in row]
    label_at, trial_at = _pick(header, _LABEL_NAMES), _pick(header, _TRIAL_NAMES)
    if any(parse_label(text) is not None for text in row):
        return None
    if label_at is None or trial_at is None:
        raise DataError(
            f"{path}, line {number}: neither a trial with 'bonafide' or 'spoof' nor a header with trial (or file, "
            f"path) and label (or key): {row[:8]}"
        )
    header[label_at], header[trial_at] = LABEL, TRIAL
    return tuple(header)
