"""Tables of attack trials as files: NPZ, Parquet and CSV, read without ten million Python strings."""

from __future__ import annotations

import csv
import math
import zipfile
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.core.extras import require
from auricle.core.files import atomic_path
from auricle.core.lines import Limits, lines, parse_number
from auricle.metrics.audit import TEXT_COLUMNS, AttackTrials, Column

_NUMBERS = ("score", "detector")
_NEEDED = ("score", "kind", "target")
# what the attack-trial list and other tables call the same columns
_ALSO = {"target_spk": "target", "test_path": "test", "detector_score": "detector"}
_NAMES = "_names"
_LIMITS = Limits(line_bytes=1 << 16)


def read_trials(path: str | Path) -> AttackTrials:
    """Read scored attack trials.

    Columns as the attributes of `AttackTrials`; score, kind and target must be there, ``target_spk``, ``test_path``
    and ``detector_score`` are read as target, test and detector, and columns of other names are refused unless they
    end in ``_note``. NPZ: a text column ``kind`` is an array of text, or codes with the names in ``kind_names`` (small
    and fast; `write_trials` makes these). Parquet: text or dictionary columns. CSV: a header and commas.

    Args:
        path: a file that ends in .npz, .parquet or .csv.

    Returns:
        The trials in the file's order.

    Raises:
        DataError: no such file, another ending, a column that is missing or unknown, or what `AttackTrials` refuses;
            with the file, and for CSV the line.
        MissingExtra: Parquet without pyarrow.
    """
    path = Path(path)
    readers = {".npz": _read_npz, ".parquet": _read_parquet, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: tables of trials end in {', '.join(readers)}")
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a table of trials")
    columns = readers[path.suffix.lower()](path)
    try:
        return AttackTrials(**columns)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _known(path: Path, names: list[str]) -> dict[str, str]:
    """Map the columns of a file to those of the trials: own name -> name in the file."""
    found: dict[str, str] = {}
    for name in names:
        own = _ALSO.get(name, name)
        if name.endswith("_note"):
            continue
        if own not in (*TEXT_COLUMNS, *_NUMBERS):
            raise DataError(f"{path} has the column {name!r}; known are {', '.join((*_NUMBERS, *TEXT_COLUMNS))}")
        if own in found:
            raise DataError(f"{path} has both {found[own]!r} and {name!r}, which are the same column")
        found[own] = name
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names) or 'none'}")
    return found


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as held:
            coded = {name.removesuffix(_NAMES) for name in held.files if name.endswith(_NAMES)}
            found = _known(path, [name for name in held.files if not name.endswith(_NAMES)])
            columns: dict[str, Any] = {}
            for own, name in found.items():
                values = held[name]
                if own in _NUMBERS:
                    columns[own] = values
                elif name in coded:
                    columns[own] = Column(values, held[name + _NAMES].tolist())
                elif values.dtype.kind == "U":
                    columns[own] = Column.of(values)
                else:
                    raise DataError(f"{path}: column {name!r} is {values.dtype} without {name}{_NAMES}; expected text")
            return columns
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path} cannot be read as an NPZ of plain arrays: {error}") from None


def _read_parquet(path: Path) -> dict[str, Any]:
    arrow = require("pyarrow", "parquet", "reading Parquet")
    parquet = require("pyarrow.parquet", "parquet", "reading Parquet")
    try:
        names = parquet.read_schema(path).names
        found = _known(path, names)
        texts = [name for own, name in found.items() if own in TEXT_COLUMNS]
        # column by column: the peak is one column's, not the table's
        columns: dict[str, Any] = {}
        for own, name in found.items():
            table = parquet.read_table(path, columns=[name], read_dictionary=texts)
            columns[own] = _arrow_column(path, name, table.column(name), own in _NUMBERS)
        return columns
    except arrow.ArrowException as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from None


def _arrow_column(path: Path, name: str, column: Any, number: bool) -> npt.NDArray[Any] | Column:
    if column.null_count:
        raise DataError(f"{path}: {column.null_count} rows have no {name}; every row needs one")
    if number:
        return np.asarray(column.to_numpy())
    if not hasattr(column.type, "index_type"):
        raise DataError(f"{path}: column {name!r} is {column.type}; expected text")
    whole = column.unify_dictionaries().combine_chunks()
    chunk = whole.chunk(0) if hasattr(whole, "chunk") else whole
    return Column(np.asarray(chunk.indices), [str(value) for value in chunk.dictionary.to_pylist()])


def _read_csv(path: Path) -> dict[str, Any]:
    numbers: dict[str, array[float]] = {}
    codes: dict[str, array[int]] = {}
    names: dict[str, dict[str, int]] = {}
    rows = csv.reader((line + "\n" for line in lines(path, _LIMITS)), strict=True)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        place = {own: header.index(name) for own, name in _known(path, header).items()}
        for own in place:
            if own in _NUMBERS:
                numbers[own] = array("d")
            else:
                codes[own], names[own] = array("i"), {}
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(f"{path}, line {rows.line_num}: {len(row)} columns; expected {len(header)}")
            for own, at in place.items():
                if own in numbers:
                    numbers[own].append(_number(path, rows.line_num, own, row[at]))
                else:
                    codes[own].append(names[own].setdefault(row[at].strip(), len(names[own])))
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: not CSV: {error}") from None
    return {own: np.asarray(values) for own, values in numbers.items()} | {
        own: Column(np.asarray(values, dtype=np.int32), list(names[own])) for own, values in codes.items()
    }


def _number(path: Path, line: int, name: str, text: str) -> float:
    value = parse_number(text.strip())
    if math.isnan(value) and text.strip().lower() != "nan":
        raise DataError(f"{path}, line {line}: {name} {text!r}; expected a number")
    return value


def write_trials(path: str | Path, trials: AttackTrials) -> None:
    """Write attack trials as NPZ, text as codes and names, atomically.

    Args:
        path: a file that ends in .npz.
        trials: the trials.

    Raises:
        DataError: another ending.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path}: trials are written as .npz")
    arrays: dict[str, npt.NDArray[Any]] = {"score": trials.score}
    if trials.detector is not None:
        arrays["detector"] = trials.detector
    for name in TEXT_COLUMNS:
        column: Column | None = getattr(trials, name)
        if column is not None:
            arrays[name], arrays[name + _NAMES] = column.codes, np.asarray(column.names or ("",))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
