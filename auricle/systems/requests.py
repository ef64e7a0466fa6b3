"""Requests from what a user gives: paths and folders, a file of them, lines on standard input."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from auricle.audio.files import find_audio
from auricle.core.answers import Refused
from auricle.core.errors import AudioError, ConfigError, DataError
from auricle.core.names import Spec
from auricle.core.request import EMPTY, IMAGES, VIDEOS, Request, from_path, from_values, joined, need

Asked = Request | Refused
TABLES = {".csv": ",", ".tsv": "\t"}


def requests(
    spec: Spec, inputs: Iterable[str | Path | Asked], text: str | None = None, more: Mapping[str, Any] = EMPTY
) -> Iterator[Asked]:
    """Make one request of each input, in order; what a system cannot be asked is refused with its reason.

    Args:
        spec: of the system.
        inputs: files, folders of them, requests; what was refused before stays so.
        text: for every request that has none of its own.
        more: values for every request; its own win.

    Raises:
        ConfigError: a path for a system that takes no file.
    """
    for given in inputs:
        for one in [given] if isinstance(given, Request | Refused) else _of_path(given, spec):
            if isinstance(one, Refused):
                yield one
                continue
            (asked,) = joined([one], text, more)
            reason = need(asked, spec) or _missing(asked)
            yield asked if reason is None else Refused(asked.input or "request", reason)


def _of_path(path: str | Path, spec: Spec) -> Iterator[Asked]:
    kinds = {take.field for take in spec.takes}
    if "audio" in kinds and not (os.path.isdir(path) and kinds & {"image", "video"}):
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
            return f"{path} {'is a link that leads nowhere' if os.path.islink(path) else 'does not exist'}"
        if os.path.isdir(path):
            return f"{path} is a folder, and a request names a file"
    return None


def read_requests(path: str | Path, spec: Spec) -> Iterator[Asked]:
    """Read a file of requests; relative paths in it are relative to it.

    Args:
        path: JSON lines, one object a line, or a table (``.csv``, ``.tsv``) whose columns are named after the fields.
        spec: of the system.

    Yields:
        A request a line; a line that is none is refused under the file's name and the line's number.

    Raises:
        DataError: the file cannot be read, is not text in UTF-8, or a column of the table is unknown.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise DataError(f"--requests {path} {'is not a file' if path.exists() else 'does not exist'}")
        with open(path, encoding="utf-8-sig", newline="") as lines:
            if path.suffix.lower() in TABLES:
                yield from _rows(lines, path, spec)
            else:
                yield from _objects(lines, str(path), spec, path.parent)
    except UnicodeDecodeError as error:
        raise DataError(f"--requests {path} is not text in UTF-8: {error}") from None
    except OSError as error:
        raise DataError(f"--requests {path} cannot be read: {error.strerror}") from None


def read_lines(lines: Iterable[str], spec: Spec) -> Iterator[str | Asked]:
    """Read paths, or requests as JSON lines, from standard input; a line that begins with ``{`` is a request."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
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
        except json.JSONDecodeError as error:
            yield Refused(where, f"not a JSON object: {error}")
            continue
        if not isinstance(values, dict):
            yield Refused(where, f"not a JSON object but {type(values).__name__}")
            continue
        yield _of_values(values, where, spec, folder)


def _rows(lines: Iterable[str], path: Path, spec: Spec) -> Iterator[Asked]:
    table = csv.DictReader(lines, delimiter=TABLES[path.suffix.lower()])
    columns = [str(name).strip() for name in table.fieldnames or ()]
    table.fieldnames = columns
    _known_columns(columns, path, spec)
    for values in table:
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
) -> Iterator[Asked]:
    """Put together what a command line asks: paths, ``-``, a file of requests, one text for all of them or alone.

    Args:
        spec: of the system.
        inputs: paths; ``-`` stands for the lines of `standard_input`.
        file: of requests.
        text: for all; without anything else it is one request.
        more: values for all.
        standard_input: lines.

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

    return requests(spec, every(), text, more)
