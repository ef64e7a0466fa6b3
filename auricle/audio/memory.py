"""Bytes in memory that a library can open as a file, by its descriptor."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO


@contextlib.contextmanager
def memory_file(data: bytes = b"") -> Iterator[BinaryIO]:
    """Give an unnamed file, for reading and writing, that is gone afterwards.

    It lies in memory where the system can do that (Linux), otherwise in the folder for temporary files.

    Args:
        data: what it holds at first; the position is 0.
    """
    # unbuffered, so that the position of the file is that of its descriptor
    with _opened() as handle:
        rest = memoryview(data)
        while rest:
            rest = rest[handle.write(rest) :]
        handle.seek(0)
        yield handle


def _opened() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("auricle"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
