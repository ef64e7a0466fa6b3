"""FLAC files: whether STREAMINFO's count of samples is that of the last frame, and files that were joined.

A program that writes into a pipe leaves the count open (0), which the format allows.
"""

from __future__ import annotations

from typing import BinaryIO

from auricle.audio.check import Warn, warning
from auricle.audio.layout import WINDOW, Layout, Part, bytes_at, tag_before
from auricle.audio.spliced import edited

_MAX_BLOCKS = 4096
_TAILS = (1 << 15, 1 << 18)  # bytes before the end in which the last frame is looked for
_BEGINS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # STREAMINFO, alone or not


def flac_layout(handle: BinaryIO, size_bytes: int) -> Layout | None:
    """Look at a FLAC file.

    Args:
        handle: the file.
        size_bytes: its length.

    Returns:
        What it is; None for another kind of file.
    """
    start = tag_before(handle)
    head = bytes_at(handle, start, 42)
    if head[:4] != b"fLaC":
        return None
    if len(head) < 42 or not head.startswith(_BEGINS):
        return Layout("FLAC", demuxer="flac")
    fixed = int.from_bytes(head[8:10], "big")
    packed = int.from_bytes(head[18:26], "big")
    said, channels = packed & (1 << 36) - 1, (packed >> 41 & 7) + 1
    plain = _blocks_fit(handle, start, size_bytes)
    if said == 0:
        return Layout("FLAC", plain=plain, exact=False, demuxer="flac")
    end = _last_sample(handle, start, size_bytes, fixed, channels)
    if end is None or end == said:
        return Layout("FLAC", plain=plain, demuxer="flac")
    parts = _joined(handle, start, size_bytes)
    if len(parts) > 1:
        text = f"{len(parts)} FLAC files one after another in one; all are read"
        return Layout("FLAC", parts=parts, exact=False, demuxer="flac", warnings=(warning(Warn.STREAMS, text),))
    if end < said:  # a cut, which the decoder tells
        return Layout("FLAC", plain=plain, exact=False, demuxer="flac")
    text = f"the header claims {said} samples, {end} are there"
    open_length = (packed >> 36 << 36).to_bytes(8, "big")
    pieces = edited(size_bytes, [(start + 18, open_length)])
    return Layout("FLAC", parts=(Part(pieces),), exact=False, demuxer="flac", warnings=(warning(Warn.LENGTH, text),))


def _blocks_fit(handle: BinaryIO, start: int, size_bytes: int) -> bool:
    at = start + 4
    for _ in range(_MAX_BLOCKS):
        head = bytes_at(handle, at, 4)
        at += 4 + int.from_bytes(head[1:], "big")
        if len(head) < 4 or at > size_bytes:
            return False
        if head[0] & 0x80:
            return True
    return False


def _last_sample(handle: BinaryIO, start: int, size_bytes: int, fixed: int, channels: int) -> int | None:
    """Give the number of samples up to the end of the last frame; None if no frame is found there."""
    for tail in _TAILS:
        begin = max(start, size_bytes - tail)
        data = bytes_at(handle, begin, size_bytes - begin)
        at = len(data)
        while (at := data.rfind(b"\xff", 0, at)) >= 0:
            if data[at + 1 : at + 2] in (b"\xf8", b"\xf9"):
                end = _frame_end(data[at : at + 16], fixed, channels)
                if end is not None:
                    return end
        if begin == start:
            break
    return None


def _frame_end(head: bytes, fixed: int, channels: int) -> int | None:
    """Give the number of samples up to the end of the frame that begins here; None if it is no frame."""
    if len(head) < 7 or head[3] & 1 or (head[3] >> 4 if head[3] >> 4 < 8 else 1) + 1 != channels:
        return None
    block_code, rate_code = head[2] >> 4, head[2] & 15
    coded = _number(head[4:11])
    if coded is None or block_code == 0 or rate_code == 15:
        return None
    number, at = coded[0], 4 + coded[1]
    block = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}}.get(block_code, 1 << block_code)
    if block_code in (6, 7):
        block = int.from_bytes(head[at : at + block_code - 5], "big") + 1
        at += block_code - 5
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    return (number if head[1] & 1 else number * fixed) + block


def _number(data: bytes) -> tuple[int, int] | None:
    """Read a number written as UTF-8 writes characters, and how many bytes it takes."""
    first = data[0]
    if first < 0x80:
        return first, 1
    length = 8 - (first ^ 0xFF).bit_length()
    if not 2 <= length <= 7 or len(data) < length:
        return None
    value = first & 0x7F >> length
    for byte in data[1:length]:
        if byte >> 6 != 2:
            return None
        value = value << 6 | byte & 0x3F
    return value, length


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 & 0xFF ^ (7 if crc & 0x80 else 0)
    return crc


def _joined(handle: BinaryIO, start: int, size_bytes: int) -> tuple[Part, ...]:
    """Cut the file where a further FLAC file begins."""
    begins = [0]
    for window in range(start + 4, size_bytes, WINDOW):
        data = bytes_at(handle, window, WINDOW + len(_BEGINS[0]) - 1)
        at = -1
        while (at := data.find(b"fLaC", at + 1)) >= 0:
            if data.startswith(_BEGINS, at):
                begins.append(window + at)
    return tuple(Part(((a, b),)) for a, b in zip(begins, [*begins[1:], size_bytes], strict=True))
