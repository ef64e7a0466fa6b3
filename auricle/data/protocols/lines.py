"""Lines of protocol files: found, split, judged. Every complaint names the file, the line and what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from auricle.core.errors import DataError
from auricle.core.lines import WHOLE, parse_json, parse_number, text_lines, words
from auricle.data import fields

__all__ = [
    "WHOLE",
    "Names",
    "attack",
    "columns",
    "finite",
    "label",
    "locate",
    "one_of",
    "parse_json",
    "parse_number",
    "text_lines",
    "words",
]

_LABELS = {"bonafide": fields.BONAFIDE, "bona-fide": fields.BONAFIDE, "spoof": fields.SPOOF}


def locate(given: str | Path, files: Sequence[str], folders: Sequence[str]) -> list[Path]:
    """Find protocol files: the file itself when one is given, otherwise those of `files` in the first folder with it.

    Args:
        given: a protocol file or the folder a corpus is unpacked in.
        files: names of the files looked for in a folder.
        folders: where each may lie below `given`, the likeliest first; ``""`` is the folder itself.

    Returns:
        The files that are there, at least one.

    Raises:
        DataError: nothing is there; the message says what was looked for.
    """
    given = Path(given)
    if given.is_file():
        return [given]
    if not given.is_dir():
        raise DataError(f"{given} does not exist; give a protocol file, or the folder the corpus is unpacked in")
    found = []
    for name in files:
        places = [given / folder / name for folder in folders]
        found += [place for place in places if place.is_file()][:1]
    if not found:
        below = ", ".join(folder or "." for folder in folders)
        raise DataError(f"{given} has no protocol file; looked for {', '.join(files)} in {below}")
    return found


def columns(path: Path, names: Sequence[str], least: int | None = None) -> Iterator[tuple[int, list[str | None]]]:
    """Split lines at any run of spaces or tabs; ``-`` becomes None.

    Args:
        path: the file.
        names: what the columns are called.
        least: how many a ragged line must have; it is filled up with None, and what stands beyond the last name is
            left out. None: exactly as many as there are names.

    Yields:
        Line number and one value a name.

    Raises:
        DataError: a line with another number of columns, or no line at all.
    """
    size, empty = len(names), True
    for number, line in text_lines(path):
        parts = words(line)
        if len(parts) != size and (least is None or len(parts) < least):
            amount = f"{size}" if least is None else f"at least {least}"
            raise DataError(
                f"{path}, line {number}: {len(parts)} columns; expected {amount} ({', '.join(names)}): {line.strip()!r}"
            )
        empty = False
        values = [None if part == "-" else part for part in parts[:size]]
        yield number, values + [None] * (size - len(values))
    if empty:
        raise DataError(f"{path} is empty; expected lines of {', '.join(names)}")


def label(path: Path, line: int, text: str | None) -> str:
    """Read a label: ``bonafide`` (or ``bona-fide``) or ``spoof``.

    Raises:
        DataError: anything else.
    """
    known = _LABELS.get(text or "-")
    if known is None:
        raise DataError(f"{path}, line {line}: label {text or '-'!r}; expected bonafide, bona-fide or spoof")
    return known


def attack(path: Path, line: int, kind: str, text: str | None, needed: bool = True) -> str | None:
    """Read the attack of a row; bona fide speech has none, written ``-`` or ``bonafide``.

    Raises:
        DataError: bona fide with an attack, or a spoof without one where it is needed.
    """
    name = None if text == "bonafide" else text
    if kind == fields.BONAFIDE and name is not None:
        raise DataError(f"{path}, line {line}: bona fide speech with the attack {name!r}; expected - or bonafide")
    if kind == fields.SPOOF and name is None and needed:
        raise DataError(f"{path}, line {line}: a spoof without an attack; expected its id, such as A07")
    return name


def one_of(path: Path, line: int, column: str, text: str | None, allowed: Sequence[str]) -> str:
    """Read a column that holds one of a few words.

    Raises:
        DataError: another word: the columns are shifted, or the file is of another corpus.
    """
    if text is None or text not in allowed:
        raise DataError(f"{path}, line {line}: {column} {text or '-'!r}; expected one of {', '.join(allowed)}")
    return text


def finite(path: Path, line: int, column: str, text: str | None) -> float:
    """Read a column that holds a finite number.

    Raises:
        DataError: anything else; see `auricle.core.lines.parse_number`.
    """
    value = parse_number(text or "-")
    if not math.isfinite(value):
        raise DataError(f"{path}, line {line}: {column} {text or '-'!r}; expected a finite number")
    return value


class Names:
    """Names of trials, each of which may stand once, and start in a way that its corpus knows."""

    def __init__(self, prefixes: Sequence[str] = ()) -> None:
        """Start empty.

        Args:
            prefixes: beginnings that a name may have; none for any name.
        """
        self._prefixes = tuple(prefixes)
        self._seen: dict[str, tuple[Path, int]] = {}

    def take(self, path: Path, line: int, name: str | None) -> str:
        """Check a name and remember it.

        Raises:
            DataError: no name, a name of another corpus, or one that was there before.
        """
        if not name or (self._prefixes and not name.startswith(self._prefixes)):
            hint = f" that starts with {' or '.join(self._prefixes)}" if self._prefixes else ""
            raise DataError(f"{path}, line {line}: utterance {name or '-'!r}; expected a name{hint}")
        if name in self._seen:
            before, number = self._seen[name]
            where = f"line {number}" if before == path else f"{before}, line {number}"
            raise DataError(f"{path}, line {line}: {name} was already in {where}; expected each trial once")
        self._seen[name] = (path, line)
        return name
