"""Who writes: locks that the operating system lets go of when their process dies, however that happens."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auricle.core.errors import DataError
from auricle.core.leftovers import process_start

FOLDER_LOCK = ".lock"  # inside a folder that one process at a time writes to
_REFUSED = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
# file systems without locks, such as some network ones
_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass
class _Held:
    handle: int
    thread: int
    depth: int = 1


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


def beside(path: str | Path) -> Path:
    """Give the place of the lock of a single file: hidden, in the file's folder.

    Args:
        path: a file that one process at a time writes, such as a table of answers.
    """
    path = Path(path)
    stem = path.name
    while len(os.fsencode(stem)) > 240:  # names of 255 bytes are the longest there are
        stem = stem[:-1]
    return path.with_name(f".{stem}.lock")


@contextlib.contextmanager
def only_writer(lock: Path, what: str) -> Iterator[None]:
    """Be the only one that writes something while the block runs; nobody is waited for.

    The lock is a file that holds the number of its process. It is deleted afterwards; where a process was killed it
    stays and locks nothing. The same thread may take a lock again inside the block.

    Args:
        lock: the file, as from `beside`, or `FOLDER_LOCK` in a folder; its folder is made if need be.
        what: what is written, as the start of a sentence: "the run runs/mambo".

    Raises:
        DataError: another process or thread writes it; the message names the process.
        OSError: the lock cannot be made: the disk is full or read-only.
    """
    key = Path(os.path.abspath(lock))
    with _guard:
        mine = _held.get(key)
        if mine is None:
            mine = _held[key] = _Held(_take(key, what), threading.get_ident())
        elif mine.thread == threading.get_ident():
            mine.depth += 1
        else:
            raise DataError(f"{what} is being written by another thread of this process; wait for it")
    try:
        yield
    finally:
        with _guard:
            mine.depth -= 1
            if mine.depth == 0:
                del _held[key]
                _let_go(key, mine.handle)


def _take(lock: Path, what: str) -> int:
    """Lock a file; give its handle."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            if not _locked(handle):
                raise DataError(
                    f"{what} is being written by {_holder(handle)}; wait for it or end it, or write to another place"
                )
            if _still_there(lock, handle):
                # a number that a full disk has no room for is only missed in a message
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, 0)
                    os.lseek(handle, 0, os.SEEK_SET)
                    os.write(handle, f"{os.getpid()} {platform.node()}\n".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its owner deleted it between our opening and our locking


def _let_go(lock: Path, handle: int) -> None:
    with contextlib.suppress(OSError):  # Windows deletes no open file: there it stays, and locks nothing
        lock.unlink()
    os.close(handle)


def _locked(handle: int) -> bool:
    """Try to lock an open file for this process; no child inherits the lock."""
    try:
        import fcntl
    except ImportError:
        return _locked_on_windows(handle)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _REFUSED:
            return False
        if error.errno in _WITHOUT_LOCKS:
            return _holder_is_gone(handle)
        raise
    return True


def _locked_on_windows(handle: int) -> bool:
    import msvcrt

    os.lseek(handle, 1 << 30, os.SEEK_SET)  # beyond the number, which others shall be able to read
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    return True


def _holder_is_gone(handle: int) -> bool:
    """Ask the number in the file, where the file system knows no locks: all but two starts at one moment are told."""
    pid, host = _said(handle)
    return pid is None or (host == platform.node() and (pid == os.getpid() or process_start(pid) is None))


def _holder(handle: int) -> str:
    pid, host = _said(handle)
    if pid is None:
        return "another process"
    return f"process {pid}" if host in (None, platform.node()) else f"process {pid} on {host}"


def _said(handle: int) -> tuple[int | None, str | None]:
    os.lseek(handle, 0, os.SEEK_SET)
    number, _, host = os.read(handle, 300).decode(errors="replace").strip().partition(" ")
    return (int(number), host or None) if number.isascii() and number.isdecimal() else (None, None)


def _still_there(lock: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(lock), os.fstat(handle))
    except FileNotFoundError:
        return False


def _forget() -> None:
    """A forked child holds none of its parent's locks."""
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
