"""Audio files: find, probe, read, write. Bad files are judged by `check`; long ones stream through `blocks`."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from auricle.audio.blocks import Scan, blocks, scan
from auricle.audio.check import CHUNK_FRAMES, Float, Statistics, Warn, check_header, check_rate, shown, warning
from auricle.audio.decoders import Source
from auricle.audio.folders import SUFFIXES, find_audio, left_out
from auricle.audio.memory import memory_file
from auricle.audio.resample import resample
from auricle.audio.sources import located, naming, open_bytes, open_source
from auricle.core.errors import AudioError, DataError
from auricle.core.files import atomic_path

__all__ = [
    "SUFFIXES",
    "Audio",
    "AudioInfo",
    "Scan",
    "blocks",
    "decode",
    "find_audio",
    "left_out",
    "located",
    "probe",
    "read",
    "read_mono",
    "scan",
    "write",
]

# Samples of all channels that `read` holds at once.
MAX_DECODED_BYTES = 2 << 30
# Beyond this a file of several channels is decoded twice, to keep only the loudest one.
_SEVERAL_BYTES = 64 << 20
Channels = Literal["all", "loudest"]

# suffix: (container, default subtype)
_WRITABLE = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
_FLOAT_SUBTYPES = ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class Audio:
    """A decoded file.

    Attributes:
        wave: samples, (C, T) float32, nominally within -1 and 1.
        rate_hz: sampling rate in Hz.
        path: where it came from.
        warnings: what is odd about it, each text starting with a code of `check.Warn`.
    """

    wave: Float
    rate_hz: int
    path: str
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.wave.shape[1] / self.rate_hz

    def mono(self) -> Float:
        """Give the loudest channel, (T,).

        Never the mean: two channels of opposite phase would add up to silence. Loudness is the RMS without the mean
        (a channel with nothing but DC is not loud); of equally loud channels the first one is taken.
        """
        if self.wave.shape[0] == 1:
            return self.wave[0]
        statistics = Statistics(self.wave.shape[0], self.rate_hz)
        statistics.add(self.wave)
        # a copy, or the other channels would stay in memory with it
        return self.wave[statistics.loudest].copy()


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        rate_hz: sampling rate in Hz.
        channels: number of channels.
        frames: samples per channel, as many as `read` gives.
        duration_s: length in seconds.
        format: container and coding, such as ``WAV/PCM_16``.
    """

    rate_hz: int
    channels: int
    frames: int
    duration_s: float
    format: str


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header; it is decoded only where its header leaves its length open or has it wrong.

    Raises:
        AudioError: not audio, or the header is refused. What only the samples show (NaN, silence, a cut) is not seen.
    """
    with naming(path), open_source(path) as source:
        frames = source.frames
        if frames is None:
            frames = source.count()
            check_header(source.rate_hz, source.channels, frames)
        return AudioInfo(source.rate_hz, source.channels, frames, frames / source.rate_hz, source.format)


def read(
    path: str | Path,
    start_s: float = 0.0,
    duration_s: float | None = None,
    check: bool = True,
    channels: Channels = "all",
) -> Audio:
    """Read a file, or a stretch of it.

    Args:
        path: an audio file; its content decides, only `.g722` and `.gsm` (raw, without a header) go by the suffix.
        start_s: where to begin, in seconds.
        duration_s: how much to read, in seconds; up to the end by default. The end of the file may come sooner.
        check: judge the samples that were read. Without it only the header and finiteness are judged, so that a silent
            or very short stretch of a good file can be read.
        channels: ``all`` of them, or the ``loudest`` one alone, for which memory does not grow with their number.

    Returns:
        The samples, and the warnings of all channels.

    Raises:
        AudioError: the file or the stretch is refused, or its samples would take more than 2 GiB.
    """
    with naming(path):
        return _read(partial(open_source, path), str(path), start_s, duration_s, check, channels)


def decode(data: bytes, suffix: str, check: bool = True) -> Audio:
    """Read audio that lies in memory.

    Args:
        data: the bytes of a file.
        suffix: the suffix it would have, such as ``.g722``.
        check: as in `read`.

    Raises:
        AudioError: the bytes are refused.
    """
    name = f"<{len(data)} bytes of {suffix}>"
    with naming(name):
        return _read(partial(open_bytes, data, suffix), name, 0.0, None, check, "all")


def _read(
    opened: Callable[[], AbstractContextManager[Source]],
    name: str,
    start_s: float,
    duration_s: float | None,
    check: bool,
    channels: Channels,
) -> Audio:
    if not start_s >= 0 or (duration_s is not None and not duration_s > 0):
        raise AudioError(
            f"a stretch from {start_s} s, {duration_s} s long; it must begin at 0 or later and have a length"
        )
    with opened() as source:
        start = round(start_s * source.rate_hz)
        if source.frames is not None and start >= source.frames:
            raise AudioError(f"a stretch from {start_s} s; the file ends at {source.frames / source.rate_hz:.3f} s")
        count = None if duration_s is None else max(1, round(duration_s * source.rate_hz))
        statistics = Statistics(source.channels, source.rate_hz)
        kept = _Kept(source.channels, channels)
        for piece in source.pieces(start, count):
            statistics.add(piece)
            kept.add(piece)
        if not statistics.frames:
            what = f"a stretch from {start_s} s begins behind its end" if start else "the file is damaged"
            raise AudioError(f"no samples could be decoded; {what}")
        found = statistics.warnings() if check else ()
        rate_hz, warnings = source.rate_hz, (*source.warnings, *found)
    if kept.overflown:
        kept = _Kept(1, channels)
        with opened() as source:
            for piece in source.pieces(start, count):
                kept.add(piece[statistics.loudest : statistics.loudest + 1].copy())
    wave = kept.wave()
    if channels == "loudest" and len(wave) > 1:
        wave = wave[statistics.loudest : statistics.loudest + 1].copy()
    return Audio(wave, rate_hz, name, warnings)


class _Kept:
    """The pieces of a file that were decoded, within bounds."""

    def __init__(self, count: int, channels: Channels) -> None:
        """Keep nothing yet; `count` channels come, of which `channels` are wanted."""
        self._pieces: list[Float] = []
        self._bytes = 0
        self._several = count > 1 and channels == "loudest"
        self.overflown = False

    def add(self, piece: Float) -> None:
        """Keep a piece, (C, T); where one of many channels is wanted and they are too much, drop all.

        Raises:
            AudioError: too much.
        """
        self._bytes += piece.nbytes
        if self._several and self._bytes > _SEVERAL_BYTES:
            self.overflown = True
            self._pieces.clear()
        elif self._bytes > MAX_DECODED_BYTES:
            raise AudioError(
                f"its samples take more than {MAX_DECODED_BYTES >> 30} GiB; read a stretch of it, or its blocks"
            )
        else:
            self._pieces.append(piece)

    def wave(self) -> Float:
        """Join the pieces, (C, T)."""
        return np.concatenate(self._pieces, axis=1) if len(self._pieces) > 1 else self._pieces[0]


def read_mono(path: str | Path, rate_hz: int | None = None) -> tuple[Float, int, tuple[str, ...]]:
    """Read a file as one channel at one rate.

    Args:
        path: an audio file.
        rate_hz: wanted rate in Hz; the file's own by default.

    Returns:
        The loudest channel (T,), its rate in Hz, and the warnings.

    Raises:
        AudioError: the file is refused, or the wanted rate is out of range.
    """
    if rate_hz is not None:
        check_rate(rate_hz)
    audio = read(path, channels="loudest")
    wave = audio.wave[0]
    if rate_hz is None or rate_hz == audio.rate_hz:
        return wave, audio.rate_hz, audio.warnings
    return resample(wave, audio.rate_hz, rate_hz).astype(np.float32, copy=False), rate_hz, audio.warnings


def write(path: str | Path, wave: npt.ArrayLike, rate_hz: int, subtype: str | None = None) -> tuple[str, ...]:
    """Write a file atomically; the suffix gives the format.

    Args:
        path: where to; wav, flac, ogg (Vorbis), opus or mp3.
        wave: float samples, (T,) or (C, T). Beyond -1 and 1 they are clipped, except in float files.
        rate_hz: sampling rate in Hz.
        subtype: libsndfile's name of the coding, such as ``PCM_24`` or ``FLOAT``; 16 bits by default.

    Returns:
        A warning with the number of clipped samples, if any.

    Raises:
        AudioError: unknown suffix, subtype or rate for the format, NaN or Inf, wrong shape, or nothing to write.
        DataError: the file cannot be written: the disk is full, the folder is read-only.
    """
    with naming(path):
        frames, container, coding = _prepared(wave, rate_hz, Path(path).suffix.lower(), subtype)
        found: tuple[str, ...] = ()
        over = int((np.abs(frames) > 1.0).sum())
        if over and coding not in _FLOAT_SUBTYPES:
            frames = np.clip(frames, -1.0, 1.0)
            found = (warning(Warn.CLIPPED, f"{over} samples lay beyond full scale and were clipped"),)
        # coded in memory first: what then fails is the disk, and never mistaken for a format that is refused
        with memory_file() as coded:
            if not _encoded(coded, frames, rate_hz, container, coding):
                raise DataError(f"{shown(path)}: cannot be written: no memory to code {len(frames)} samples in")
            _store(coded, path)
    return found


def _encoded(coded: BinaryIO, frames: npt.NDArray, rate_hz: int, container: str, coding: str) -> bool:
    """Code (T, C) samples; gives whether all of them went into the file, which not every coder says by itself."""
    try:
        out = soundfile.SoundFile(
            coded.fileno(), "w", rate_hz, frames.shape[1], format=container, subtype=coding, closefd=False
        )
    except soundfile.LibsndfileError as error:
        hint = "; Opus takes 8, 12, 16, 24 and 48 kHz" if coding == "OPUS" else ""
        text = f"cannot be written as {container}/{coding} at {rate_hz} Hz: {error.error_string.rstrip('.')}{hint}"
        raise AudioError(text) from None
    try:
        with out:
            # the Vorbis encoder puts a whole call on the stack: long ones would crash
            for start in range(0, len(frames), CHUNK_FRAMES):
                out.write(frames[start : start + CHUNK_FRAMES])
        coded.seek(0)
        with soundfile.SoundFile(coded.fileno(), closefd=False) as written:
            return written.frames >= len(frames)  # block codings fill their last block
    except (soundfile.LibsndfileError, AssertionError):  # soundfile asserts that all was taken
        return False


def _store(coded: BinaryIO, path: str | Path) -> None:
    coded.seek(0)
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as out:
            shutil.copyfileobj(coded, out, 1 << 20)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"{shown(path)}: no space left on the disk; free some and run again") from error
        raise DataError(f"{shown(path)}: cannot be written: {error.strerror or error}") from error


def _prepared(wave: npt.ArrayLike, rate_hz: int, suffix: str, subtype: str | None) -> tuple[npt.NDArray, str, str]:
    """Check what is to be written; give it as (T, C) with its container and coding."""
    if suffix not in _WRITABLE:
        raise AudioError(f"cannot write the format {suffix!r}; it can be {', '.join(_WRITABLE)}")
    container, default = _WRITABLE[suffix]
    coding = subtype or default
    if container not in soundfile.available_formats():
        raise AudioError(f"this libsndfile cannot write {container}; install soundfile 0.12 or later, or use .flac")
    if coding not in soundfile.available_subtypes(container):
        allowed = ", ".join(soundfile.available_subtypes(container))
        raise AudioError(f"{container} has no subtype {coding!r}; it can be {allowed}")
    check_rate(rate_hz)
    frames = np.asarray(wave)
    if frames.dtype.kind != "f":
        raise AudioError(f"samples of type {frames.dtype}; give floats within -1 and 1")
    frames = frames[None] if frames.ndim == 1 else frames
    if frames.ndim != 2 or 0 in frames.shape:
        raise AudioError(f"a waveform of shape {frames.shape}; give (T,) or (C, T) with at least one sample")
    if not np.isfinite(frames).all():
        raise AudioError("NaN or Inf among the samples; nothing was written")
    return frames.T, container, coding
