"""Ogg files: which codec is inside, and streams that were chained one after another.

Chaining is legal, and joining two files makes it too; decoders stop at the end of the first stream.
"""

from __future__ import annotations

from typing import BinaryIO

from auricle.audio.check import Warn, warning
from auricle.audio.layout import WINDOW, Layout, Part, bytes_at

_PAGE = 27  # bytes of a page before its table of segments
_FIRST = 2  # flag of a stream's first page
_CODECS = {b"\x01vorbis": "Vorbis", b"OpusHead": "Opus", b"\x7fFLAC": "FLAC", b"Speex   ": "Speex"}


def ogg_layout(handle: BinaryIO, size_bytes: int) -> Layout | None:
    """Look at an Ogg file.

    Args:
        handle: the file.
        size_bytes: its length.

    Returns:
        What it is; None for another kind of file.
    """
    head = bytes_at(handle, 0, 5)
    if head[:4] != b"OggS":
        return None
    begins, codecs = _streams(handle, size_bytes)
    names = {codec for link in codecs for codec in link}
    together = any(len(link) > 1 for link in codecs)
    if together or not names <= {"Vorbis", "Opus"}:
        kind = " and ".join(sorted(names - {""})) or "a foreign codec"
        return Layout(f"{kind} in Ogg", demuxer="ogg", media=True)
    if len(begins) < 2:
        return Layout("Ogg", plain=head[4] == 0, demuxer="ogg")
    text = f"{len(begins)} streams one after another; all are read"
    parts = tuple(Part(((a, b),)) for a, b in zip(begins, [*begins[1:], size_bytes], strict=True))
    return Layout("Ogg", parts=parts, exact=False, demuxer="ogg", warnings=(warning(Warn.STREAMS, text),))


def _streams(handle: BinaryIO, size_bytes: int) -> tuple[list[int], list[list[str]]]:
    """Walk the pages: where each link of the chain begins, and the codecs that run side by side in it."""
    begins: list[int] = []
    codecs: list[list[str]] = []
    window, data = 0, b""
    at, before_first = 0, False
    while at + _PAGE <= size_bytes:
        # a page is at most 65307 bytes long
        if at + 65_307 > window + len(data) < size_bytes:
            window, data = at, bytes_at(handle, at, min(WINDOW, size_bytes - at))
        inside = at - window
        if not data.startswith(b"OggS", inside):
            found = data.find(b"OggS", inside + 1)
            at = window + found if found >= 0 else max(at + 1, window + len(data) - 3)
            continue
        body = inside + _PAGE + data[inside + 26]
        first = data[inside + 5] & _FIRST
        if first:
            if not before_first:
                begins.append(at)
                codecs.append([])
            mark = data[body : body + 8]
            codecs[-1].append(next((name for key, name in _CODECS.items() if mark.startswith(key)), ""))
        before_first = bool(first)
        at = window + body + sum(data[inside + _PAGE : body])
    return begins, codecs
