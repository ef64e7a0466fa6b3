"""What counts as usable audio: decided here once, for files, excerpts, streams and waveforms.

Refused with an `AudioError`: not audio, an empty file, rates outside 4-192 kHz, no channel or more than 64, a header
that promises more than any codec can hold, NaN or Inf, numbers that cannot be samples, less than 0.1 s, digital
silence. A constant is silence too: what remains after the mean is taken away is nothing.

Accepted with a warning (`Warn`): clipped, above 1.0, DC, very quiet, truncated but decodable, another length than the
header says, several channels or streams. Samples are never changed by a check: a file above 1.0 stays above 1.0 and
says so.
"""

from __future__ import annotations

import enum
import numbers
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auricle.core.errors import AudioError

MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 192_000
MAX_CHANNELS = 64
MIN_DURATION_S = 0.1
# No codec that libsndfile reads packs more than about 6000 frames into a byte (FLAC of silence, 65535 a block).
MAX_FRAMES_PER_BYTE = 8192
# Peak to peak below one step of 24-bit audio, after the mean is gone: nothing was recorded.
SILENCE_PEAK_TO_PEAK = 1e-7
# Integers of 32 bits that were never scaled reach 2**31; beyond that the bytes were not samples.
MAX_SAMPLE = 1e10
QUIET_RMS_DB = -60.0
DC_OFFSET = 0.01
CLIP_LEVEL = 0.99
CLIP_RUN = 3
# Statistics are summed in pieces of this many frames, so that a stream and an array give the same numbers.
CHUNK_FRAMES = 65_536

Float = npt.NDArray[np.float32]


class Warn(enum.StrEnum):
    """Stable codes of the warnings; each warning's text starts with its code and a colon."""

    CLIPPED = "clipped"
    ABOVE_FULL_SCALE = "above-full-scale"
    DC = "dc-offset"
    QUIET = "very-quiet"
    TRUNCATED = "truncated"
    LENGTH = "length-disagrees"
    CHANNELS = "several-channels"
    STREAMS = "several-streams"


def warning(code: Warn, message: str) -> str:
    """Join a warning's code and its readable message."""
    return f"{code.value}: {message}"


def code_of(text: str) -> Warn:
    """Give the code of a warning text.

    Raises:
        AudioError: the text is not one of this room's warnings.
    """
    head = text.split(":", 1)[0]
    try:
        return Warn(head)
    except ValueError:
        raise AudioError(f"{text!r} is not an audio warning; known codes: {', '.join(Warn)}") from None


def shown(path: str | Path) -> str:
    """Show a path on one line, whatever characters its name has."""
    text = str(path)
    return text if text.isprintable() else repr(text)


class Statistics:
    """Running statistics of a waveform that arrives in pieces: all that the checks need."""

    def __init__(self, channels: int, rate_hz: int) -> None:
        """Start with nothing heard.

        Args:
            channels: number of channels.
            rate_hz: sampling rate in Hz.
        """
        self.rate_hz = rate_hz
        self.frames = 0
        self._sum = np.zeros(channels)
        self._energy = np.zeros(channels)
        self._low = np.full(channels, np.inf)
        self._high = np.full(channels, -np.inf)
        self._clipped = 0

    def add(self, wave: npt.NDArray[np.floating]) -> None:
        """Take in the next piece, (C, T).

        Raises:
            AudioError: the piece has NaN, Inf or numbers that cannot be samples.
        """
        for start in range(0, wave.shape[1], CHUNK_FRAMES):
            self._add(wave[:, start : start + CHUNK_FRAMES])

    def _add(self, piece: npt.NDArray[np.floating]) -> None:
        low, high = piece.min(axis=1).astype(np.float64), piece.max(axis=1).astype(np.float64)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            index = self.frames + int(np.argmin(np.isfinite(piece).all(axis=0)))
            raise AudioError(f"NaN or Inf at {index / self.rate_hz:.3f} s; every sample must be a finite number")
        peak = max(-low.min(), high.max())
        if peak > MAX_SAMPLE:
            raise AudioError(f"a sample of {peak:.3g}; these bytes are not audio samples, which lie within -1 and 1")
        self._low = np.minimum(self._low, low)
        self._high = np.maximum(self._high, high)
        self._sum += piece.sum(axis=1, dtype=np.float64)
        # float64 products, or large unscaled values would lose the difference between energy and mean
        self._energy += np.einsum("ct,ct->c", piece, piece, dtype=np.float64)
        if peak >= CLIP_LEVEL:
            self._clipped += sum(_clipped(row) for row in piece)
        self.frames += piece.shape[1]

    @property
    def rms(self) -> npt.NDArray[np.float64]:
        """RMS of each channel after its mean is taken away, (C,)."""
        count = max(self.frames, 1)
        return np.sqrt(np.maximum(self._energy / count - (self._sum / count) ** 2, 0.0))

    @property
    def loudest(self) -> int:
        """The loudest channel by `rms`; of equals (to 1e-6) the first, so that rounding never decides."""
        rms = self.rms
        return int(np.argmax(rms >= rms.max() * (1 - 1e-6)))

    def warnings(self) -> tuple[str, ...]:
        """Judge all that was taken in.

        Returns:
            The warnings, each starting with a code of `Warn`.

        Raises:
            AudioError: too short, or digital silence.
        """
        if self.frames < MIN_DURATION_S * self.rate_hz:
            raise AudioError(
                f"{self.frames} samples are {self.frames / self.rate_hz:.3f} s; at least {MIN_DURATION_S} s is needed"
            )
        if (self._high - self._low).max() <= SILENCE_PEAK_TO_PEAK:
            constant = "" if max(abs(self._high).max(), abs(self._low).max()) == 0 else " (a constant)"
            raise AudioError(f"digital silence{constant}: no channel has a signal")
        found: list[str] = []
        taken = self.loudest
        peak = float(np.maximum(abs(self._low), abs(self._high)).max())
        if self._clipped:
            share = 100 * self._clipped / (self.frames * len(self._sum))
            found.append(warning(Warn.CLIPPED, f"{self._clipped} samples ({share:.2g} %) stand flat at full scale"))
        if peak > 1.0:
            found.append(warning(Warn.ABOVE_FULL_SCALE, f"the peak is {peak:.4g}; samples are kept as they are"))
        mean = self._sum[taken] / self.frames
        if abs(mean) > DC_OFFSET:
            found.append(warning(Warn.DC, f"the mean is {mean:+.3f}"))
        level_db = 20 * np.log10(max(self.rms[taken], 1e-30))
        if level_db < QUIET_RMS_DB:
            found.append(warning(Warn.QUIET, f"the level is {level_db:.0f} dBFS (below {QUIET_RMS_DB:.0f})"))
        if len(self._sum) > 1:
            found.append(
                warning(Warn.CHANNELS, f"{len(self._sum)} channels; a mono system takes the loudest, number {taken}")
            )
        return tuple(found)


def _clipped(row: npt.NDArray[np.floating]) -> int:
    """Count the samples in runs of at least `CLIP_RUN` equal ones at or above `CLIP_LEVEL`."""
    same = (row[1:] == row[:-1]) & (np.abs(row[1:]) >= CLIP_LEVEL)
    if not same.any():
        return 0
    edges = np.flatnonzero(np.diff(np.concatenate(([0], same.astype(np.int8), [0]))))
    runs = edges[1::2] - edges[::2] + 1
    return int(runs[runs >= CLIP_RUN].sum())


def check(wave: npt.ArrayLike, rate_hz: int) -> tuple[str, ...]:
    """Check a waveform in memory as a file would be checked.

    Args:
        wave: samples, (T,) or (C, T), nominally within -1 and 1.
        rate_hz: sampling rate in Hz.

    Returns:
        The warnings, each starting with a code of `Warn` and a colon.

    Raises:
        AudioError: the waveform is refused; see the head of this file.
    """
    array = np.asarray(wave)
    if array.dtype.kind != "f":
        raise AudioError(f"samples of type {array.dtype}; give floats within -1 and 1 (divide integers by their range)")
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise AudioError(f"a waveform of shape {array.shape}; give (T,) or (C, T)")
    check_header(rate_hz, array.shape[0], array.shape[1])
    statistics = Statistics(array.shape[0], rate_hz)
    statistics.add(array)
    return statistics.warnings()


def check_rate(rate_hz: int) -> None:
    """Refuse rates outside 4-192 kHz.

    Raises:
        AudioError: the rate is out of range, or no number.
    """
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, numbers.Real):
        raise AudioError(f"a rate of {rate_hz!r}; give the sampling rate as a number in Hz, such as 16000")
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(f"a rate of {rate_hz} Hz; allowed are {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")


def check_header(rate_hz: int, channels: int, frames: int | None, size_bytes: int | None = None) -> None:
    """Check what a header promises, before anything is decoded.

    Args:
        rate_hz: sampling rate in Hz.
        channels: number of channels.
        frames: samples per channel; None where the header does not say.
        size_bytes: size of the file, where there is one.

    Raises:
        AudioError: the promise is out of range or cannot be kept.
    """
    check_rate(rate_hz)
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{channels} channels; allowed are 1 to {MAX_CHANNELS}")
    if frames is None:
        return
    if frames <= 0:
        raise AudioError("no samples in it; the file is empty or cut off inside its header")
    if size_bytes is not None and frames > size_bytes * MAX_FRAMES_PER_BYTE:
        raise AudioError(
            f"the header claims {frames} samples in {size_bytes} bytes, which no codec can hold; the header is damaged"
        )
    if frames < MIN_DURATION_S * rate_hz:
        raise AudioError(f"{frames} samples are {frames / rate_hz:.3f} s; at least {MIN_DURATION_S} s is needed")
