"""Opening audio files: only regular files, decoded in pieces, headers never trusted."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from auricle.audio.check import CHUNK_FRAMES, Float, Warn, check_header, shown, warning
from auricle.core.errors import AudioError

# What a folder is searched for. A file that is named itself is opened whatever its suffix: the bytes decide.
SUFFIXES = (
    ".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64",
    ".rf64", ".sph", ".nist", ".voc", ".ircam", ".mp1", ".mp2", ".g722", ".gsm",
)  # fmt: skip
G722_RATE_HZ = 16_000
G722_BIT_RATE = 64_000
GSM_RATE_HZ = 8_000
GSM_FRAME_BYTES = 33
# The upper half of the first byte of every GSM 06.10 frame.
GSM_MARK = 0xD
# Raw G.722 has no header. Real speech and music stay below 7.4 bits a byte and white noise at 7.8, while
# compressed or random bytes come close to 8 (estimate of Miller and Madow).
G722_MAX_ENTROPY_BITS = 7.85
G722_ENTROPY_MIN_BYTES = 1024
_FOREIGN_MAGIC = (
    b"RIFF", b"RF64", b"OggS", b"fLaC", b"ID3", b"FORM", b".snd", b"caff", b"\x89PNG", b"\xff\xd8\xff", b"GIF8",
    b"PK\x03\x04", b"\x1f\x8b", b"%PDF", b"\x7fELF", b"BZh", b"\xfd7zXZ", b"SQLite format", b"MZ",
)  # fmt: skip
_SHORTER = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
# What a program that writes WAV into a pipe puts for a length it cannot know.
_UNKNOWN_LENGTH = 0xFFFFFFFF
_OGG_CUT = ("ended unexpectedly", "lacks an end-of-stream")


class Source(Protocol):
    """An open audio file: what its header says, and its samples in pieces."""

    rate_hz: int
    channels: int
    frames: int
    format: str
    warnings: list[str]

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[Float]:
        """Give the samples from frame `start` on, at most `count`, as (C, T) arrays; once for each opening."""
        ...

    def close(self) -> None:
        """Free the decoder."""
        ...


class SndfileSource:
    """A file that libsndfile decodes."""

    def __init__(self, handle: soundfile.SoundFile) -> None:
        """Take over an open SoundFile."""
        self._file = handle
        self.rate_hz = int(handle.samplerate)
        self.channels = int(handle.channels)
        self.frames = int(handle.frames)
        self.format = f"{handle.format}/{handle.subtype}"
        self.warnings: list[str] = []
        self._read_header_notes()

    def _read_header_notes(self) -> None:
        notes = self._file.extra_info
        shorter = [(int(said), int(found)) for said, found in _SHORTER.findall(notes)]
        cut = [
            f"the header claims {said} bytes of samples, {found} are there"
            for said, found in shorter
            if found < said != _UNKNOWN_LENGTH
        ]
        if self._file.format == "OGG" and any(mark in notes for mark in _OGG_CUT):
            cut.append("the Ogg stream has no end")
        self.warnings += [warning(Warn.TRUNCATED, text) for text in cut[:1]]

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[Float]:
        """Give the samples from frame `start` on, at most `count`, as (C, T) arrays.

        A decoder that fails halfway ends the stream there, with a warning.

        Raises:
            AudioError: the file cannot be positioned at `start`.
        """
        self._go_to(start)
        wanted = self.frames - start if count is None else min(count, self.frames - start)
        given = 0
        while given < wanted:
            piece, problem = self._next(min(CHUNK_FRAMES, wanted - given))
            if len(piece):
                given += len(piece)
                yield np.ascontiguousarray(piece.T)
            if problem or not len(piece):
                break
        # an MPEG stream without an index has an estimated length: one frame of slack
        if given < wanted - (1152 if self._file.format == "MP3" else 0):
            said, found = (start + wanted) / self.rate_hz, (start + given) / self.rate_hz
            text = f"samples end at {found:.3f} s, the header promised {said:.3f} s"
            if not any(item.startswith(Warn.TRUNCATED) for item in self.warnings):
                self.warnings.append(warning(Warn.TRUNCATED, text))

    def _go_to(self, start: int) -> None:
        if start == 0:
            # every source is opened anew for each pass, and some codings cannot be positioned at all
            return
        try:
            if self._file.seekable():
                self._file.seek(start)
                return
            for skipped in range(0, start, CHUNK_FRAMES):
                self._file.read(min(CHUNK_FRAMES, start - skipped), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise AudioError(f"cannot go to {start / self.rate_hz:.3f} s: {error.error_string}") from None

    def close(self) -> None:
        """Free the decoder."""
        self._file.close()

    def _next(self, count: int) -> tuple[Float, bool]:
        # libsndfile does not say how far it came before an error, so unwritten samples are marked beforehand
        buffer = np.full((count, self.channels), np.nan, np.float32)
        try:
            return self._file.read(out=buffer), False
        except soundfile.LibsndfileError:
            written = np.isfinite(buffer).all(axis=1)
            return buffer[: count if written.all() else int(np.argmin(written))], True


class G722Source:
    """Raw ITU-T G.722, 64 kbit/s at 16 kHz, one channel, without a header."""

    def __init__(self, handle: Any, size_bytes: int) -> None:
        """Take over an open binary file of `size_bytes`."""
        self._handle = handle
        self.rate_hz = G722_RATE_HZ
        self.channels = 1
        self.frames = 2 * size_bytes
        self.format = "RAW/G722"
        self.warnings: list[str] = []
        refuse_foreign_g722(handle.read(CHUNK_FRAMES))

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[Float]:
        """Give the samples from frame `start` on, at most `count`, as (1, T) arrays."""
        from G722 import G722

        decoder = G722(G722_RATE_HZ, G722_BIT_RATE)
        self._handle.seek(0)
        # the decoder adapts, so an excerpt is decoded from the beginning as well
        position, end = 0, self.frames if count is None else min(self.frames, start + count)
        while position < end:
            data = self._handle.read(CHUNK_FRAMES // 2)
            if not data:
                break
            samples = np.asarray(decoder.decode(data), np.int16).astype(np.float32) / np.float32(32768.0)
            piece = samples[max(start - position, 0) : end - position]
            position += len(samples)
            if len(piece):
                yield piece[None]

    def close(self) -> None:
        """Nothing to free: the file belongs to the caller."""


def refuse_foreign_g722(head: bytes) -> None:
    """Refuse bytes that cannot be raw G.722: it has no header, so everything would decode to some noise.

    Args:
        head: the first bytes of the file, 64 KiB at most.

    Raises:
        AudioError: the bytes are text, compressed or random, or of a known other format.
    """
    advice = "; raw G.722 at 64 kbit/s was expected"
    if head.startswith(_FOREIGN_MAGIC):
        raise AudioError(f"not audio: it begins like another format ({head[:4]!r}){advice}")
    data = np.frombuffer(head, np.uint8)
    if len(data) and (data < 0x80).all():
        raise AudioError(f"not audio: it is text{advice}")
    if len(data) >= G722_ENTROPY_MIN_BYTES:
        share = np.bincount(data, minlength=256) / len(data)
        share = share[share > 0]
        entropy = -(share * np.log2(share)).sum() + 255 / (2 * len(data) * np.log(2))
        if entropy > G722_MAX_ENTROPY_BITS:
            raise AudioError(f"not audio: its bytes are compressed or random ({entropy:.2f} bits a byte){advice}")


def _refuse_foreign_gsm(data: bytes) -> None:
    marks = np.frombuffer(data, np.uint8)[::GSM_FRAME_BYTES] >> 4
    if (marks != GSM_MARK).any():
        raise AudioError("not audio: its frames lack the mark of raw GSM 06.10 (33 bytes each)")


def _sndfile(handle: Any, **raw: Any) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(handle, "r", **raw)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not audio that can be read: {error.error_string.rstrip('.')}") from None


def _source(handle: Any, suffix: str, size_bytes: int) -> Source:
    if size_bytes == 0:
        raise AudioError("the file is empty (0 bytes)")
    if suffix == ".g722":
        source: Source = G722Source(handle, size_bytes)
    elif suffix == ".gsm":
        while piece := handle.read(GSM_FRAME_BYTES * 2048):
            _refuse_foreign_gsm(piece)
        handle.seek(0)
        source = SndfileSource(_sndfile(handle, samplerate=GSM_RATE_HZ, channels=1, format="RAW", subtype="GSM610"))
    else:
        source = SndfileSource(_sndfile(handle))
    check_header(source.rate_hz, source.channels, source.frames, size_bytes)
    return source


@contextlib.contextmanager
def open_source(path: str | Path) -> Iterator[Source]:
    """Open an audio file for decoding in pieces.

    Pipes, devices, sockets and folders are refused without being read, so nothing can hang.

    Args:
        path: the file; `.g722` and `.gsm` are read as raw codecs, all others by their content.

    Yields:
        The open source.

    Raises:
        AudioError: the file cannot be opened or is refused; the message starts with its name.
    """
    with naming(path):
        # non-blocking, or opening a pipe would wait for a writer
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            descriptor = os.open(path, flags)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise AudioError(f"cannot be opened: {reason}") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise AudioError("it is a folder; give the files in it, or search it with find_audio")
            raise AudioError("not a regular file (a pipe, a socket or a device)")
        with open(descriptor, "rb") as handle:
            source = _source(handle, Path(path).suffix.lower(), status.st_size)
            try:
                yield source
            finally:
                source.close()


@contextlib.contextmanager
def open_bytes(data: bytes, suffix: str) -> Iterator[Source]:
    """Open audio that lies in memory, as `open_source` opens a file.

    Args:
        data: the coded bytes.
        suffix: the suffix the file would have, such as ``.g722``; it only matters for raw codecs.
    """
    with naming(f"<{len(data)} bytes of {suffix}>"):
        source = _source(io.BytesIO(data), suffix.lower(), len(data))
        try:
            yield source
        finally:
            source.close()


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put the file's name in front of an error's text."""
    try:
        yield
    except AudioError as error:
        name = shown(path)
        text = str(error)
        raise AudioError(text if text.startswith(f"{name}: ") else f"{name}: {text}") from None
