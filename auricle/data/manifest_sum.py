"""The count and the checksum beside a manifest, ``NAME.jsonl.sha256``: plain Lhotse reads the manifest as ever.

The file has the form of ``sha256sum``, which checks it too, with the number of cuts in a comment.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from auricle.core.errors import DataError
from auricle.core.files import write_text
from auricle.core.lines import open_regular, text_lines, words

ENDING = ".sha256"


def write_sum(path: Path) -> None:
    """Write the count and the checksum of a manifest beside it."""
    count, found = _measured(path)
    write_text(_beside(path), f"# {count} cuts\n{found}  {path.name}\n")


def remove_sum(path: Path) -> None:
    """Remove the sum of a manifest, if it has one."""
    _beside(path).unlink(missing_ok=True)


def check_sum(path: Path) -> None:
    """Refuse a manifest that is not what was written; without a sum beside it nothing is known, and nothing said.

    Raises:
        DataError: it holds other cuts, or the sum itself is damaged.
    """
    beside = _beside(path)
    if not beside.is_file():
        return
    said = [words(line) for _, line in text_lines(beside)]
    if len(said) != 2 or len(said[0]) != 3 or len(said[1]) < 2:
        raise DataError(f"{beside} is damaged: expected the number of cuts and a SHA-256; make the manifest again")
    count, found = _measured(path)
    if found != said[1][0]:
        raise DataError(
            f"{path} is damaged, or has been changed since it was written: it holds {count} of {said[0][1]} cuts, and "
            f"its SHA-256 is not that of {beside.name}; make it again (auricle prepare, auricle manifest), or, if the "
            f"change is yours, delete {beside.name}"
        )


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ENDING)


def _measured(path: Path) -> tuple[int, str]:
    count, found = 0, hashlib.sha256()
    with open_regular(path) as handle:
        while part := handle.read(1 << 20):
            count += part.count(b"\n")
            found.update(part)
    return count, found.hexdigest()
