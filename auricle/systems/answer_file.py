"""Answers in a file: line by line, so that a killed call goes on and repeats nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.audio.check import shown
from auricle.core.errors import ConfigError, DataError
from auricle.core.files import json_text, read_json, write_json
from auricle.core.locks import beside, only_writer
from auricle.core.request import Request
from auricle.core.run import seed_zero
from auricle.systems.engines import Row, named
from auricle.systems.inference import answers, fingerprint
from auricle.systems.requests import Asked


@dataclass
class Written:
    """What `write_answers` did: rows in the file, how many of them stood there before, how many are errors."""

    rows: int = 0
    before: int = 0
    errors: int = 0


def write_answers(run: str | Path, inputs: Iterable[str | Path | Asked], out: str | Path, **settings: Any) -> Written:
    """Write the answers to a file, line by line; after a kill the same call goes on and repeats nothing.

    A request whose file was changed after the answers were last written is answered again. Beside `out` stands
    ``OUT.run.json``, which names the checkpoint. One process at a time writes `out`.

    Args:
        run: as in `answers`.
        inputs: as in `answers`.
        out: the file of JSON lines.
        **settings: `engine`, `workers`, `cache` and `out_dir` of `answers`.

    Returns:
        Counts.

    Raises:
        ConfigError: `out` holds answers of another checkpoint, or as `answers`.
        DataError: `out` is there and is not a file of answers, or another process writes it.
    """
    out = Path(out)
    if os.path.lexists(out) and not os.path.isfile(out):
        what = "a folder, a pipe, a device or a link that leads nowhere"
        raise DataError(f"--out {shown(out)} is {what}; give the name of a file")
    maker = fingerprint(seed_zero(run).absolute())
    with only_writer(beside(out), f"the file of answers {shown(out)}"):
        return _written(run, inputs, out, maker, settings)


def _written(
    run: str | Path, inputs: Iterable[str | Path | Asked], out: Path, maker: str, settings: Mapping[str, Any]
) -> Written:
    side = Path(f"{out}.run.json")
    rows, ends = _earlier(out, side, maker)
    stamp = out.stat().st_mtime_ns if rows else 0
    earlier = {_name(row): row for row in rows}
    write_json(side, {"checkpoint": maker})
    count = Written()

    def known(request: Request) -> Row | None:
        row = earlier.get(_name(named(request)))
        if row is None or any(os.stat(file).st_mtime_ns > stamp for file in request.files):
            return None
        count.before += 1
        return row

    with open(out, "ab", buffering=0) as target:
        target.truncate(ends[-1] if ends else 0)  # a line torn by a kill
        for row in answers(run, inputs, known=known, **settings):
            place, count.rows = count.rows, count.rows + 1
            count.errors += "error" in row
            if place < len(rows) and row == rows[place]:
                continue  # it stands there
            if place < len(rows):
                # the inputs are others than before: from here on the file is written anew, and what it held reused
                target.truncate(ends[place - 1] if place else 0)
                del rows[place:]
            target.write((json_text(row) + "\n").encode())
        if count.rows < len(rows):
            target.truncate(ends[count.rows - 1] if count.rows else 0)
    return count


def _name(row: Row) -> str:
    """Name the whole request that a row answers."""
    return json.dumps([row["input"], row.get("request")], sort_keys=True)


def _earlier(out: Path, side: Path, maker: str) -> tuple[list[Row], list[int]]:
    """Read the whole lines of an earlier call, and the byte after each; a line torn by a kill is left out."""
    if not out.exists():
        return [], []
    found = read_json(side).get("checkpoint") if side.is_file() else None
    if found != maker:
        what = "of another checkpoint or version" if found else f"that nothing is known about ({side} is missing)"
        raise ConfigError(f"{out} holds answers {what}; give another --out, or remove it")
    rows: list[Row] = []
    ends: list[int] = []
    at = 0
    for line in out.read_bytes().splitlines(keepends=True):
        at += len(line)
        if not line.endswith(b"\n"):
            break
        try:
            row = json.loads(line)
            rows.append({"input": row["input"], **row})
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(f"{out}, line {len(rows) + 1}: not an answer; give another --out, or remove it") from None
        ends.append(at)
    return rows, ends
