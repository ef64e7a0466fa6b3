"""Requests from what a user gives: paths and folders, a file of them, lines on standard input."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from auricle.audio.check import shown
from auricle.audio.files import find_audio, left_out
from auricle.core.answers import Refused
from auricle.core.errors import AudioError, ConfigError, DataError
from auricle.core.lines import lines as lines_of
from auricle.core.names import Spec
from auricle.core.request import EMPTY, IMAGES, VIDEOS, Request, from_path, from_values, joined, need

Asked = Request | Refused
TABLES = {".csv": ",", ".tsv": "\t"}
_SHOWN = 5  # names in a message


def requests(
    spec: Spec,
    inputs: Iterable[str | Path | Asked],
    text: str | None = None,
    more: Mapping[str, Any] = EMPTY,
    unread: list[Path] | None = None,
) -> Iterator[Asked]:
    """Make one request of each input, in order; what a system cannot be asked is refused with its reason.

    Args:
        spec: of the system.
        inputs: files, folders of them, requests; what was refused before stays so.
        text: for every request that has none of its own.
        more: values for every request; its own win.
        unread: gets the files of folders that look like audio and are no request: see `audio.folders.left_out`.

    Raises:
        ConfigError: a path for a system that takes no file.
    """
    for given in inputs:
        for one in [given] if isinstance(given, Request | Refused) else _of_path(given, spec, unread):
            if isinstance(one, Refused):
                yield one
                continue
            (asked,) = joined([one], text, more)
            reason = need(asked, spec) or _missing(asked) or _odd(asked)
            yield asked if reason is None else Refused(asked.input or "request", reason)


def _of_path(path: str | Path, spec: Spec, unread: list[Path] | None) -> Iterator[Asked]:
    kinds = {take.field for take in spec.takes}
    if "audio" in kinds and not (os.path.isdir(path) and kinds & {"image", "video"}):
        if unread is not None:
            unread += left_out([path])
        try:
            for found in find_audio([path]):
                yield from_path(found, spec)
        except AudioError as error:
            yield Refused(str(path), str(error))
        return
    request = from_path(path, spec)
    if not os.path.isdir(path):
        yield request
        return
    wanted = (*(IMAGES if "image" in kinds else ()), *(VIDEOS if "video" in kinds else ()))
    inside = sorted(file for file in Path(path).rglob("*") if file.suffix.lower() in wanted and file.name[0] != ".")
    if not inside:
        yield Refused(
            str(path), f"{path}: nothing in this folder that '{spec.name}' takes; looked for {' '.join(wanted)}"
        )
    for file in inside:
        yield from_path(file, spec)


def _missing(request: Request) -> str | None:
    """Say which file of a request is not there; whether it can be used, the system finds out."""
    for path in request.files:
        if not os.path.exists(path):
            return f"{shown(path)} {'is a link that leads nowhere' if os.path.islink(path) else 'does not exist'}"
        if os.path.isdir(path):
            return f"{shown(path)} is a folder, and a request names a file"
    return None


def _odd(request: Request) -> str | None:
    """Say which value of a request could not stand in an answer, whose lines are JSON."""
    for key, value in request.more.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            return f"{key}={value!r} has a number that is none (NaN or infinity); give a finite one"
    return None


def told(unread: Sequence[Path]) -> str:
    """Say in one line which files of folders were left out.

    Args:
        unread: the files, as `requests` gives them.
    """
    more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
    return (
        f"{len(unread)} file(s) of the folders look like audio and were left out, as nothing here reads files of such "
        f"names in a folder: {', '.join(map(shown, unread[:_SHOWN]))}{more}; give a file by its name to try it"
    )


def read_requests(path: str | Path, spec: Spec) -> Iterator[Asked]:
    """Read a file of requests, plain or gzip; relative paths in it are relative to it.

    Args:
        path: JSON lines, one object a line, or a table (``.csv``, ``.tsv``, also with ``.gz`` behind it) whose columns
            are named after the fields.
        spec: of the system.

    Yields:
        A request a line; a line that is none is refused under the file's name and the line's number.

    Raises:
        DataError: the file cannot be read (see `auricle.core.lines`), or a column of the table is unknown.
    """
    path = Path(path)
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    try:
        if suffix.lower() in TABLES:
            yield from _rows((line + "\n" for line in lines_of(path)), path, TABLES[suffix.lower()], spec)
        else:
            yield from _objects(lines_of(path), str(path), spec, path.parent)
    except DataError as error:
        text = str(error)
        raise DataError(text if text.startswith("--requests") else f"--requests {text}") from None


def read_lines(lines: Iterable[str], spec: Spec) -> Iterator[str | Asked]:
    """Read paths, or requests as JSON lines, from standard input; a line that begins with ``{`` is a request."""
    for number, line in enumerate(lines, 1):
        text = line.strip(" \t\r\n")  # other white space may be part of a name
        if text.startswith("{"):
            yield from _objects([text], f"standard input, line {number}", spec, Path(), numbered=False)
        elif text:
            yield text


def _objects(lines: Iterable[str], name: str, spec: Spec, folder: Path, numbered: bool = True) -> Iterator[Asked]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}" if numbered else name
        try:
            values = json.loads(line)
        except ValueError as error:  # JSON's own, or a number of thousands of digits
            yield Refused(where, f"not a JSON object: {error}")
            continue
        except RecursionError:
            yield Refused(where, "not a JSON object: it is nested too deeply")
            continue
        if not isinstance(values, dict):
            yield Refused(where, f"not a JSON object but {type(values).__name__}")
            continue
        yield _of_values(values, where, spec, folder)


def _rows(lines: Iterable[str], path: Path, delimiter: str, spec: Spec) -> Iterator[Asked]:
    table = csv.DictReader(lines, delimiter=delimiter)
    try:
        columns = [str(name).strip() for name in table.fieldnames or ()]
    except csv.Error as error:
        raise DataError(f"{path}, line 1: not a table: {error}") from None
    table.fieldnames = columns
    _known_columns(columns, path, spec)
    while True:
        begins = table.line_num + 1
        try:
            values = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            yield Refused(f"{path}, line {begins}", f"not a row of a table: {error}")
            continue
        where = f"{path}, line {table.line_num}"
        if None in values:
            yield Refused(where, f"more cells than the {len(columns)} columns that the first line names")
            continue
        plain = {key: value.strip() if isinstance(value, str) else value for key, value in values.items()}
        yield _of_values(plain, where, spec, path.parent)


def _known_columns(columns: list[str], path: Path, spec: Spec) -> None:
    known = {*Request.__dataclass_fields__, *(more.key for more in spec.more)} - {"more"}
    unknown = [name for name in columns if name not in known]
    if unknown or not columns:
        named = f"no column {', '.join(map(repr, unknown))}" if unknown else "an empty table"
        raise DataError(f"--requests {path}: '{spec.name}' knows {named}; columns can be {', '.join(sorted(known))}")


def _of_values(values: Mapping[str, Any], where: str, spec: Spec, folder: Path) -> Asked:
    try:
        return from_values(values, spec, folder)
    except DataError as error:
        return Refused(where, str(error))


def asked(
    spec: Spec,
    inputs: Iterable[str],
    file: Path | None = None,
    text: str | None = None,
    more: Mapping[str, Any] = EMPTY,
    standard_input: Iterable[str] = (),
    unread: list[Path] | None = None,
) -> Iterator[Asked]:
    """Put together what a command line asks: paths, ``-``, a file of requests, one text for all of them or alone.

    Args:
        spec: of the system.
        inputs: paths; ``-`` stands for the lines of `standard_input`.
        file: of requests.
        text: for all; without anything else it is one request.
        more: values for all.
        standard_input: lines.
        unread: as in `requests`.

    Raises:
        ConfigError: nothing was asked, or a text for a system that takes none.
        DataError: as `read_requests`.
    """
    given = list(inputs)
    takes = {take.field for take in spec.takes}
    if text is not None and "text" not in takes:
        raise ConfigError(f"'{spec.name}' takes no text; leave out --text")
    if not given and file is None and text is None:
        raise ConfigError("nothing was asked; give files, folders, - for standard input, --text or --requests FILE")

    def every() -> Iterator[str | Path | Asked]:
        for one in given:
            if one == "-":
                yield from read_lines(standard_input, spec)
            else:
                yield one
        if file is not None:
            yield from read_requests(file, spec)
        if not given and file is None:
            yield Request(text=text)

    return requests(spec, every(), text, more, unread)
