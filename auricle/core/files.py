"""Files that are either whole or not there: atomic writes, JSON and JSON lines; and what a disk refuses."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from auricle.core.errors import DataError
from auricle.core.leftovers import part_path
from auricle.core.lines import open_regular, parse_json, text_lines

MAX_JSON_BYTES = 1 << 28
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_TOO_MUCH = _NO_ROOM | {errno.EFBIG}
_GROWTH_BYTES = 1 << 18
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_OF_THE_SYSTEM = {
    errno.EFBIG,
    errno.EIO,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENFILE,
    errno.ENODEV,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ESTALE,
    errno.ENOENT,
    errno.EEXIST,
}


def disk_fault(error: OSError) -> str | None:
    """Say in a sentence what the file system refused and what to do; None for an error of another kind.

    Args:
        error: as the operating system gave it.
    """
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else "a file"
    if error.errno in _NO_ROOM:
        return (
            f"the disk is full: {where} could not be written ({error.strerror}). Make room and start the same command "
            "again; what was written before is untouched"
        )
    if error.errno in _NOT_ALLOWED:
        return f"{where} cannot be used ({error.strerror}); change its rights, or choose another place"
    if error.errno in _OF_THE_SYSTEM and error.filename is not None:
        return f"{where} cannot be used ({error.strerror})"
    return None


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that replaces it when the block ends well.

    The data is flushed to disk before the rename, so a crash leaves either the old file or the new one.
    An error inside the block removes the temporary file and leaves `path` as it was.

    Raises:
        OSError: the disk is full, whatever the writer in the block made of it; it names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = part_path(path)
    try:
        # the system applies the umask, which only one thread at a time could ask for
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)  # some writers put a private file in its place
        os.replace(temporary, path)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            if error.filename == str(temporary) or (error.filename is None and error.errno in _TOO_MUCH):
                error.filename = str(path)  # the name that the reader of the message knows
            raise
        # some writers have words of their own for a full disk ("System error"), and callers take those for bad data
        reason = _no_room(temporary)
        if reason is not None:
            raise OSError(reason, os.strerror(reason), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _no_room(path: Path) -> int | None:
    """Try whether a file can grow; give the number of the error if it is for want of room."""
    try:
        with open(path, "ab") as out:
            out.write(bytes(_GROWTH_BYTES))
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        return error.errno if error.errno in _TOO_MUCH else None
    return None


def digest(value: Any) -> str:
    """Name plain values by their content: twelve hexadecimal digits, the same wherever the values are."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


def json_text(value: Any, indent: int | None = None, ascii_only: bool = False) -> str:
    """Give `value` as JSON that can be written in UTF-8, whatever bytes a file's name in it had.

    Bytes of a name that are no UTF-8 (lone surrogates, for Python) are written as escapes, which `json.loads` gives
    back as they were.

    Args:
        value: plain JSON values.
        indent: spaces a level; None puts all on one line.
        ascii_only: write every character beyond ASCII as an escape.

    Raises:
        ValueError: NaN or infinity, which are no JSON.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False)
    return text


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, in UTF-8; bytes of a name that are none are shown as escapes."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN is refused: it is not JSON."""
    write_text(path, json_text(value, indent=2) + "\n")


def write_jsonl(path: str | Path, rows: Iterable[Any]) -> None:
    """Write one JSON object per line, atomically."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json_text(row) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing, not a regular one, larger than `MAX_JSON_BYTES`, or not JSON.
    """
    with open_regular(path) as content:
        data = content.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise DataError(f"{path} has more than {MAX_JSON_BYTES} bytes; no JSON file of Auricle has")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    return parse_json(text, str(path))


def read_jsonl(path: str | Path) -> Iterator[Any]:
    """Read JSON lines one at a time, plain or gzip; blank lines are skipped.

    Raises:
        DataError: the file is missing or refused (see `auricle.core.lines`), or a line is not JSON; the message has
            the line's number.
    """
    for number, line in text_lines(path):
        yield parse_json(line, f"{path}, line {number}")
