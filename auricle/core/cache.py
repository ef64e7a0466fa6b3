"""Results kept by content: what a file holds and what made the result decide, never a name or a date."""

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
from auricle.core.files import json_text


def cache_folder() -> Path:
    """Give the user's cache folder: ``$AURICLE_CACHE``, else ``$XDG_CACHE_HOME/auricle``, else ``~/.cache/auricle``."""
    own, shared = os.environ.get("AURICLE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    found = Path(own).expanduser() if own else Path(shared).expanduser() / "auricle" if shared else None
    return (found or Path.home() / ".cache" / "auricle").resolve()


def content_key(path: str | Path) -> str:
    """Name a file by its bytes and its suffix, which decides how headerless codings are read.

    Args:
        path: the file.

    Returns:
        64 hexadecimal digits.

    Raises:
        DataError: the file cannot be read, or is not a regular one.
    """
    digest = hashlib.sha256(Path(path).suffix.lower().encode() + b"\0")
    try:
        # a pipe would be waited for, and a device has no end
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path} is not a regular file")
        with open(path, "rb") as content:
            while piece := content.read(1 << 20):
                digest.update(piece)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path} cannot be read: {reason}") from None
    return digest.hexdigest()


def combined_key(parts: Iterable[str | bytes]) -> str:
    """Name several texts or contents together, in their order; 64 hexadecimal digits.

    Args:
        parts: texts or contents; where one ends and the next begins counts.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


class ResultCache:
    """JSON results in one append-only file per maker; killed at any moment it loses the line being written, at most.

    Several processes may use one file at a time: a line is appended whole or not at all.
    """

    def __init__(self, folder: str | Path, maker: str) -> None:
        """Open the results of one maker, such as a checkpoint.

        Args:
            folder: made if it is not there; many makers share it.
            maker: hexadecimal key of what makes the results.

        Raises:
            DataError: the folder cannot be written to.
        """
        self.file = Path(folder) / f"{maker[:32]}.jsonl"
        self._known: dict[str, Any] = {}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._out = open(self.file, "ab", buffering=0)  # noqa: SIM115
            with _alone(self._out.fileno()):
                text = self.file.read_bytes()
                if text and not text.endswith(b"\n"):
                    self._append(b"\n")  # a torn line stays one line
        except OSError as error:
            raise DataError(f"the cache {folder} cannot be used: {error.strerror}; choose another folder") from None
        for line in text.split(b"\n"):
            try:
                row = json.loads(line)
                self._known[row["key"]] = row["value"]
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # torn by a kill: that result is made again

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Any | None:
        """Give a result, or None.

        Args:
            key: its name, as from `combined_key`.
        """
        return self._known.get(key)

    def put(self, key: str, value: Any) -> None:
        """Keep a result; it is in the file when this returns.

        Args:
            key: its name, as from `combined_key`.
            value: plain JSON values.

        Raises:
            OSError: the disk is full; nothing was added.
        """
        line = json_text({"key": key, "value": value}) + "\n"
        with _alone(self._out.fileno()):
            self._append(line.encode())
        self._known[key] = value

    def close(self) -> None:
        """Close the file."""
        self._out.close()

    def _append(self, data: bytes) -> None:
        """Write the whole of `data` at the end, or nothing."""
        before = os.fstat(self._out.fileno()).st_size
        try:
            if self._out.write(data) < len(data):  # the disk took a part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._out.fileno(), before)
            error.filename = str(self.file)
            raise


@contextlib.contextmanager
def _alone(handle: int) -> Iterator[None]:
    """Keep other processes from appending while the block runs, where the file system has locks."""
    try:
        import fcntl
    except ImportError:  # Windows: a line is still one write
        yield
        return
    with contextlib.suppress(OSError):  # no locks there: as above
        fcntl.lockf(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.lockf(handle, fcntl.LOCK_UN)
