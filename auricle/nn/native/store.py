"""Where compiled loops lie between runs: nothing is loaded that another user could have written or that is damaged.

The name of a library holds its checksum, and it is loaded through the very handle that was checked.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import hashlib
import logging
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from auricle.core.leftovers import part_path, sweep

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_log = logging.getLogger(__name__)


def load(folder: Path, key: str, build: Callable[[Path], bool]) -> ctypes.CDLL | None:
    """Load a library from a folder, built there if it is not there or cannot be trusted.

    A folder that belongs to somebody else, or that cannot be written, is left alone: the library is then built in a
    private folder for temporary files, for this process.

    Args:
        folder: of the user's cache; made for the user alone if it is not there.
        key: name of what is built: sources, compiler, processor.
        build: writes the library to a path; False where that failed.

    Raises:
        OSError: it was built and cannot be loaded.
    """
    if _private(folder):
        for path in sorted(folder.glob(f"{key}-*.so")):
            library = _loaded(path)
            if library is not None:
                return library
            _log.info("%s is damaged or not this user's; it is built again", path)
            with contextlib.suppress(OSError):
                path.unlink()
    if _private(folder) and os.access(folder, os.W_OK | os.X_OK):
        sweep(folder)
        place = folder
    else:
        _log.info("%s is not a folder that only this user can write to; the loops are built for this process", folder)
        place = Path(tempfile.mkdtemp(prefix="auricle-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    built = _built(place, key, build)
    if built is None:
        return None
    library = _loaded(built)
    if library is None:
        raise OSError(f"{built} changed as soon as it was written")
    return library


def _built(place: Path, key: str, build: Callable[[Path], bool]) -> Path | None:
    """Build in a folder of its own and move the whole file into place, under its checksum."""
    private = part_path(place / "build")
    private.mkdir(mode=0o700)
    try:
        part = private / "loops.so"
        if not build(part):
            return None
        part.chmod(0o600)
        path = place / f"{key}-{hashlib.sha256(part.read_bytes()).hexdigest()[:32]}.so"
        os.replace(part, path)
    finally:
        shutil.rmtree(private, ignore_errors=True)
    return path


def _loaded(path: Path) -> ctypes.CDLL | None:
    """Load a file if it is what its name says and only this user could have written it."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    state = os.fstat(handle)
    with open(handle, "rb", closefd=False) as content:
        trusted = (
            stat.S_ISREG(state.st_mode)
            and _ours(state)
            and not state.st_mode & _WRITABLE
            and hashlib.sha256(content.read()).hexdigest()[:32] == path.stem.rpartition("-")[2]
        )
    if not trusted:
        os.close(handle)
        return None
    # The path may have come to mean another file by now, the handle not. It stays open: the loader knows libraries by
    # their names, and another one must not come under this number.
    through = f"/proc/self/fd/{handle}"
    return ctypes.CDLL(through if sys.platform.startswith("linux") and os.path.exists(through) else str(path))


def _private(folder: Path) -> bool:
    """Make a folder that only this user can write to; False where it is not one."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode) or not _ours(state):
            return False
        if state.st_mode & _WRITABLE:
            folder.chmod(0o700)
    except OSError:
        return False
    return True


def _ours(state: os.stat_result) -> bool:
    """Say whether a file is this user's, or the superuser's, who may do anything anyway."""
    return state.st_uid in (os.geteuid(), 0)
