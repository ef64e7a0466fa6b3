"""Text files line by line: every list, key, score file, manifest and chat is read here, under one set of rules.

A line ends at LF, CRLF or CR and nowhere else: U+2028 is a character like any other. A byte order mark is left out, and
gzip is unpacked, whatever the name is. Refused, by name: what is no regular file (a pipe, a device), bytes that are
no UTF-8, a NUL byte, and more bytes in a line, in the file or more lines than the caller allows. So memory is bounded
by what is kept of each line, however long the file is.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from auricle.core.errors import DataError

_GZIP = b"\x1f\x8b"
_FOREIGN = (b"\xff\xfe", b"\xfe\xff")  # byte order marks of UTF-16
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = (",", "\t", ";")
_SPACES = re.compile(r"[ \t]+")


class Limits(NamedTuple):
    """What a text file may have: bytes in a line, lines, and bytes in all, unpacked."""

    line_bytes: int = 1 << 24
    lines: int = 20_000_000
    total_bytes: int = 1 << 33


# a JSON document may be one line
WHOLE = Limits(line_bytes=1 << 28, total_bytes=1 << 28)
# a line of a table is a name and a few words; with this a hostile score or key file takes some 2 GB at most
TABLE = Limits(line_bytes=1 << 16, lines=5_000_000, total_bytes=1 << 31)


@contextlib.contextmanager
def open_regular(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading bytes; nothing else is waited for or read.

    Args:
        path: the file.

    Raises:
        DataError: it is not there, or is a folder, a pipe, a device or a socket.
    """
    # non-blocking, or opening a pipe would wait for a writer
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{path} cannot be opened: {reason}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "a folder; give a file" if stat.S_ISDIR(mode) else "a pipe, a socket or a device; give a regular file"
        raise DataError(f"{path} is {what}")
    with open(descriptor, "rb") as handle:
        yield handle


def lines(path: str | Path, limits: Limits | None = None) -> Iterator[str]:
    """Give every line of a text file, without its end; see the head of this file.

    Args:
        path: the file, plain or gzip.
        limits: what it may have; those of `Limits` if not given.

    Raises:
        DataError: it is refused; the message has the line.
    """
    limits = limits or Limits()
    with open_regular(path) as handle:
        head = handle.read(2)
        handle.seek(0)
        if head in _FOREIGN:
            raise DataError(f"{path} is not text in UTF-8 but in UTF-16; save it as UTF-8")
        opened: IO[bytes] = gzip.GzipFile(fileobj=handle, mode="rb") if head == _GZIP else handle  # type: ignore[assignment]
        number = 0
        try:
            for part in _parts(path, opened, limits):
                number += 1
                if number > limits.lines:
                    raise DataError(f"{path} has more than {limits.lines} lines; split it")
                yield _text(path, number, part)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path}, after line {number}: the gzip file is damaged or cut off: {error}") from None
        except OSError as error:
            raise DataError(f"{path}, after line {number}: cannot be read: {error.strerror or error}") from None


def _parts(path: str | Path, handle: IO[bytes], limits: Limits) -> Iterator[bytes]:
    """Split at LF, CRLF and CR."""
    total, number = 0, 0
    while part := handle.readline(limits.line_bytes + 2):
        number += 1
        total += len(part)
        if total > limits.total_bytes:
            raise DataError(f"{path} has more than {limits.total_bytes >> 20} MiB of text; split it")
        whole = part.endswith(b"\n")
        part = part[:-1] if whole else part
        part = part[:-1] if part.endswith(b"\r") else part
        if len(part) > limits.line_bytes:
            raise DataError(f"{path}, line {number}: longer than {limits.line_bytes} bytes; this is no list of lines")
        if b"\r" in part:
            yield from part.split(b"\r")
        else:
            yield part


def _text(path: str | Path, number: int, part: bytes) -> str:
    if number == 1 and part.startswith(_BOM):
        part = part[len(_BOM) :]
    if b"\0" in part:
        raise DataError(f"{path}, line {number}: not text in UTF-8: a NUL byte (binary, or UTF-16); save it as UTF-8")
    try:
        return part.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {number}: not text in UTF-8: {error}") from None


def text_lines(path: str | Path, limits: Limits | None = None) -> Iterator[tuple[int, str]]:
    """Give the lines that hold something, with their numbers from 1.

    Args:
        path: the file, plain or gzip.
        limits: what it may have; those of `Limits` if not given.

    Raises:
        DataError: as `lines`.
    """
    for number, line in enumerate(lines(path, limits), 1):
        if line and not line.isspace():
            yield number, line


def words(line: str) -> list[str]:
    """Split a line at any run of spaces or tabs; other white space, such as U+2028 or U+00A0, belongs to a name.

    Args:
        line: without its end.
    """
    found = _SPACES.split(line)
    return [word for word in found if word]


def rows(path: str | Path, limits: Limits | None = None) -> Iterator[tuple[int, list[str]]]:
    """Give the number and the fields of every line of a table that holds something.

    CSV, TSV, apart by semicolons, or by white space: the first line decides which. A line of a TSV that has other
    columns than the first one is split at any white space, and so is a file that uses several tabs in a row.

    Args:
        path: the file.
        limits: what it may have; `TABLE` if not given.

    Raises:
        DataError: as `lines`, no line at all, or a line that is not CSV.
    """
    delimiter: str | None = None
    width = 0
    for number, line in text_lines(path, limits or TABLE):
        if not width:
            delimiter = next((mark for mark in _DELIMITERS if mark in line), None)
            if delimiter == "\t" and not all(field.strip() for field in line.split("\t")):
                delimiter = None
        found = _fields(path, number, line, delimiter)
        width = width or len(found)
        yield number, words(line) if delimiter == "\t" and len(found) != width else found
    if not width:
        raise DataError(f"{path} is empty; give one line per trial")


def _fields(path: str | Path, number: int, line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return words(line)
    if '"' not in line:
        return [field.strip() for field in line.split(delimiter)]
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        raise DataError(f"{path}, line {number}: not CSV: {error}") from None


def parse_number(text: str) -> float:
    """Read a number as files of scores have it: ASCII digits, a point, an exponent; NaN where it is none.

    Python's own `float` also takes ``1_0``, digits of other scripts and spaces, which are slips in a file of scores.

    Args:
        text: a column.
    """
    if not text.isascii() or "_" in text or text != text.strip():
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


def parse_json(text: str, where: str) -> Any:
    """Read JSON.

    Args:
        text: the JSON.
        where: file and line, for the message.

    Raises:
        DataError: it is not JSON, or nested beyond what can be read.
    """
    try:
        return json.loads(text)
    except ValueError as error:  # JSON's own, or a number of thousands of digits
        raise DataError(f"{where}: not JSON: {error}") from None
    except RecursionError:
        raise DataError(f"{where}: not JSON that can be read: it is nested too deeply") from None
