"""In-the-Wild: clips of 58 public figures.

``meta.csv``: commas, a header with file, speaker and label; labels are ``bona-fide`` (with a hyphen) or ``spoof``.
"""

from __future__ import annotations

import csv
from pathlib import Path

from auricle.core.errors import DataError
from auricle.data.protocols.lines import Names, label, locate, text_lines
from auricle.data.protocols.row import ProtocolRow

CORPUS = "in_the_wild"
SIZES = {"test": {"bonafide": 19_963, "spoof": 11_816, "speakers": 58}}

_HEADER = ("file", "speaker", "label")


def read_in_the_wild(path: str | Path) -> list[ProtocolRow]:
    """Read the table of In-the-Wild.

    The speakers are real people. Their names do not leave this function: the row has a number instead, in order of
    first appearance (``itw-01``).

    Args:
        path: ``meta.csv``, or its folder.

    Returns:
        One row a file, all of the subset test; the utterance is the file's name with its suffix, as score files have.

    Raises:
        DataError: nothing to read, no header with file, speaker and label, a line that does not fit it, an unknown
            label, no speaker, or a file that is there twice; with file and line.
    """
    (file,) = locate(path, ("meta.csv",), ("", "release_in_the_wild", "in_the_wild"))
    rows = []
    names = Names()
    people: dict[str, str] = {}
    header: list[str] | None = None
    for line, text in text_lines(file):
        values = _values(file, line, text)
        if header is None:
            header = [value.lower() for value in values]
            if sorted(header) != sorted(_HEADER):
                raise DataError(f"{file}, line {line}: expected the header {','.join(_HEADER)}, found {text.strip()!r}")
            continue
        if len(values) != len(header):
            raise DataError(
                f"{file}, line {line}: {len(values)} columns; expected {', '.join(header)}: {text.strip()!r}"
            )
        row = dict(zip(header, values, strict=True))
        name = names.take(file, line, row["file"])
        if not row["speaker"]:
            raise DataError(f"{file}, line {line}: no speaker; expected a name")
        rows.append(
            ProtocolRow(
                corpus=CORPUS,
                utterance=name,
                path=name,
                label=label(file, line, row["label"]),
                line=line,
                speaker=people.setdefault(row["speaker"], f"itw-{len(people) + 1:02d}"),
                subset="test",
            )
        )
    if not rows:
        raise DataError(f"{file} has no row; expected {','.join(_HEADER)} and one line a file")
    return rows


def _values(file: Path, line: int, text: str) -> list[str]:
    try:
        return [value.strip() for value in next(csv.reader([text], strict=True))]
    except csv.Error as error:
        raise DataError(f"{file}, line {line}: not CSV: {error}: {text.strip()!r}") from None
