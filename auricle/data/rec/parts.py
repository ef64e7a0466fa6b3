"""The work of one process: a part of a package becomes FLAC files and rows; a part that is done is not done again."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.errors import AudioError, DataError
from auricle.core.files import read_jsonl, write_jsonl
from auricle.core.processes import start_worker
from auricle.data.rec.packages import Source
from auricle.data.rec.recording import Recording, convert
from auricle.data.rec.unpacked import open_unpacked


@dataclass(frozen=True)
class Part:
    """Every `count`-th recording of a package, from `index` on.

    Attributes:
        source: the package.
        versions: version of the package and of its helpers, in order.
        corpus: the corpus folder.
        index: which part.
        count: of how many.
        marker: file with the part's rows; it is there when the part is done.
    """

    source: Source
    versions: tuple[str, ...]
    corpus: Path
    index: int
    count: int
    marker: Path


def work_folder(corpus: Path) -> Path:
    """Give the folder of downloads, unpacked packages and markers; it goes when the corpus is complete."""
    return corpus / "work"


@functools.lru_cache(maxsize=1)
def _recordings(source: Source, versions: tuple[str, ...], corpus: Path) -> list[Recording]:
    from auricle.data.rec.recipes import RECIPES

    root = work_folder(corpus) / "unpacked"
    package, *helps = [
        open_unpacked(name, version, root / name)
        for name, version in zip((source.package, *source.helps), versions, strict=True)
    ]
    found = list(RECIPES[source.recipe](source, package, {item.name: item for item in helps}))
    if not found:
        raise DataError(f"{package.name} {package.version} holds no recording that is known; it is another version")
    return found


def do_part(part: Part) -> int:
    """Convert the recordings of a part and write its marker.

    Returns:
        How many became clips. The others stand in the marker, each with the reason.
    """
    rows: list[dict[str, Any]] = []
    for recording in _recordings(part.source, part.versions, part.corpus)[part.index :: part.count]:
        try:
            if not recording.licence:
                raise DataError("the package's copyright file names no licence for it")
            rows.append(convert(recording, part.source.package, part.versions[0], part.corpus))
        except (AudioError, DataError) as error:
            rows.append({"left_out": recording.id, "source_path": recording.source_path, "reason": str(error)})
    write_jsonl(part.marker, rows)
    return sum("left_out" not in row for row in rows)


def files_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Give path and checksum of the files of a clip's row."""
    named = [(row["path"], row["sha256"]), (row["original"], row["original_sha256"])]
    return [(path, sha256) for path, sha256 in named if path]


def damaged(corpus: Path, rows: list[dict[str, Any]]) -> list[str]:
    """Name the files of these rows that are missing or not as they were written."""
    problems = []
    for row in rows:
        for path, sha256 in files_of(row):
            file = corpus / path
            if not file.is_file():
                problems.append(f"{path} is missing")
            elif hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
                problems.append(f"{path} has changed")
    return problems


def part_rows(part: Part) -> list[dict[str, Any]] | None:
    """Give the rows of a part that is done, and None where it is not, or its files are not whole any more."""
    if not part.marker.is_file():
        return None
    rows = list(read_jsonl(part.marker))
    return None if damaged(part.corpus, [row for row in rows if "left_out" not in row]) else rows


def start_converter(log: str, parent: int) -> None:
    """Prepare a converting process: a good child (`core.processes.start_worker`) whose decoders write to a file.

    Args:
        log: file for the standard error; the MP3 decoder complains there about each damaged frame.
        parent: number of the process that starts it.
    """
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(target, 2)
    os.close(target)
    start_worker(parent)
