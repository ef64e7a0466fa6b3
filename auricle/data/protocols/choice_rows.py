"""Rows of multiple-choice benchmarks in JSON, JSON lines or Parquet, their audio beside them or inside."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from auricle.core.errors import DataError
from auricle.core.extras import require
from auricle.core.files import atomic_path
from auricle.core.lines import WHOLE, parse_json, text_lines
from auricle.data.choices import ChoiceItem

SUFFIXES = (".json", ".jsonl", ".parquet")
_SHOWN = 20
_PARQUET_ROWS = 16  # at once: their audio is in memory
_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3"}


class Row(NamedTuple):
    """One row: its file, its number from 1, and its values."""

    file: Path
    number: int
    values: dict[str, Any]

    @property
    def where(self) -> str:
        """Say where it is, for messages."""
        return f"{self.file}, row {self.number}"


def files_of(given: Path, folders: Sequence[str] = ()) -> list[Path]:
    """Find the row files: the file that is given, or those in a folder or in the first of `folders` below it.

    Args:
        given: a file or the folder a benchmark is unpacked in.
        folders: where its rows may lie below, the likeliest first.

    Raises:
        DataError: nothing is there.
    """
    if given.is_file():
        return [given]
    if not given.is_dir():
        raise DataError(f"{given} does not exist; give a row file ({', '.join(SUFFIXES)}) or the folder of them")
    for place in (*(given / name for name in folders), given):
        found = sorted(path for path in place.glob("*") if path.suffix in SUFFIXES) if place.is_dir() else []
        if found:
            return found
    raise DataError(f"{given} holds no rows; looked for {', '.join(SUFFIXES)} in it and in {', '.join(folders) or '.'}")


def rows_of(file: Path) -> Iterator[Row]:
    """Read the rows of a file.

    Raises:
        DataError: another ending, a file that cannot be read, or a row that is no object.
        MissingExtra: Parquet without pyarrow.
    """
    readers = {".json": _json_rows, ".jsonl": _line_rows, ".parquet": _parquet_rows}
    if file.suffix not in readers:
        raise DataError(f"{file}: rows are read from {', '.join(SUFFIXES)}")
    for number, values in readers[file.suffix](file):
        if not isinstance(values, dict):
            raise DataError(f"{file}, row {number}: expected an object with named values")
        yield Row(file, number, values)


def _json_rows(file: Path) -> Iterator[tuple[int, Any]]:
    values = parse_json("\n".join(line for _, line in text_lines(file, WHOLE)), str(file))
    if not isinstance(values, list):
        raise DataError(f"{file}: expected a list of rows")
    yield from enumerate(values, 1)


def _line_rows(file: Path) -> Iterator[tuple[int, Any]]:
    for number, (line, text) in enumerate(text_lines(file), 1):
        yield number, parse_json(text, f"{file}, line {line}")


def _parquet_rows(file: Path) -> Iterator[tuple[int, Any]]:
    arrow = require("pyarrow", "parquet", "reading Parquet")
    parquet = require("pyarrow.parquet", "parquet", "reading Parquet")
    number = 0
    try:
        with parquet.ParquetFile(file) as opened:
            for part in opened.iter_batches(batch_size=_PARQUET_ROWS):
                for values in part.to_pylist():
                    number += 1
                    yield number, values
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read as Parquet: {error}") from None


def audio_of(value: Any, name: str, root: Path, unpack_to: Path | None) -> Path:
    """Find a row's audio file; audio inside the row is written to a folder once.

    Args:
        value: a path below `root`, or an object with ``bytes`` and ``path``, as Parquet files of datasets have it.
        name: of the file that is written, without ending.
        root: folder that paths are looked for in, with and without the folders they name.
        unpack_to: where audio inside rows is written.

    Raises:
        DataError: there is none, or it lies inside and there is no folder for it; the message has no place.
    """
    inside = value.get("bytes") if isinstance(value, dict) else None
    if inside:
        if unpack_to is None:
            raise DataError("its audio lies inside the row; say in unpack_to in which folder to write it")
        suffix = next((suffix for magic, suffix in _MAGIC.items() if inside.startswith(magic)), ".mp3")
        target = unpack_to / (re.sub(r"[^\w.-]+", "_", name) + suffix)  # an id may hold what a file's name cannot
        if not target.is_file() or target.stat().st_size != len(inside):
            with atomic_path(target) as part:
                part.write_bytes(inside)
        return target
    path = value.get("path") if isinstance(value, dict) else value
    if not isinstance(path, str) or not path:
        raise DataError("it names no audio")
    parts = [part for part in PurePosixPath(path.replace("\\", "/")).parts if part not in (".", "..", "/")]
    for start in range(len(parts)):
        place = root.joinpath(*parts[start:])
        if place.is_file():
            return place
    raise DataError(f"its audio {path} is not below {root}")


class Gathered:
    """The items of a benchmark as they are read, and every complaint about them."""

    def __init__(self, name: str) -> None:
        """Begin without items.

        Args:
            name: of the benchmark, for messages.
        """
        self.name = name
        self.items: list[ChoiceItem] = []
        self._seen: dict[str, str] = {}
        self._problems: list[str] = []

    @contextlib.contextmanager
    def row(self, row: Row) -> Iterator[None]:
        """Take a complaint in the block as one about a row."""
        try:
            yield
        except DataError as error:
            self._problems.append(f"{row.where}: {error}")

    def add(self, row: Row, item: ChoiceItem) -> None:
        """Take an item.

        Raises:
            DataError: its id was there before.
        """
        if item.id in self._seen:
            raise DataError(f"the id {item.id} is in {self._seen[item.id]} too")
        self._seen[item.id] = row.where
        self.items.append(item)

    def done(self) -> list[ChoiceItem]:
        """Give the items.

        Raises:
            DataError: there was a complaint, all of which it lists up to a number, or there are no items.
        """
        if self._problems:
            more = f"\n... and {len(self._problems) - _SHOWN} more" if len(self._problems) > _SHOWN else ""
            raise DataError(
                f"{len(self._problems)} row(s) of {self.name} cannot be used:\n"
                + "\n".join(self._problems[:_SHOWN])
                + more
            )
        if not self.items:
            raise DataError(f"there are no rows of {self.name}")
        return self.items


def text_of(values: dict[str, Any], *names: str) -> str:
    """Give the first of some values that is there, as text without space around it.

    Raises:
        DataError: none of them is there.
    """
    for name in names:
        if values.get(name) not in (None, ""):
            return str(values[name]).strip()
    raise DataError(f"it has no {' or '.join(names)}; it has {', '.join(sorted(values)) or 'nothing'}")
