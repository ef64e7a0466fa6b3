"""What libsndfile does not read: MPEG-4, Matroska, ASF, AMR, AC-3, Speex and others, through PyAV (extra ``av``).

Files are told by their first bytes, never guessed by FFmpeg, and only the reader that they name may open them: nothing
else is opened or fetched from inside a file.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from auricle.audio.check import CHUNK_FRAMES, Float, Warn, warning
from auricle.audio.decoders import Counting
from auricle.audio.layout import Layout, bytes_at, tag_before
from auricle.core.errors import AudioError, MissingExtra
from auricle.core.extras import available

# first bytes: name for people, FFmpeg's reader
_MARKS = {
    b"\x1aE\xdf\xa3": ("Matroska or WebM", "matroska"),
    b"0&\xb2u\x8ef\xcf\x11": ("Windows Media", "asf"),
    b"#!AMR": ("AMR", "amr"),
    b"FLV\x01": ("Flash video", "flv"),
    b"MAC ": ("Monkey's Audio", "ape"),
    b"wvpk": ("WavPack", "wv"),
    b"TTA1": ("True Audio", "tta"),
    b"DSD ": ("DSD", "dsf"),
    b"MPCK": ("Musepack", "mpc8"),
    b"MP+": ("Musepack", "mpc"),
    b".RMF": ("RealMedia", "rm"),
    b"\x00\x00\x01\xba": ("MPEG program stream", "mpeg"),
    b"\x7f\xfe\x80\x01": ("DTS", "dts"),
}
_MP4_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free", b"pnot")
# Readers whose headers state a length; others estimate it.
_STATING = ("mov", "matroska", "asf", "flac", "wav", "aiff", "caf", "wv", "tta", "ape")
_AC3_RATES = (48_000, 44_100, 32_000)
_BAD_PACKETS = 16  # at the beginning, before there is any sample


def media_layout(handle: BinaryIO, size_bytes: int) -> Layout | None:
    """Tell a file that only PyAV reads.

    Args:
        handle: the file.
        size_bytes: its length.

    Returns:
        What it is; None for another kind of file.
    """
    head = bytes_at(handle, 0, 16)
    found = next((names for mark, names in _MARKS.items() if head.startswith(mark)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        found = ("AVI", "avi")
    elif head[4:8] in _MP4_ATOMS:
        found = ("MPEG-4 or QuickTime", "mov")
    elif found is None:
        found = _framed(handle, size_bytes)
    return None if found is None else Layout(found[0], exact=False, demuxer=found[1], media=True)


def _framed(handle: BinaryIO, size_bytes: int) -> tuple[str, str] | None:
    """Tell streams that have no header of the whole, by several frames in a row."""
    packets = bytes_at(handle, 0, 192 * 4 + 4)
    for first, step in ((0, 188), (4, 192)):
        marks = packets[first : step * 4 : step]
        if len(marks) == 4 and set(marks) == {0x47}:
            return "MPEG transport stream", "mpegts"
    start = tag_before(handle)
    for name, demuxer, length_of in (("AAC", "aac", _adts_length), ("AC-3", "ac3", _ac3_length)):
        at = start
        for _ in range(3):
            length = length_of(bytes_at(handle, at, 8))
            if not length:
                break
            at += length
            if at >= size_bytes:
                return name, demuxer
        else:
            return name, demuxer
    return None


def _adts_length(head: bytes) -> int:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length > 7 else 0


def _ac3_length(head: bytes) -> int:
    if len(head) < 6 or head[:2] != b"\x0bw":
        return 0
    if head[5] >> 3 > 10:  # E-AC-3 states its length
        return 2 * (((head[2] & 7) << 8 | head[3]) + 1)
    rate, code = head[4] >> 6, head[4] & 63
    if rate == 3 or code > 37:
        return 0
    kbit = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)[code >> 1]
    words = kbit * 96_000 // _AC3_RATES[rate]
    return 2 * (words + (code & 1 if rate == 1 else 0))


def missing_av(kind: str) -> str | None:
    """Give the sentence that says how to install PyAV; None where it is there.

    Args:
        kind: of file, in words.
    """
    return None if available("av") else str(MissingExtra("av", "av", f"reading {kind}"))


class AvSource(Counting):
    """A file that FFmpeg decodes: its best audio stream."""

    def __init__(self, handle: BinaryIO, demuxer: str, kind: str) -> None:
        """Open a file.

        Args:
            handle: the file.
            demuxer: FFmpeg's reader for it.
            kind: its name, for messages.

        Raises:
            AudioError: PyAV is not installed, or it finds no audio that it can decode.
        """
        if missing := missing_av(kind):
            raise AudioError(missing)
        import av

        av.logging.set_level(av.logging.PANIC)
        self._error = av.FFmpegError
        handle.seek(0)
        self.warnings: list[str] = []
        self.frames: int | None = None
        try:
            # no protocol and no other reader: a file may name others, which are never opened
            options = {"protocol_whitelist": "none", "format_whitelist": av.ContainerFormat(demuxer, "r").name}
            self._container: Any = av.open(_Nameless(handle), "r", demuxer, options, metadata_errors="replace")
            if not self._container.streams.audio:
                raise AudioError(f"{kind} without a sound track")
            self._stream = self._container.streams.best("audio") or self._container.streams.audio[0]
            self._decoded = self._decode()
            self._first: Any = next(self._decoded, None)
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(f"not audio that can be read: {kind}, {_reason(error)}") from None
        if self._first is None:
            raise AudioError(f"no samples could be decoded from {kind} ({_coding(self._stream)})")
        self.rate_hz, self.channels = int(self._first.sample_rate), len(self._first.layout.channels)
        self.format = f"{self._container.format.name.split(',')[0].upper()}/{_coding(self._stream).upper()}"
        count = len(self._container.streams.audio)
        if count > 1:
            self.warnings.append(warning(Warn.STREAMS, f"{count} audio streams; number {self._stream.index} is read"))
        self._claim_s = self._claimed(demuxer, len(self._container.streams))

    def _claimed(self, demuxer: str, streams: int) -> float | None:
        if demuxer not in _STATING:
            return None
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / 1e6 if self._container.duration and streams == 1 else None

    def _decode(self) -> Iterator[Any]:
        bad, any_frame = 0, False
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except self._error:
                bad += 1
                # players begin in the middle of a stream too, where the first packets lack what came before
                if any_frame or bad > _BAD_PACKETS:
                    return
                continue
            for frame in frames:
                any_frame = any_frame or frame.samples > 0
                if frame.samples:
                    yield frame

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[Float]:
        """Give the samples from frame `start` on, at most `count`, as (C, T) arrays; once for each opening.

        All that comes before is decoded as well, as empty pieces: not every container can be positioned exactly.

        Args:
            start: first frame.
            count: frames at most; None for all.
        """
        position, end = 0, None if count is None else start + count
        for piece in self._chunks():
            part = piece[:, max(start - position, 0) : None if end is None else max(end - position, 0)]
            position += piece.shape[1]
            yield np.ascontiguousarray(part)
            if end is not None and position >= end:
                return
        said = any(text.startswith(Warn.TRUNCATED) for text in self.warnings)
        if not said and self._claim_s is not None and position / self.rate_hz < 0.98 * self._claim_s - 0.1:
            text = f"samples end at {position / self.rate_hz:.3f} s, the header promised {self._claim_s:.3f} s"
            self.warnings.append(warning(Warn.TRUNCATED, text))

    def _chunks(self) -> Iterator[Float]:
        """Join the decoder's small frames; (C, T) each, float32."""
        kept: list[Float] = []
        held = 0
        for piece in self._arrays():
            kept.append(piece)
            held += piece.shape[1]
            if held >= CHUNK_FRAMES:
                yield np.concatenate(kept, axis=1)
                kept, held = [], 0
        if kept:
            yield np.concatenate(kept, axis=1)

    def _arrays(self) -> Iterator[Float]:
        import av

        # rate and channels may change in the middle: all is brought to the form of the beginning
        layout, form = self._first.layout, None
        fitted: Any = None
        try:
            for frame in itertools.chain([self._first], self._decoded):
                if form != (form := (frame.format.name, frame.layout.name, frame.sample_rate)):
                    yield from [] if fitted is None else _resampled(fitted, None)
                    fitted = av.AudioResampler("fltp", layout, self.rate_hz)
                yield from _resampled(fitted, frame)
            yield from _resampled(fitted, None)
        except (self._error, ValueError) as error:  # of the container, or a form that cannot be converted
            self.warnings.append(warning(Warn.TRUNCATED, f"the decoder failed halfway: {_reason(error)}"))

    def close(self) -> None:
        """Free the decoder."""
        self._container.close()


def _resampled(fitted: Any, frame: Any) -> Iterator[Float]:
    yield from (made.to_ndarray() for made in fitted.resample(frame))


def _coding(stream: Any) -> str:
    return "unknown coding" if stream.codec_context is None else str(stream.codec_context.name)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


class _Nameless:
    """A file without its name, by which FFmpeg would guess what it is."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.read, self.tell = handle.read, handle.tell

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; to the end where a damaged header names one that no file has."""
        try:
            return self._handle.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return self._handle.seek(0, io.SEEK_END)
