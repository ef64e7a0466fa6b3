"""Temporary files beside what they become: their names say who writes them, and those of the dead are cleared away."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from pathlib import Path

_PART = re.compile(r"\..*-part-(\d+)-([0-9a-f]{6})-[0-9a-f]{8}(\.[^.]*)?")
_NAME_BYTES = 255  # the longest name that common file systems take
_SUFFIX_BYTES = 32
_CLOCK_SLACK_S = 60.0  # the clock may be set while a process runs
_FOREIGN_S = 86_400.0  # whether a process of another machine lives cannot be asked; nobody writes a file for a day


def part_path(path: Path) -> Path:
    """Name a temporary file or folder beside `path`, hidden, with its suffix; nothing is made.

    Args:
        path: what it will become.
    """
    # the suffix decides the format for some writers; a longer one is part of a name
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= _SUFFIX_BYTES else ""
    end = f"-part-{os.getpid()}-{_machine()}-{secrets.token_hex(4)}{suffix}"
    stem = path.name.removesuffix(suffix)
    while len(os.fsencode(stem)) + len(os.fsencode(end)) >= _NAME_BYTES:
        stem = stem[:-1]
    return path.with_name(f".{stem}{end}")


def is_part(path: Path) -> bool:
    """Say whether a name is one that `part_path` gives.

    Args:
        path: a file or folder; it need not be there.
    """
    return _PART.fullmatch(path.name) is not None


def abandoned(path: Path) -> bool:
    """Say whether a temporary file or folder is one of a process that has ended.

    Args:
        path: of a name that `part_path` gave; any other is never abandoned.
    """
    found = _PART.fullmatch(path.name)
    if found is None:
        return False
    try:
        changed = path.lstat().st_mtime
    except OSError:
        return False
    if found[2] != _machine() or os.name != "posix":
        return time.time() - changed > _FOREIGN_S
    started = process_start(int(found[1]))
    # a later process may have been given the number of the dead one
    return started is None or changed + _CLOCK_SLACK_S < started


def sweep(folder: Path) -> int:
    """Delete the temporary files that ended processes have left in a folder and below it.

    Args:
        folder: of a run, say; it need not be there.

    Returns:
        How many were deleted.
    """
    count = 0
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if name.startswith(".") and abandoned(path := Path(parent, name)):
                # what cannot be deleted is in nobody's way
                with contextlib.suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                    count += 1
        folders[:] = [name for name in folders if _PART.fullmatch(name) is None]
    return count


def process_start(pid: int) -> float | None:
    """Say when a process of this machine was started, in seconds since 1970; None where there is no such process.

    Where the system does not tell the time, a living process was started at 0.

    Args:
        pid: its number.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass  # somebody else's
    try:
        # the name in brackets may hold anything
        ticks = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0.0
    return float(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


@functools.cache
def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]
