"""A file made of stretches of another one and of bytes of our own, without a copy: what a decoder should have got."""

from __future__ import annotations

import bisect
import io
import itertools
from collections.abc import Iterable, Sequence
from typing import BinaryIO

# A stretch of the file below from start to end, bytes of our own, or a number of zeros.
Piece = tuple[int, int] | bytes | int


def edited(size_bytes: int, edits: Iterable[tuple[int, bytes]]) -> tuple[Piece, ...]:
    """Describe a file with some bytes overwritten.

    Args:
        size_bytes: length of the file below.
        edits: positions and what stands there instead.
    """
    pieces: list[Piece] = []
    at = 0
    for position, data in sorted(edits):
        pieces += [(at, position), data]
        at = position + len(data)
    return (*pieces, (at, size_bytes))


class Spliced(io.RawIOBase):
    """The spliced file, for reading."""

    def __init__(self, below: BinaryIO, pieces: Sequence[Piece]) -> None:
        """Take the file below, which stays the caller's.

        Args:
            below: a file that can be positioned.
            pieces: what follows what.
        """
        super().__init__()
        self._below = below
        self._pieces = [piece for piece in pieces if _length(piece)]
        self._starts = [0, *itertools.accumulate(_length(piece) for piece in self._pieces)]
        self._at = 0

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it can be positioned: yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; see `io.IOBase.seek`.

        Args:
            offset: of the position, in bytes.
            whence: where it counts from, as `io.IOBase.seek` has it.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Give the position."""
        return self._at

    def readinto(self, buffer: memoryview | bytearray, /) -> int:  # type: ignore[override]
        """Fill a buffer from the position on, across the seams; see `io.RawIOBase.readinto`.

        Args:
            buffer: where to.
        """
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._at < self._starts[-1]:
            data = self._stretch(len(view) - filled)
            if not data:
                break
            view[filled : filled + len(data)] = data
            filled += len(data)
            self._at += len(data)
        return filled

    def _stretch(self, count: int) -> bytes:
        index = bisect.bisect_right(self._starts, self._at) - 1
        inside = self._at - self._starts[index]
        count = min(count, self._starts[index + 1] - self._at)
        piece = self._pieces[index]
        if isinstance(piece, int):
            return bytes(count)
        if isinstance(piece, bytes):
            return piece[inside : inside + count]
        self._below.seek(piece[0] + inside)
        return self._below.read(count)


def _length(piece: Piece) -> int:
    if isinstance(piece, tuple):
        return max(0, piece[1] - piece[0])
    return piece if isinstance(piece, int) else len(piece)
