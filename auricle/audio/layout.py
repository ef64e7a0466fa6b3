"""What a file's bytes say about it before any decoder sees them: its kind, its length, and whether it can be trusted.

`layout_of` knows the containers (`chunks`, `flac`, `mpeg`, `ogg`, `media`) and mends what their headers leave open or
have wrong: it gives the stretches of the file that a decoder should get.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from auricle.audio.spliced import Piece

WINDOW = 1 << 20  # bytes that a walk through a file holds at once


@dataclass(frozen=True)
class Part:
    """One stream of a file.

    Attributes:
        pieces: of the file, as a decoder should get them.
        frames: samples per channel, where they are known better than the decoder tells.
    """

    pieces: tuple[Piece, ...]
    frames: int | None = None


@dataclass(frozen=True)
class Layout:
    """What the bytes say.

    Attributes:
        kind: the container, such as ``WAV``, for messages.
        plain: of a common kind and sane: a decoder may have it in this process.
        parts: the streams one after another; empty for the file as it is.
        exact: the length that a decoder will tell from the header is the length of the samples.
        demuxer: FFmpeg's reader for it, where there is one.
        media: only FFmpeg reads it.
        warnings: what is odd about it.
    """

    kind: str = "file"
    plain: bool = False
    parts: tuple[Part, ...] = ()
    exact: bool = True
    demuxer: str | None = None
    media: bool = False
    warnings: tuple[str, ...] = ()


def bytes_at(handle: BinaryIO, position: int, count: int) -> bytes:
    """Read at most `count` bytes from `position` on; none where no file reaches.

    Args:
        handle: an open file.
        position: byte to begin at.
        count: bytes at most.
    """
    try:
        handle.seek(position)
    except (OSError, ValueError, OverflowError):
        return b""
    return handle.read(count)


def tag_before(handle: BinaryIO) -> int:
    """Give the length of an ID3v2 tag at the beginning; 0 without one.

    Args:
        handle: an open file.
    """
    return id3_length(bytes_at(handle, 0, 10))


def id3_length(head: bytes) -> int:
    """Give the length of the ID3v2 tag that 10 bytes begin; 0 if they begin none.

    Args:
        head: at least 10 bytes.
    """
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 0x7F:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    # a footer repeats the ten bytes of the header
    return size + (20 if head[5] & 0x10 else 10)
