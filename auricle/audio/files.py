"""Audio files: find, probe, read, write. Bad files are judged by `check`; long ones stream through `blocks`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from auricle.audio.blocks import Scan, blocks, scan
from auricle.audio.check import CHUNK_FRAMES, Float, Statistics, Warn, check_rate, shown, warning
from auricle.audio.resample import resample
from auricle.audio.sources import SUFFIXES, Source, naming, open_bytes, open_source
from auricle.core.errors import AudioError
from auricle.core.files import atomic_path

__all__ = [
    "SUFFIXES", "Audio", "AudioInfo", "Scan", "blocks", "decode", "find_audio", "probe", "read", "read_mono", "scan",
    "write",
]  # fmt: skip

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
        return self.wave[statistics.loudest]


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        rate_hz: sampling rate in Hz.
        channels: number of channels.
        frames: samples per channel.
        duration_s: length in seconds.
        format: container and coding, such as ``WAV/PCM_16``.
    """

    rate_hz: int
    channels: int
    frames: int
    duration_s: float
    format: str


def probe(path: str | Path) -> AudioInfo:
    """Read a file's header without decoding it.

    Raises:
        AudioError: not audio, or the header is refused. What only the samples show (NaN, silence, a cut) is not seen.
    """
    with open_source(path) as source:
        duration_s = source.frames / source.rate_hz
        return AudioInfo(source.rate_hz, source.channels, source.frames, duration_s, source.format)


def read(path: str | Path, start_s: float = 0.0, duration_s: float | None = None, check: bool = True) -> Audio:
    """Read a file, or a stretch of it.

    Args:
        path: an audio file; its content decides, only `.g722` and `.gsm` (raw, without a header) go by the suffix.
        start_s: where to begin, in seconds.
        duration_s: how much to read, in seconds; up to the end by default. The end of the file may come sooner.
        check: judge the samples that were read. Without it only the header and finiteness are judged, so that a silent
            or very short stretch of a good file can be read.

    Returns:
        The samples with all channels, and the warnings.

    Raises:
        AudioError: the file or the stretch is refused.
    """
    with naming(path), open_source(path) as source:
        return _read(source, str(path), start_s, duration_s, check)


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
    with naming(name), open_bytes(data, suffix) as source:
        return _read(source, name, 0.0, None, check)


def _read(source: Source, name: str, start_s: float, duration_s: float | None, check: bool) -> Audio:
    if not start_s >= 0 or (duration_s is not None and not duration_s > 0):
        raise AudioError(
            f"a stretch from {start_s} s, {duration_s} s long; it must begin at 0 or later and have a length"
        )
    start = round(start_s * source.rate_hz)
    if start >= source.frames:
        raise AudioError(f"a stretch from {start_s} s; the file ends at {source.frames / source.rate_hz:.3f} s")
    count = None if duration_s is None else max(1, round(duration_s * source.rate_hz))
    statistics = Statistics(source.channels, source.rate_hz)
    pieces = []
    for piece in source.pieces(start, count):
        statistics.add(piece)
        pieces.append(piece)
    if not pieces:
        raise AudioError("no samples could be decoded; the file is damaged")
    found = statistics.warnings() if check else ()
    wave = np.concatenate(pieces, axis=1) if len(pieces) > 1 else pieces[0]
    return Audio(wave, source.rate_hz, name, (*source.warnings, *found))


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
    audio = read(path)
    wave = audio.mono()
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
    """
    with naming(path):
        frames, container, coding = _prepared(wave, rate_hz, Path(path).suffix.lower(), subtype)
        found: tuple[str, ...] = ()
        over = int((np.abs(frames) > 1.0).sum())
        if over and coding not in _FLOAT_SUBTYPES:
            frames = np.clip(frames, -1.0, 1.0)
            found = (warning(Warn.CLIPPED, f"{over} samples lay beyond full scale and were clipped"),)
        with atomic_path(path) as temporary:
            try:
                with soundfile.SoundFile(
                    temporary, "w", rate_hz, frames.shape[1], format=container, subtype=coding
                ) as out:
                    # the Vorbis encoder puts a whole call on the stack: long ones would crash
                    for start in range(0, len(frames), CHUNK_FRAMES):
                        out.write(frames[start : start + CHUNK_FRAMES])
            except soundfile.LibsndfileError as error:
                hint = "; Opus takes 8, 12, 16, 24 and 48 kHz" if coding == "OPUS" else ""
                text = (
                    f"cannot be written as {container}/{coding} at {rate_hz} Hz: {error.error_string.rstrip('.')}{hint}"
                )
                raise AudioError(text) from None
    return found


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


def find_audio(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """List audio files: files as they are given, folders searched.

    Args:
        paths: files and folders. A file is taken whatever its suffix. A folder is searched recursively, in sorted
            order, for names with one of `SUFFIXES`; hidden names (``._x.wav`` of other systems) are left out and
            links to folders are not followed. Files in it that cannot be read are listed too: `read` says why.

    Returns:
        The files, in the order of `paths`.

    Raises:
        AudioError: a path does not exist, or a folder has no audio.
    """
    found: list[Path] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if not os.path.isdir(path):
            if not os.path.exists(path):
                what = "is a link that leads nowhere" if os.path.islink(path) else "does not exist"
                raise AudioError(f"{shown(path)} {what}")
            found.append(Path(path))
            continue
        inside = _search(Path(path))
        if not inside:
            raise AudioError(f"{shown(path)}: no audio in this folder; looked for {' '.join(SUFFIXES)}")
        found += inside
    return found


def _search(folder: Path) -> list[Path]:
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root, name) for name in names if not name.startswith(".") and _is_audio_name(name)]
    return sorted(found)


def _is_audio_name(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES
