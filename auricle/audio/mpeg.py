"""MPEG audio (MP3, MP2, MP1): how many frames there are, for a decoder that would guess it from the first one.

Without an index (the Xing or Info frame) the length is an estimate: of a stream of variable bit rate whole seconds are
lost. So the frames are walked, and the decoder gets a file for which its estimate is enough.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from auricle.audio.check import Warn, warning
from auricle.audio.layout import WINDOW, Layout, Part, bytes_at, id3_length, tag_before

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
# kbit/s by (version 1?, layer)
_BITS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SEARCH = 1 << 16  # bytes in which the first frame is looked for
_INDEX_SLACK = 4096  # bytes by which an index may be off: tags behind the last frame
_LEAST_BYTES = 24  # of a frame
_MARKS = (b"Xing", b"Info")


@dataclass(frozen=True)
class _Frame:
    length: int  # bytes
    samples: int
    kind: tuple[int, int, int]  # version, layer, rate in Hz
    index_at: int  # where an index would stand in it


@dataclass
class _Stream:
    """Frames that belong together.

    Attributes:
        begin: position of its first byte, tags and index included.
        end: position behind its last frame.
        audio: position of the first frame that is no index.
        frames: number of frames, without the index.
        samples: in each of them.
        kind: version, layer and rate of its frames; None before the first one.
        index: position of the index's count of frames, if it has one.
        said: that count.
    """

    begin: int
    end: int = 0
    audio: int = 0
    frames: int = 0
    samples: int = 0
    kind: tuple[int, int, int] | None = None
    index: int | None = None
    said: int = 0


def mpeg_layout(handle: BinaryIO, size_bytes: int) -> Layout | None:
    """Look at a stream of MPEG audio.

    Args:
        handle: the file.
        size_bytes: its length.

    Returns:
        What it is; None for another kind of file.
    """
    found = _first_frame(handle, tag_before(handle), size_bytes)
    if found is None:
        return None
    start, frame = found
    said = _index(bytes_at(handle, start, 256), frame)
    off = abs(size_bytes - start - said[1]) if said and said[1] else 0
    if said and said[1] and off <= min(_INDEX_SLACK, said[1] // 100) and said[0] * _LEAST_BYTES <= size_bytes:
        return Layout("MP3", plain=True, demuxer="mp3")
    streams = list(_streams(handle, start, size_bytes))
    if not streams:
        return Layout("MP3", demuxer="mp3")
    if len(streams) > 1:
        kinds = {stream.kind for stream in streams}
        text = f"{len(streams)} streams one after another; all are read"
        if len(kinds) > 1:
            text = f"{len(streams)} streams of different form one after another; those like the first are read"
        parts = tuple(_mended(handle, stream) for stream in streams)
        return Layout("MP3", parts=parts, exact=False, demuxer="mp3", warnings=(warning(Warn.STREAMS, text),))
    (stream,) = streams
    if stream.index is None:
        parts = (_mended(handle, stream),)
        return Layout("MP3", plain=True, parts=parts, demuxer="mp3")
    if stream.said == stream.frames:
        # libmpg123 complains on standard error of an index whose bytes are off by more than a hundredth
        return Layout("MP3", plain=100 * off < size_bytes, demuxer="mp3")
    if stream.said > stream.frames:  # a cut, which the decoder tells, and complains about on standard error
        return Layout("MP3", exact=False, demuxer="mp3")
    text = f"the index claims {stream.said} frames, {stream.frames} are there"
    parts = (_mended(handle, stream),)
    return Layout("MP3", parts=parts, demuxer="mp3", warnings=(warning(Warn.LENGTH, text),))


def _frame(head: bytes) -> _Frame | None:
    """Read a frame's head; None if four bytes are none, or the frame's length is not in it (free format)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3 or head[3] & 3 == 2:
        return None
    rate_hz, kbit = _RATES[version][rate], _BITS[version == 3, layer][bits - 1]
    samples = 384 if layer == 1 else 1152 if layer == 2 or version == 3 else 576
    padding = head[2] >> 1 & 1
    length = 4 * (12_000 * kbit // rate_hz + padding) if layer == 1 else samples * 125 * kbit // rate_hz + padding
    mono = head[3] >> 6 == 3
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return _Frame(length, samples, (version, layer, rate_hz), 4 + side + (0 if head[1] & 1 else 2))


def _first_frame(handle: BinaryIO, start: int, size_bytes: int) -> tuple[int, _Frame] | None:
    """Find the first frame that another one like it follows, and its place."""
    frame = _frame(bytes_at(handle, start, 4))
    if frame and _followed(handle, start, frame, 1, size_bytes):
        return start, frame
    data = bytes_at(handle, start, min(_SEARCH, size_bytes - start))
    at = 0
    while (at := data.find(b"\xff", at + 1)) >= 0:
        frame = _frame(data[at : at + 4])
        # a few bytes may look like a frame by chance: behind foreign bytes four in a row are asked for
        likely = 1 if start or not data[:at].strip(b"\0") else 4
        if frame and _followed(handle, start + at, frame, likely, size_bytes):
            return start + at, frame
    return None


def _followed(handle: BinaryIO, at: int, frame: _Frame, times: int, size_bytes: int) -> bool:
    kind = frame.kind
    for _ in range(times):
        at += frame.length
        if at >= size_bytes:
            return times == 1
        after = _frame(bytes_at(handle, at, 4))
        if after is None or after.kind != kind:
            return False
        frame = after
    return True


def _index(head: bytes, frame: _Frame) -> tuple[int, int] | None:
    """Read an index, Xing's or Info: frames and bytes (0 if it has none); None if the frame is no index."""
    if frame.kind[1] != 3 or head[frame.index_at : frame.index_at + 4] not in _MARKS:
        return None
    flags, frames, size = struct.unpack(">III", head[frame.index_at + 4 : frame.index_at + 16].ljust(12, b"\0"))
    if not flags & 1:
        return None
    return frames, size if flags & 2 else 0


def _streams(handle: BinaryIO, start: int, size_bytes: int) -> Iterator[_Stream]:
    """Walk all frames; a tag, an index or another form of frames in the middle begins a new stream."""
    stream = _Stream(start)
    known: dict[bytes, _Frame | None] = {}
    window, data, at = 0, b"", start
    while at + 4 <= size_bytes:
        if at + 4096 > window + len(data) < size_bytes:
            window, data = at, bytes_at(handle, at, min(WINDOW, size_bytes - at))
        inside = at - window
        head = data[inside : inside + 4]
        if head not in known:
            known[head] = _frame(head)
        frame = known[head]
        if frame is None or at + frame.length > size_bytes:
            found = _resync(data, inside, stream)
            tag = id3_length(data[inside : inside + 10])
            if stream.frames and tag:
                yield stream
                stream = _Stream(at + tag)
            at = at + tag if tag else window + found
            continue
        index = _index(data[inside : inside + 256], frame) if data.startswith(_MARKS, inside + frame.index_at) else None
        if stream.frames and (index or frame.kind != stream.kind):
            yield stream
            stream = _Stream(at)
        if index and not stream.frames:
            stream.index, stream.said = at + frame.index_at + 8, index[0]
            stream.audio = at + frame.length
        else:
            if stream.kind is None:
                stream.kind, stream.audio, stream.samples = frame.kind, at, frame.samples
            stream.frames += 1
        at += frame.length
        stream.end = at
    if stream.frames:
        yield stream


def _resync(data: bytes, inside: int, stream: _Stream) -> int:
    """Find the next frame like those before it, or a tag; gives the place in `data`."""
    at = inside
    while (at := data.find(b"\xff", at + 1)) >= 0:
        frame = _frame(data[at : at + 4])
        if frame and stream.kind in (None, frame.kind):
            after = _frame(data[at + frame.length : at + frame.length + 4])
            if (after and after.kind == frame.kind) or at + frame.length >= len(data):
                break
    tag = data.find(b"ID3", inside + 1, at if at >= 0 else len(data))
    found = [place for place in (at, tag) if place > inside]
    return min(found) if found else max(inside + 1, len(data) - 3)


def _mended(handle: BinaryIO, stream: _Stream) -> Part:
    """Give a stream whose length a decoder will not get wrong."""
    if stream.index is None:
        # the decoder divides the bytes of the file by those of the first frame: zeros behind the last frame make that
        # enough, and the count of frames says where to stop
        first = _frame(bytes_at(handle, stream.audio, 4))
        size = stream.end - stream.audio
        zeros = 2 * stream.frames * first.length if first else size
        return Part(((stream.audio, stream.end), zeros), stream.frames * stream.samples)
    if stream.said == stream.frames:
        return Part(((stream.begin, stream.end),))
    count = struct.pack(">I", stream.frames)
    return Part(((stream.begin, stream.index), count, (stream.index + 4, stream.end)))
