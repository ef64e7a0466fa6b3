"""Containers made of chunks (WAV, RF64, W64, AIFF, CAF), AU and NIST: their chunks walked, their lengths mended.

A recorder that is killed, and a program that writes into a pipe, leave lengths that were never written. The samples
then go on to the end of the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from auricle.audio.check import MIN_DURATION_S, Warn, warning
from auricle.audio.layout import Layout, Part, bytes_at
from auricle.audio.spliced import edited
from auricle.core.errors import AudioError

# What libsndfile decodes without an own state machine: PCM, float, A-law, mu-law.
_PLAIN_CODINGS = (1, 3, 6, 7)
_MAX_CHUNKS = 4096
# A size from here on is a negative number to some decoders, which then step back and go round for ever.
_BACKWARDS = 1 << 31
_UNKNOWN = 0xFFFFFFFF
_W64_TAIL = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


@dataclass(frozen=True)
class _Form:
    """How a container writes its chunks.

    Attributes:
        kind: its name.
        demuxer: FFmpeg's.
        first: position of the first chunk.
        name_bytes: length of a chunk's name.
        size: struct format of its length.
        align: chunks begin at multiples of this.
        data: name of the chunk with the samples.
        before: bytes in that chunk before the samples.
        whole: position of the length of the whole, if it has one.
    """

    kind: str
    demuxer: str
    first: int
    name_bytes: int
    size: str
    align: int
    data: bytes
    before: int = 0
    whole: int | None = 4

    @property
    def head(self) -> int:
        """Bytes of a chunk before its body."""
        return self.name_bytes + struct.calcsize(self.size)

    @property
    def inclusive(self) -> bool:
        """Whether a length counts the chunk's own head."""
        return self.kind == "W64"


_WAV = _Form("WAV", "wav", 12, 4, "<I", 2, b"data")
_RIFX = _Form("RIFX", "wav", 12, 4, ">I", 2, b"data")
_RF64 = _Form("RF64", "wav", 12, 4, "<I", 2, b"data", whole=None)
_AIFF = _Form("AIFF", "aiff", 12, 4, ">I", 2, b"SSND", before=8)
_CAF = _Form("CAF", "caf", 8, 4, ">q", 1, b"data", before=4, whole=None)
_W64 = _Form("W64", "w64", 40, 16, "<Q", 8, b"data" + _W64_TAIL, whole=16)


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    start: int  # of its name
    body: int
    said: int  # length of the body in its head


def chunked_layout(handle: BinaryIO, size_bytes: int) -> Layout | None:
    """Look at a chunked container, an AU or a NIST file.

    Args:
        handle: the file.
        size_bytes: its length.

    Returns:
        What it is; None for another kind of file.

    Raises:
        AudioError: a chunk is so long that decoders may take its length for a negative one.
    """
    head = bytes_at(handle, 0, 40)
    if head[:4] == b".snd":
        return _au(head, size_bytes)
    if head[:8] == b"NIST_1A\n":
        return _nist(handle, size_bytes)
    form = _form_of(head)
    if form is None:
        return None
    if form is _AIFF and head[8:12] not in (b"AIFF", b"AIFC"):
        for chunk in _chunks(handle, form):
            if chunk.said >= _BACKWARDS:
                text = f"the chunk at byte {chunk.start} claims {chunk.said} bytes; the header is damaged"
                raise AudioError(text)
        return Layout(kind="IFF")
    return _walked(handle, form, size_bytes)


def _form_of(head: bytes) -> _Form | None:
    if head[8:12] == b"WAVE":
        return {b"RIFF": _WAV, b"RIFX": _RIFX, b"RF64": _RF64, b"BW64": _RF64}.get(head[:4])
    if head[:4] == b"FORM":
        return _AIFF
    if head[:4] == b"caff":
        return _CAF
    return _W64 if head[:4] == b"riff" and head[24:28] == b"wave" else None


def _walked(handle: BinaryIO, form: _Form, size_bytes: int) -> Layout:
    chunks: dict[bytes, _Chunk] = {}
    sane = True
    for chunk in _chunks(handle, form):
        chunks.setdefault(chunk.name, chunk)
        if chunk.name == b"LIST":
            sane = _list_is_sane(handle, form, chunk) and sane and chunk.body + chunk.said <= size_bytes
        elif chunk.name != form.data and chunk.body + chunk.said > size_bytes:
            sane = False
    data = chunks.get(form.data)
    if data is None:
        return Layout(kind=form.kind, demuxer=form.demuxer)
    coding, second, block = _coding(handle, form, chunks)
    found = _lengths(handle, form, chunks, data, size_bytes, round(MIN_DURATION_S * second * block))
    plain = form is _WAV and sane and coding in _PLAIN_CODINGS and found is None
    return found or Layout(kind=form.kind, demuxer=form.demuxer, plain=plain)


def _chunks(handle: BinaryIO, form: _Form, first: int | None = None) -> Iterator[_Chunk]:
    at = form.first if first is None else first
    for _ in range(_MAX_CHUNKS):
        head = bytes_at(handle, at, form.head)
        if len(head) < form.head:
            return
        name = head[: form.name_bytes]
        (said,) = struct.unpack(form.size, head[form.name_bytes :])
        said -= form.head if form.inclusive else 0
        yield _Chunk(name, at, at + form.head, said)
        if said < 0:
            return
        at += form.head + said
        at += -at % form.align


def _list_is_sane(handle: BinaryIO, form: _Form, chunk: _Chunk) -> bool:
    at, end = chunk.body + 4, chunk.body + chunk.said
    for _ in range(_MAX_CHUNKS):
        head = bytes_at(handle, at, 8)
        if at + 8 > end or len(head) < 8:
            return True
        (said,) = struct.unpack(form.size, head[4:])
        if said >= _BACKWARDS:
            raise AudioError(f"the list at byte {chunk.start} holds a chunk of {said} bytes; the header is damaged")
        at += 8 + said + said % 2
        if at > end + 1:
            return False
    return False


def _coding(handle: BinaryIO, form: _Form, chunks: dict[bytes, _Chunk]) -> tuple[int, int, int]:
    """Give WAV's number of the coding, samples in a second, and bytes in a sample of all channels (0 unknown)."""
    if form is _AIFF and b"COMM" in chunks:
        body = bytes_at(handle, chunks[b"COMM"].body, 18)
        if len(body) < 18:
            return 0, 0, 0
        channels, _, bits, exponent, mantissa = struct.unpack(">hIhHQ", body)
        rate = mantissa * 2.0 ** (min(exponent, 0x400E) - 16383 - 63)
        return 0, round(min(rate, 1e6)), max(0, channels) * (max(0, bits) + 7) // 8
    if form is _CAF and b"desc" in chunks:
        body = bytes_at(handle, chunks[b"desc"].body, 32)
        if len(body) < 32:
            return 0, 0, 0
        rate, packet = struct.unpack(">d", body[:8])[0], struct.unpack(">I", body[16:20])[0]
        return 0, round(rate) if 0 < rate < 1e6 else 0, packet
    name = next((key for key in chunks if key[:4] == b"fmt "), None)
    body = bytes_at(handle, chunks[name].body, 26) if name else b""
    if len(body) < 16:
        return 0, 0, 0
    order = form.size[0]
    coding, _, rate, _, block = struct.unpack(f"{order}HHIIH", body[:14])
    if coding == 0xFFFE and len(body) == 26:
        (coding,) = struct.unpack(f"{order}H", body[24:26])
    return coding, min(rate, 10**6), block


def _lengths(
    handle: BinaryIO, form: _Form, chunks: dict[bytes, _Chunk], data: _Chunk, size_bytes: int, tenth: int
) -> Layout | None:
    """Mend the length of the samples; None where it is right, or longer than the file (decoders cut it)."""
    said = _said(handle, form, chunks, data)
    body = data.body + form.before
    there = size_bytes - body
    if form is _CAF and said == -1 - form.before:  # the format's own way to leave it open
        return _to_the_end(form, chunks, data, size_bytes, ())
    if said > there and form in (_RF64, _W64, _AIFF, _CAF):
        text = f"the header claims {said} bytes of samples, {there} are there"
        unknown = said == _UNKNOWN or said > 1 << 62
        return _to_the_end(form, chunks, data, size_bytes, () if unknown else (warning(Warn.TRUNCATED, text),))
    if form is _WAV and 0 < said < there and (parts := _joined(handle, body + said, size_bytes)):
        text = f"{len(parts)} WAV files one after another in one; all are read"
        return Layout("WAV", parts=parts, exact=False, demuxer="wav", warnings=(warning(Warn.STREAMS, text),))
    if said >= there or _ends_in_chunks(handle, form, body + max(said, 0), size_bytes):
        return None
    if said > 0 and there - said < max(tenth, 1):
        return None
    text = f"the header claims {said} bytes of samples, {there} are there"
    if said <= 0:
        text = f"the length was never written; {there} bytes of samples are there"
    return _to_the_end(form, chunks, data, size_bytes, (warning(Warn.LENGTH, text),))


def _joined(handle: BinaryIO, end: int, size_bytes: int) -> tuple[Part, ...]:
    """Find whole WAV files behind the first one; empty without any."""
    parts: list[Part] = []
    at = 0
    while end < size_bytes:
        head = next((head for pad in (0, 1) if (head := bytes_at(handle, end + pad, 12))[:4] == b"RIFF"), b"")
        if head[8:] != b"WAVE":
            break
        parts.append(Part(((at, end),)))
        at = end + (bytes_at(handle, end, 1) != b"R")
        end = at + 8 + struct.unpack("<I", head[4:8])[0]
    return (*parts, Part(((at, size_bytes),))) if parts else ()


def _said(handle: BinaryIO, form: _Form, chunks: dict[bytes, _Chunk], data: _Chunk) -> int:
    if form is _RF64 and data.said == _UNKNOWN and b"ds64" in chunks:
        sizes = bytes_at(handle, chunks[b"ds64"].body, 16)
        return int.from_bytes(sizes[8:16], "little")
    return data.said - form.before


def _ends_in_chunks(handle: BinaryIO, form: _Form, at: int, size_bytes: int) -> bool:
    """Whether what follows the samples is nothing but chunks, or less than a chunk's head."""
    for start in {at, at + -at % form.align}:
        end, named = start, True
        for chunk in _chunks(handle, form, start):
            named = chunk.said >= 0 and all(0x20 <= byte < 0x7F for byte in chunk.name[:4])
            end = chunk.body + chunk.said
            if not named or end > size_bytes:
                break
        if named and end <= size_bytes and size_bytes - end < form.head:
            return True
    return False


def _to_the_end(
    form: _Form, chunks: dict[bytes, _Chunk], data: _Chunk, size_bytes: int, warnings: tuple[str, ...]
) -> Layout:
    body_bytes = size_bytes - data.body
    big = body_bytes >= _UNKNOWN and struct.calcsize(form.size) == 4
    length = _UNKNOWN if big else body_bytes + (form.head if form.inclusive else 0)
    edits = [(data.start + form.name_bytes, struct.pack(form.size, length))]
    if form is _W64:
        edits.append((16, struct.pack("<Q", size_bytes)))
    elif form.whole is not None:
        edits.append((form.whole, struct.pack(form.size, _UNKNOWN if big else size_bytes - 8)))
    if form is _RF64 and b"ds64" in chunks:
        edits.append((chunks[b"ds64"].body, struct.pack("<QQ", size_bytes - 8, body_bytes)))
    return Layout(form.kind, parts=(Part(edited(size_bytes, edits)),), demuxer=form.demuxer, warnings=warnings)


def _au(head: bytes, size_bytes: int) -> Layout:
    if len(head) < 24:
        return Layout("AU")
    start, said = struct.unpack(">II", head[4:12])
    if said or size_bytes <= start:
        return Layout("AU", demuxer="au")
    text = f"the length was never written; {size_bytes - start} bytes of samples are there"
    edits = [(8, struct.pack(">I", min(size_bytes - start, _UNKNOWN)))]
    return Layout("AU", parts=(Part(edited(size_bytes, edits)),), demuxer="au", warnings=(warning(Warn.LENGTH, text),))


def _nist(handle: BinaryIO, size_bytes: int) -> Layout:
    head = bytes_at(handle, 0, 1024)
    fields = {name: int(value) for name, value in re.findall(rb"^(\w+) -i (\d{1,15})\s*$", head, re.MULTILINE)}
    there = size_bytes - (int(head[8:16]) if head[8:16].strip().isdigit() else 1024)
    said = fields.get(b"sample_count", 0) * fields.get(b"sample_n_bytes", 0) * fields.get(b"channel_count", 1)
    if said <= there or b"embedded-" in head:
        return Layout("NIST", demuxer="nistsphere")
    text = f"the header claims {said} bytes of samples, {there} are there"
    return Layout("NIST", demuxer="nistsphere", warnings=(warning(Warn.TRUNCATED, text),))
