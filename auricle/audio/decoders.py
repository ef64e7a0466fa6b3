"""Decoders that run in this process: libsndfile, raw G.722, and streams one after another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import soundfile

from auricle.audio.check import CHUNK_FRAMES, Float, Warn, warning
from auricle.core.errors import AudioError

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
    b"RIFF",
    b"RF64",
    b"OggS",
    b"fLaC",
    b"ID3",
    b"FORM",
    b".snd",
    b"caff",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"%PDF",
    b"\x7fELF",
    b"BZh",
    b"\xfd7zXZ",
    b"SQLite format",
    b"MZ",
)
_SHORTER = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
# What a program that writes WAV into a pipe puts for a length it cannot know.
_UNKNOWN_LENGTH = 0xFFFFFFFF
# libsndfile's count where it does not know the length.
_OPEN_LENGTH = 1 << 62
_OGG_CUT = ("ended unexpectedly", "lacks an end-of-stream")


class Source(Protocol):
    """An open audio file: what its header says, and its samples in pieces.

    `frames` is None where only decoding tells the length.
    """

    rate_hz: int
    channels: int
    frames: int | None
    format: str
    warnings: list[str]

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[Float]:
        """Give the samples from frame `start` on, at most `count`, as (C, T) arrays; once for each opening.

        Args:
            start: first frame.
            count: frames at most; None for all.
        """
        ...

    def count(self) -> int:
        """Count the samples of a channel by decoding all of them; instead of `pieces`."""
        ...

    def close(self) -> None:
        """Free the decoder."""
        ...


class Counting:
    """Counts samples by decoding them."""

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[Float]:
        """Give the samples; see `Source`.

        Args:
            start: first frame.
            count: frames at most; None for all.
        """
        raise NotImplementedError

    def count(self) -> int:
        """Count the samples of a channel by decoding all of them; instead of `pieces`."""
        return sum(piece.shape[1] for piece in self.pieces())


class InOrder(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that is read from its beginning on.

    soundfile positions a file anew after every read, for which libmpg123 throws away what it knows of the frames before
    and complains about it on standard error.
    """

    def seekable(self) -> bool:
        """Say no, so that no read is followed by a seek."""
        return False

    def positions(self) -> bool:
        """Whether libsndfile could go to a place."""
        return bool(super().seekable())


class SndfileSource(Counting):
    """A file that libsndfile decodes."""

    def __init__(self, handle: InOrder, exact: bool = True, frames: int | None = None) -> None:
        """Take over an open SoundFile.

        Args:
            handle: the file.
            exact: its count of samples can be relied on.
            frames: samples per channel, where they are known better.
        """
        self._file = handle
        self.rate_hz = int(handle.samplerate)
        self.channels = int(handle.channels)
        self._promised = frames or (int(handle.frames) if handle.frames < _OPEN_LENGTH else None)
        self.frames: int | None = self._promised if exact else None
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

        Args:
            start: first frame.
            count: frames at most; None for all.

        Raises:
            AudioError: the file cannot be positioned at `start`.
        """
        self._go_to(start)
        there = None if self._promised is None else self._promised - start
        wanted = min((value for value in (count, there) if value is not None), default=None)
        given = 0
        while wanted is None or given < wanted:
            piece, problem = self._next(CHUNK_FRAMES if wanted is None else min(CHUNK_FRAMES, wanted - given))
            if len(piece):
                given += len(piece)
                yield np.ascontiguousarray(piece.T)
            if problem or not len(piece):
                self._note_end(start, given, wanted, problem)
                return

    def _note_end(self, start: int, given: int, wanted: int | None, problem: bool) -> None:
        # an MPEG stream without an index has an estimated length: one frame of slack
        if any(item.startswith(Warn.TRUNCATED) for item in self.warnings):
            return
        found = (start + given) / self.rate_hz
        if wanted is not None and given < wanted - (1152 if self._file.format == "MP3" else 0):
            said = (start + wanted) / self.rate_hz
            text = f"samples end at {found:.3f} s, the header promised {said:.3f} s"
            self.warnings.append(warning(Warn.TRUNCATED, text))
        elif wanted is None and problem:
            self.warnings.append(warning(Warn.TRUNCATED, f"the decoder failed at {found:.3f} s"))

    def _go_to(self, start: int) -> None:
        if start == 0:
            # every source is opened anew for each pass, and some codings cannot be positioned at all
            return
        try:
            if self._file.positions():
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


class ChainSource(Counting):
    """Streams one after another as one; those of another rate or number of channels than the first are left out."""

    def __init__(self, openers: Sequence[Callable[[], Source]], rest: str) -> None:
        """Open the first stream.

        Args:
            openers: open one stream each.
            rest: the warning where streams were left out.
        """
        self._openers, self._rest = openers, rest
        self._open = openers[0]()
        self.rate_hz, self.channels, self.format = self._open.rate_hz, self._open.channels, self._open.format
        self.frames: int | None = None
        self.warnings: list[str] = list(self._open.warnings)

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[Float]:
        """Give the samples from frame `start` on, at most `count`, as (C, T) arrays, empty ones up to there.

        Args:
            start: first frame.
            count: frames at most; None for all.
        """
        position, end = 0, None if count is None else start + count
        for index, opener in enumerate(self._openers):
            if index:
                self.close()
                self._open = opener()
            if (self._open.rate_hz, self._open.channels) != (self.rate_hz, self.channels):
                self._note([self._rest])
                continue
            for piece in self._open.pieces():
                part = piece[:, max(start - position, 0) : None if end is None else max(end - position, 0)]
                position += piece.shape[1]
                yield np.ascontiguousarray(part)
                if end is not None and position >= end:
                    return
            self._note(self._open.warnings)

    def _note(self, texts: Sequence[str]) -> None:
        said = {text.split(":")[0] for text in self.warnings}
        self.warnings += [text for text in texts if text.split(":")[0] not in said]

    def close(self) -> None:
        """Free the decoder."""
        self._open.close()


class G722Source(Counting):
    """Raw ITU-T G.722, 64 kbit/s at 16 kHz, one channel, without a header."""

    def __init__(self, handle: Any, size_bytes: int) -> None:
        """Take over an open binary file of `size_bytes`."""
        self._handle = handle
        self.rate_hz = G722_RATE_HZ
        self.channels = 1
        self.frames: int | None = 2 * size_bytes
        self._end = 2 * size_bytes
        self.format = "RAW/G722"
        self.warnings: list[str] = []
        refuse_foreign_g722(handle.read(CHUNK_FRAMES))

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[Float]:
        """Give the samples from frame `start` on, at most `count`, as (1, T) arrays.

        Args:
            start: first frame.
            count: frames at most; None for all.
        """
        from G722 import G722

        decoder = G722(G722_RATE_HZ, G722_BIT_RATE)
        self._handle.seek(0)
        # the decoder adapts, so an excerpt is decoded from the beginning as well
        position, end = 0, self._end if count is None else min(self._end, start + count)
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


def refuse_foreign_gsm(data: bytes) -> None:
    """Refuse frames that cannot be raw GSM 06.10.

    Args:
        data: whole frames.

    Raises:
        AudioError: a frame lacks its mark.
    """
    marks = np.frombuffer(data, np.uint8)[::GSM_FRAME_BYTES] >> 4
    if (marks != GSM_MARK).any():
        raise AudioError("not audio: its frames lack the mark of raw GSM 06.10 (33 bytes each)")
